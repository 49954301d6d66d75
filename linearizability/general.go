package linearizability

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// objectOps is one object of a model, with the operations on it.
type objectOps struct {
	key string
	ops []generalOp
}

// generalOp is an operation with its times; id is its position among the calls.
type generalOp struct {
	modelOp
	observer  bool
	call, ret int64
	id        int
}

// decodeModel sorts the operations of clients by object. What failed, and observers that did not
// answer, constrain nothing.
func decodeModel(m *Model, h *history.History, calls []history.Call) ([]*objectOps, error) {
	byKey := map[string]*objectOps{}
	var objects []*objectOps
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
			o = &objectOps{key: key}
			byKey[key] = o
			objects = append(objects, o)
		}
		if c.Outcome == history.Fail || observer && c.Outcome == history.Info {
			continue
		}
		op := generalOp{call: int64(c.From), ret: int64(c.To), id: i}
		op.f, op.observer, op.answered = begin.F, observer, c.Outcome == history.Ok
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
	subjects := make([]subject, len(objects))
	for i, o := range objects {
		subjects[i] = subject{
			key: o.key, operations: len(o.ops),
			decide: func() Decision { return decideObject(ctx, m, o.ops, c.budget) },
			explain: func(*Decision) (check.Finding, bool) {
				core := minimizeObject(ctx, m, o.ops)
				k, ops := newMachine(m, core)
				return s.explainObject(o.key, core), k.confirm(ops)
			},
		}
	}
	return conclude(subjects, decideAll(ctx, subjects), "objects")
}
