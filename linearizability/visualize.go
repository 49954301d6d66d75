package linearizability

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/anishathalye/porcupine"

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// maxVisualized bounds how many operations porcupine's page can show with use.
const maxVisualized = 2000

// Visualize writes porcupine's own page for one key: how far its search came, with all operations
// and the faults on a time line. It is a second view; the verdict is the [Checker]'s. It fails if
// there are no operations on the key, or more than a browser can bear.
func Visualize(ctx context.Context, h *history.History, key string, w io.Writer) error {
	calls, err := h.Calls()
	if err != nil {
		return err
	}
	keys, err := decode(h, calls)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(keys, func(k *keyOps) bool { return k.key == key })
	if at < 0 || len(keys[at].ops) == 0 {
		return fmt.Errorf("there are no operations on key %s", keyName(key))
	}
	k := keys[at]
	if len(k.ops) > maxVisualized {
		return fmt.Errorf("%d operations on key %s are too many to be shown, at most %d can be",
			len(k.ops), keyName(key), maxVisualized)
	}
	model, _ := registerModel(ctx, len(k.ops), DefaultBudget())
	model.DescribeOperation = func(in, _ any) string { return k.describe(in.(*register.Op)) }
	model.DescribeState = func(s any) string { return k.text(s.(register.Value)) }
	last := lastMoment(h)
	ops := make([]porcupine.Operation, len(k.ops))
	for i := range k.ops {
		o := &k.ops[i]
		ops[i] = porcupine.Operation{
			ClientId: int(h.Ops[calls[o.ID].Invoke].Process), Input: o,
			Call: o.Call, Return: min(o.Ret, last+1),
		}
	}
	_, info := porcupine.CheckOperationsVerbose(model, ops, 0)
	info.AddAnnotations(faultBands(h, last))
	return porcupine.Visualize(model, info, w)
}

// lastMoment is when the last thing happened.
func lastMoment(h *history.History) (last int64) {
	for i := range h.Ops {
		last = max(last, int64(h.Ops[i].Time))
	}
	return last
}

// faultBands are the faults on porcupine's time line.
func faultBands(h *history.History, last int64) (bands []porcupine.Annotation) {
	for _, f := range h.Faults() {
		bands = append(bands, porcupine.Annotation{
			Tag: "faults", Start: int64(f.From), End: min(int64(f.To), last),
			Description: f.Name + " " + strings.Join(f.Nodes, ", "),
		})
	}
	return bands
}

// describe is an operation in a few characters.
func (k *keyOps) describe(o *register.Op) string {
	maybe := ""
	if o.Maybe {
		maybe = " ?"
	}
	switch o.Kind {
	case register.Read:
		return "read = " + k.text(o.A)
	case register.Write:
		return "write " + k.text(o.B) + maybe
	case register.CAS:
		return "cas " + k.text(o.A) + " to " + k.text(o.B) + maybe
	case register.Miss:
		return "cas: not " + k.text(o.A)
	}
	return "cas refused"
}
