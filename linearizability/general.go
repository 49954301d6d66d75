package linearizability

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"

	"github.com/anishathalye/porcupine"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// object is one object of a model, with the operations on it.
type object struct {
	key string
	ops []generalOp
}

// generalOp is an operation with its times; id is its position among the calls.
type generalOp struct {
	modelOp
	call, ret int64
	id        int
}

// decodeModel sorts the operations of clients by object. What failed, and observers that did not
// answer, constrain nothing.
func decodeModel(m *Model, h *history.History, calls []history.Call) ([]*object, error) {
	byKey := map[string]*object{}
	var objects []*object
	for i := range calls {
		c := &calls[i]
		begin := &h.Ops[c.Invoke]
		observer, known := m.functions[begin.F]
		if !known {
			return nil, fmt.Errorf("operation %d: a %s has no function %q", begin.Index, m.Name,
				begin.F)
		}
		key := ""
		if m.perKey {
			key = begin.Key
		}
		o := byKey[key]
		if o == nil {
			o = &object{key: key}
			byKey[key] = o
			objects = append(objects, o)
		}
		if c.Outcome == history.Fail || observer && c.Outcome == history.Info {
			continue
		}
		op := generalOp{call: int64(c.From), ret: int64(c.To), id: i}
		op.f, op.answered = begin.F, c.Outcome == history.Ok
		answer := begin.Value
		if op.answered {
			answer = h.Ops[c.Done].Value
		}
		var err error
		if op.arg, err = canonical(begin.Value); err == nil {
			op.answer, err = canonical(answer)
		}
		if err != nil {
			return nil, fmt.Errorf("operation %d: %w", begin.Index, err)
		}
		if len(answer) > 0 && answer[0] == '[' {
			if err := json.Unmarshal(answer, &op.parts); err != nil {
				return nil, fmt.Errorf("operation %d: %w", begin.Index, err)
			}
		}
		o.ops = append(o.ops, op)
	}
	return objects, nil
}

// decideModel decides with porcupine. The states in which an object may be are a set, since an
// operation without an answer can leave it in several. See byPorcupine for the rest.
func decideModel(
	ctx context.Context, m *Model, ops []generalOp, budget register.Budget,
) register.Decision {
	var steps, bytes int64
	stopped := false
	n := int64(len(ops))
	model := porcupine.NondeterministicModel{
		Init: func() []any { return []any{m.init} },
		Step: func(state, in, _ any) []any {
			if steps++; stopped || steps > budget.Steps || bytes > budget.Bytes ||
				steps&255 == 0 && ctx.Err() != nil {
				stopped = true
				return nil
			}
			op := in.(*generalOp)
			s := state.(string)
			next := m.step(s, &op.modelOp)
			if len(next) == 0 && op.ret == register.Never {
				next = []string{s} // it never happens
			}
			out := make([]any, len(next))
			for i := range next {
				out[i] = next[i]
				bytes += int64(len(next[i])) + n/8 + 100
			}
			return out
		},
	}
	in := make([]porcupine.Operation, len(ops))
	for i := range ops {
		in[i] = porcupine.Operation{Input: &ops[i], Call: ops[i].call, Return: ops[i].ret}
	}
	res := porcupine.CheckOperationsTimeout(model.ToModel(), in, 0)
	d := register.Decision{Steps: steps, Answer: register.Illegal}
	switch {
	case stopped:
		d.Answer, d.Reason = register.Undecided, outOf(ctx, steps > budget.Steps)
	case res == porcupine.Ok:
		d.Answer = register.Legal
	}
	return d
}

// checkModel judges a history of objects that are no registers.
func (c *Checker) checkModel(
	ctx context.Context, m *Model, in *check.Input, calls []history.Call,
) check.Result {
	res := check.Result{Property: property}
	objects, err := decodeModel(m, in.History, calls)
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	s := newStory(in.History, calls)
	total, undecidedReason := 0, ""
	for _, o := range objects {
		total += len(o.ops)
		d := decideModel(ctx, m, o.ops, c.budget)
		switch d.Answer {
		case register.Illegal:
			res.Findings = append(res.Findings, s.firstIllegal(ctx, m, o, c.budget))
		case register.Undecided:
			undecidedReason = fmt.Sprintf("key %s: %s with %d operations", keyName(o.key),
				d.Reason, len(o.ops))
		}
	}
	res.Summary = fmt.Sprintf("%d operations on %d objects (%s); porcupine", total, len(objects),
		m.Name)
	switch {
	case len(res.Findings) > 0:
		res.Validity = check.Invalid
		res.Reason = fmt.Sprintf("%d of %d objects are not linearizable", len(res.Findings),
			len(objects))
	case undecidedReason != "":
		res.Reason = undecidedReason
	case total == 0:
		res.Reason = "there are no operations to judge"
	default:
		res.Validity = check.Valid
	}
	return res
}

// firstIllegal finds the end of the shortest beginning of the history that is illegal.
func (s *story) firstIllegal(
	ctx context.Context, m *Model, o *object, budget register.Budget,
) check.Finding {
	f := check.Finding{Class: "not linearizable", Key: o.key}
	ends := slices.Clone(o.ops)
	ends = slices.DeleteFunc(ends, func(op generalOp) bool { return op.ret == register.Never })
	slices.SortFunc(ends, func(a, b generalOp) int { return cmp.Compare(a.ret, b.ret) })
	at := sort.Search(len(ends), func(i int) bool {
		return decideModel(ctx, m, endAt(m, o.ops, ends[i].ret), budget).Answer == register.Illegal
	})
	if at == len(ends) {
		f.Text = "There is no order in which all of this can have happened."
		return f
	}
	c := &s.calls[ends[at].id]
	begin := &s.h.Ops[c.Invoke]
	f.Node, f.Time, f.Ops = begin.Node, c.To, []int64{begin.Index}
	f.Text = fmt.Sprintf("Up to the end of the %s by process %v (%s) there is an order in which all "+
		"can have happened; with its answer, %.200s, there is none.", begin.F, begin.Process, span(c),
		ends[at].answer)
	return f
}

// endAt is what was known at a time.
func endAt(m *Model, ops []generalOp, end int64) []generalOp {
	var out []generalOp
	for _, op := range ops {
		switch {
		case op.call > end || op.ret > end && m.functions[op.f]:
			continue
		case op.ret > end:
			op.answered, op.ret = false, register.Never
		}
		out = append(out, op)
	}
	return out
}
