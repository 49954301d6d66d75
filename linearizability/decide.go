package linearizability

import (
	"context"

	"github.com/raftcheck/raftcheck/linearizability/certify"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Decision is what was found out about the operations on one register.
type Decision struct {
	register.Decision
	// Engine is the one that decided, or the last that tried.
	Engine string
}

// DefaultBudget is enough for what a run of minutes produces, and not enough to fill a machine.
func DefaultBudget() register.Budget {
	return register.Budget{Steps: 50_000_000, Bytes: 1 << 30}
}

// Decide says whether there is an order in which the operations can have happened, one after the
// other, each at a moment between its call and its return. It asks one engine after the other,
// the cheapest first:
//
//	normalise ─► zones ─► search ─► porcupine
//
// A Legal comes with an order that was replayed, an Illegal with operations that can not all have
// happened. Nothing is believed unseen: an order that can not be replayed is an Undecided.
func Decide(ctx context.Context, ops []register.Op, budget register.Budget) Decision {
	for i := range ops {
		if ops[i].Kind == register.Impossible {
			return Decision{register.Decision{
				Answer: register.Illegal, Core: []int32{int32(i)},
			}, "normalise"}
		}
	}
	left, kept := normalize(ops)
	d := decideLeft(ctx, left, budget)
	if d.Answer == register.Legal {
		if err := certify.Legal(left, d.Order); err != nil {
			d.Answer, d.Reason = register.Undecided, "the order that was found is wrong: "+err.Error()
		}
	}
	for i := range d.Order {
		d.Order[i] = original(kept, d.Order[i])
	}
	for i := range d.Core {
		d.Core[i] = original(kept, d.Core[i])
	}
	return d
}

// original is where the operation stood that stands at i in what was kept.
func original(kept []int32, i int32) int32 {
	if kept == nil {
		return i
	}
	return kept[i]
}

func decideLeft(ctx context.Context, ops []register.Op, budget register.Budget) Decision {
	return Decision{byPorcupine(ctx, ops, budget), "porcupine"}
}
