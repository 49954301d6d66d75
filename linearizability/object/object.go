// Package object decides histories of objects of any kind, given what an operation does to a state.
//
// It is the just-in-time search of Lowe (Testing for linearizability, CCPE 2017), depth first and
// with a memory of what has failed: an operation is placed only when one that returns needs it.
// Three reductions keep it exact. An observer that fits is placed at once, since it changes
// nothing. Of several operations with one effect the one that returns first is placed, since they
// can be exchanged. And what has returned is forgotten, so that the memory of a failure is as wide
// as what was under way, not as long as the history.
package object

import (
	"context"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// State names a state of the object. States are numbered by whoever makes the operations; only
// equality matters. The object begins in state 0.
type State int32

// Op is an operation on an object. It takes effect at one moment from Call to Ret, both included.
type Op struct {
	Call, Ret int64
	// Class says what it does and answers: two operations of one class have the same effect.
	Class int32
	// Observer says that it never changes the state.
	Observer bool
	// Maybe says that it may take effect at any time from Call on, once, or never. Its Ret is
	// [register.Never].
	Maybe bool
}

// Step gives the states in which an operation of a class can leave an object; none if it can not
// happen in state s. The result is read and not kept. The same arguments give the same result.
type Step func(s State, class int32) []State

// Decide says whether there is an order in which ops can have happened. A Legal comes with it. The
// answer is Undecided when the budget is used up, or ctx is done.
func Decide(ctx context.Context, ops []Op, step Step, budget register.Budget) register.Decision {
	s := newSearch(ctx, ops, step, budget)
	found := s.run()
	d := register.Decision{Steps: s.steps}
	switch {
	case s.stopped:
		d.Reason = register.OutOf(ctx, s.steps > budget.Steps)
		d.Upto = s.upto
	case found:
		d.Answer, d.Order = register.Legal, s.order
	default:
		d.Answer = register.Illegal
	}
	return d
}
