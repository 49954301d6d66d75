package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/txn"
)

// txnChecker judges transactions over lists and registers; single appends and reads are
// transactions of one step.
type txnChecker struct{}

// Name implements [check.Checker].
func (txnChecker) Name() string { return "transactions" }

// Check implements [check.Checker].
func (txnChecker) Check(_ context.Context, in *check.Input) check.Result {
	res := check.Result{Property: "transactions are strictly serializable"}
	calls, err := in.History.Calls()
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	var txns []txn.Txn
	for i := range calls {
		t, err := transaction(in.History, &calls[i])
		if err != nil {
			op := in.History.Ops[calls[i].Invoke]
			res.Reason = fmt.Sprintf("operation %d: %v", op.Index, err)
			return res
		}
		txns = append(txns, t)
	}
	return judgeTxns(res, in.History, calls, txns)
}

// judgeTxns judges the transactions, each of which is the call at the same position.
func judgeTxns(
	res check.Result, h *history.History, calls []history.Call, txns []txn.Txn,
) check.Result {
	committed, reads := 0, 0
	for i := range txns {
		if txns[i].Fate != txn.Committed {
			continue
		}
		committed++
		for _, s := range txns[i].Steps {
			if s.Kind == txn.Read {
				reads++
			}
		}
	}
	found := txn.Check(txns)
	classes := map[string]int{}
	for _, x := range found {
		classes[x.Name]++
		res.Findings = append(res.Findings, tellAnomaly(h, calls, x))
	}
	res.Summary = fmt.Sprintf("%d transactions, %d of them committed, with %d reads; by the "+
		"cycles of their dependencies", len(txns), committed, reads)
	res.Details = figures(map[string]any{
		"transactions": len(txns), "committed": committed, "reads": reads, "anomalies": classes,
	})
	switch {
	case len(found) > 0:
		res.Validity = check.Invalid
		res.Reason = "found " + strings.Join(slices.Sorted(maps.Keys(classes)), ", ")
	case committed == 0:
		res.Reason = "no transaction was committed"
	default:
		res.Validity = check.Valid
	}
	return res
}

// transaction makes a transaction of a call.
func transaction(h *history.History, c *history.Call) (t txn.Txn, err error) {
	t.From, t.To = int64(c.From), int64(c.To)
	begin := &h.Ops[c.Invoke]
	value := begin.Value
	switch c.Outcome {
	case history.Ok:
		t.Fate, value = txn.Committed, h.Ops[c.Done].Value
	case history.Fail:
		t.Fate = txn.Aborted
	default:
		t.Fate, t.To = txn.Open, math.MaxInt64
	}
	switch begin.F {
	case "append":
		t.Steps = []txn.Step{{Kind: txn.Append, Key: begin.Key, Value: string(begin.Value)}}
		return t, nil
	case "read":
		s := txn.Step{Kind: txn.Read, Key: begin.Key}
		if t.Fate == txn.Committed {
			s.Values, err = readValues(value)
		}
		t.Steps = []txn.Step{s}
		return t, err
	case "txn":
		var steps []step
		if err := json.Unmarshal(value, &steps); err != nil {
			return t, err
		}
		t.Steps, err = txnSteps(steps)
		return t, err
	}
	return t, fmt.Errorf("there is no function %q of transactions", begin.F)
}

func txnSteps(steps []step) (all []txn.Step, err error) {
	for _, s := range steps {
		out := txn.Step{Key: s.key, Value: string(s.value)}
		switch s.f {
		case "append":
			out.Kind = txn.Append
		case "w":
			out.Kind = txn.Write
		case "r":
			out.Kind, out.Value = txn.Read, ""
			if out.Values, err = readValues(s.value); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("there is no step %q", s.f)
		}
		all = append(all, out)
	}
	return all, nil
}

// readValues are the elements of a list, the value of a register, or none for null.
func readValues(raw json.RawMessage) ([]string, error) {
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, nil
	case raw[0] != '[':
		return []string{string(raw)}, nil
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, fmt.Errorf("value %.60s: %w", raw, err)
	}
	var all []string
	for _, e := range elements {
		all = append(all, string(e))
	}
	return all, nil
}

// tellAnomaly puts an anomaly into words.
func tellAnomaly(h *history.History, calls []history.Call, x txn.Anomaly) check.Finding {
	f := check.Finding{Class: x.Name, Key: x.Key}
	var text []string
	if x.Text != "" {
		text = append(text, x.Text)
	}
	for n, i := range x.Txns {
		c := &calls[i]
		op := &h.Ops[c.Invoke]
		f.Ops = append(f.Ops, op.Index)
		if n == 0 {
			f.Time, f.Node = c.From, op.Node
		}
		text = append(text, fmt.Sprintf("T%d, by process %v on %s (%s), is %s.", n+1, op.Process,
			op.Node, span(*c), whatItDid(h, c)))
	}
	for n, e := range x.Edges {
		text = append(text, whyBefore(e, n+1, (n+1)%len(x.Txns)+1))
	}
	if len(x.Edges) > 0 {
		f.Key = x.Edges[0].Key
		text = append(text, "So each of them would have to come before itself.")
	}
	f.Text = strings.Join(text, " ")
	return f
}

// whatItDid is an operation in a few words.
func whatItDid(h *history.History, c *history.Call) string {
	op := &h.Ops[c.Invoke]
	value := op.Value
	if c.Done >= 0 && len(h.Ops[c.Done].Value) > 0 {
		value = h.Ops[c.Done].Value
	}
	text := string(value)
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	if op.Key != "" {
		return fmt.Sprintf("%s %s %s", op.F, op.Key, text)
	}
	return op.F + " " + text
}

// whyBefore says why one transaction comes before another.
func whyBefore(e txn.Edge, a, b int) string {
	switch e.Kind {
	case txn.WW:
		if e.Value == "" {
			return fmt.Sprintf("T%d wrote %s before T%d did (ww).", a, e.Key, b)
		}
		return fmt.Sprintf("T%d wrote to %s before T%d wrote %s there (ww).", a, e.Key, b, e.Value)
	case txn.WR:
		return fmt.Sprintf("T%d wrote %s of %s, which T%d read (wr).", a, e.Value, e.Key, b)
	case txn.RW:
		return fmt.Sprintf("T%d read %s without %s, which T%d wrote (rw).", a, e.Key, e.Value, b)
	}
	return fmt.Sprintf("T%d ended before T%d began (rt).", a, b)
}
