package linearizability

import (
	"context"
	"sync/atomic"

	"github.com/anishathalye/porcupine"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// spent is what a search by porcupine has used of its budget.
type spent struct {
	steps, bytes int64
	stopped      atomic.Bool
}

// registerModel is a register as porcupine takes it. Its inputs are *register.Op.
//
// An indeterminate operation returns at the end of all time, and always can: where it has no effect
// any more, that is the same as never. Porcupine itself can only be stopped by a clock. So the
// model counts steps, and refuses every operation once the budget is used up: porcupine then backs
// out without another state, and what it says is not to be believed.
func registerModel(
	ctx context.Context, n int, budget register.Budget,
) (porcupine.Model, *spent) {
	used := &spent{}
	return porcupine.Model{
		Init:  func() any { return register.Absent },
		Equal: func(a, b any) bool { return a == b },
		Hash:  func(s any) uint64 { return uint64(s.(register.Value)) * 0x9e3779b97f4a7c15 },
		Step: func(state, in, _ any) (bool, any) {
			used.steps++
			if used.stopped.Load() {
				return false, state
			}
			if used.steps > budget.Steps || used.bytes > budget.Bytes ||
				used.steps&1023 == 1 && ctx.Err() != nil {
				used.stopped.Store(true)
				return false, state
			}
			op := in.(*register.Op)
			next, ok := op.Step(state.(register.Value))
			if !ok && op.Maybe {
				next, ok = state.(register.Value), true
			}
			if ok {
				used.bytes += int64(n)/8 + 100 // what porcupine remembers of a state
			}
			return ok, next
		},
	}, used
}

// byPorcupine decides with porcupine: the algorithm of Wing and Gong with Lowe's memoisation, as in
// Horn and Kroening. It needs no assumption about the history, and may need exponential time.
func byPorcupine(
	ctx context.Context, ops []register.Op, budget register.Budget,
) register.Decision {
	model, used := registerModel(ctx, len(ops), budget)
	in := make([]porcupine.Operation, len(ops))
	for i := range ops {
		in[i] = porcupine.Operation{Input: &ops[i], Call: ops[i].Call, Return: ops[i].Ret}
	}
	res, info := porcupine.CheckOperationsVerbose(model, in, 0)
	d := register.Decision{Steps: used.steps}
	switch {
	case used.stopped.Load():
		d.Reason = register.OutOf(ctx, used.steps > budget.Steps)
	case res == porcupine.Ok:
		d.Answer = register.Legal
		d.Order = porcupineOrder(ops, info)
	default:
		d.Answer = register.Illegal
	}
	return d
}

// porcupineOrder is the order that porcupine found, without the indeterminate operations that have
// no effect in it. Porcupine's ids are the positions in what it was given.
func porcupineOrder(ops []register.Op, info porcupine.LinearizationInfo) []int32 {
	var order []int32
	state := register.Absent
	for _, partial := range info.PartialLinearizations() {
		for _, ids := range partial {
			for _, id := range ids {
				next, ok := ops[id].Step(state)
				if !ok && ops[id].Maybe {
					continue
				}
				state = next
				order = append(order, int32(id))
			}
			return order
		}
	}
	return order
}
