package linearizability

import (
	"context"

	"github.com/raftcheck/raftcheck/linearizability/certify"
	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/search"
	"github.com/raftcheck/raftcheck/linearizability/zone"
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
	d := Decision{zone.Decide(ops), "zones"}
	if d.Answer != register.Undecided {
		return d.certified(ops)
	}
	left, kept := ops, []int32(nil)
	if !register.HasMiss(ops) {
		left, kept = register.Normalize(ops)
	}
	steps := d.Steps
	d = decideLeft(ctx, left, budget)
	d.restore(kept)
	d.Steps += steps
	return d.certified(ops)
}

// decideLeft asks the engines that need no assumption. What the search can not decide within the
// budget porcupine seldom can, but it goes another way, and the time is there.
func decideLeft(ctx context.Context, ops []register.Op, budget register.Budget) Decision {
	d := Decision{search.Decide(ctx, ops, budget), "search"}
	if d.Answer != register.Undecided || ctx.Err() != nil {
		return d
	}
	p := byPorcupine(ctx, ops, register.Budget{Steps: budget.Steps / 4, Bytes: budget.Bytes / 2})
	p.Steps += d.Steps
	if p.Answer == register.Undecided {
		d.Steps = p.Steps
		return d
	}
	return Decision{p, "porcupine"}
}

// restore turns positions in what was kept into positions in what there was.
func (d *Decision) restore(kept []int32) {
	if kept == nil {
		return
	}
	for i := range d.Order {
		d.Order[i] = kept[d.Order[i]]
	}
	for i := range d.Core {
		d.Core[i] = kept[d.Core[i]]
	}
}

// certified replays the order of a Legal. One that is wrong is a mistake of the engine, and decides
// nothing.
func (d Decision) certified(ops []register.Op) Decision {
	if d.Answer != register.Legal {
		return d
	}
	if err := certify.Legal(ops, d.Order); err != nil {
		d.Answer, d.Order = register.Undecided, nil
		d.Reason = "the order that was found is wrong: " + err.Error()
	}
	return d
}
