// Package register is what all engines of the linearizability checker share: the operations of one
// register, and what each of them may do to it. It knows nothing of histories, keys or files.
//
// Times are whole numbers. An operation takes effect at one moment between its Call and its Ret,
// both included. So a precedes b only if a.Ret < b.Call: at equal times they are concurrent.
package register

import (
	"context"
	"fmt"
	"math"
)

// Value names what a register may hold. Values are numbered densely by whoever makes the
// operations; only equality matters.
type Value uint32

// Absent is the value of a register to which nothing was written, or whose key was deleted.
const Absent Value = 0

// Never is the Ret of an operation that may take effect at any later time.
const Never int64 = math.MaxInt64

// Kind says what an operation does. The zero value is not a kind.
type Kind uint8

const (
	// Read finds A.
	Read Kind = iota + 1
	// Write puts B there, whatever was there. A delete writes [Absent].
	Write
	// CAS finds A and puts B there.
	CAS
	// Miss finds something that is not A: a compare-and-set that was refused, by a store that does
	// not tell what it found. One that does is a Read of what it found.
	Miss
	// Impossible can not happen: a compare-and-set that was refused although it found what it
	// expected.
	Impossible
)

// Op is an operation on a register.
type Op struct {
	Kind Kind
	// Maybe says that nobody knows whether it happened: it may take effect at any time from Call
	// on, once, or never. Only a Write or a CAS can be a Maybe, and its Ret is [Never]. A CAS
	// that does not find A has no effect: that is the same as never.
	Maybe bool
	A, B  Value
	// Call and Ret bound the time at which it took effect.
	Call, Ret int64
	// ID is the caller's: where the operation stands in its history.
	ID int32
}

// Step is what o does to a register that holds v. It is false if o can not have happened there.
// That a Maybe never happens is not a step.
func (o *Op) Step(v Value) (Value, bool) {
	switch o.Kind {
	case Read:
		return v, v == o.A
	case Write:
		return o.B, true
	case CAS:
		return o.B, v == o.A
	case Miss:
		return v, v != o.A
	}
	return v, false
}

// Mutates says whether o may change the register.
func (o *Op) Mutates() bool { return o.Kind == Write || o.Kind == CAS }

// Observes says whether o tells what the register held, and gives that value.
func (o *Op) Observes() (Value, bool) { return o.A, o.Kind == Read || o.Kind == CAS }

// Valid says what is wrong with o, if anything is.
func (o *Op) Valid() error {
	switch {
	case o.Kind < Read || o.Kind > Impossible:
		return fmt.Errorf("operation %d has no kind", o.ID)
	case o.Ret < o.Call:
		return fmt.Errorf("operation %d returns before it is called", o.ID)
	case o.Maybe && (!o.Mutates() || o.Ret != Never):
		return fmt.Errorf("operation %d can not be indeterminate", o.ID)
	}
	return nil
}

func (o *Op) String() string {
	maybe := ""
	if o.Maybe {
		maybe = "?"
	}
	switch o.Kind {
	case Read:
		return fmt.Sprintf("read=%d", o.A)
	case Write:
		return fmt.Sprintf("write%s %d", maybe, o.B)
	case CAS:
		return fmt.Sprintf("cas%s %d->%d", maybe, o.A, o.B)
	case Miss:
		return fmt.Sprintf("cas not %d", o.A)
	}
	return "impossible"
}

// Budget bounds the work of a decision. It counts, and does not look at a clock: the same history
// gives the same answer on any machine.
type Budget struct {
	// Steps bounds how often an operation is tried on a state.
	Steps int64
	// Bytes bounds roughly how much memory a search takes.
	Bytes int64
}

// Answer is what an engine says. The zero value is not an answer: it could not decide.
type Answer uint8

const (
	// Undecided says that the budget ran out, or that the engine is not made for such a history.
	Undecided Answer = iota
	// Legal says that there is an order in which all happened.
	Legal
	// Illegal says that there is none.
	Illegal
)

func (a Answer) String() string {
	switch a {
	case Legal:
		return "legal"
	case Illegal:
		return "illegal"
	}
	return "undecided"
}

// Decision is what an engine found out about a history.
type Decision struct {
	Answer Answer
	// Order, if Legal, is an order in which the operations can have happened, as positions in
	// the history. A Maybe that is not in it never happened.
	Order []int32
	// Core, if Illegal, are positions of operations that can not all have happened; nil if the
	// engine does not know better than all.
	Core []int32
	// Steps is how much of the budget was used.
	Steps int64
	// Upto, if Undecided, is a time: what had returned until then was seen to be legal.
	Upto int64
	// Reason says why it is Undecided.
	Reason string
}

// OutOf words why a search was given up: ctx is done, the steps are used up, or the bytes.
func OutOf(ctx context.Context, steps bool) string {
	switch {
	case ctx.Err() != nil:
		return "it ran out of time"
	case steps:
		return "it ran out of steps"
	}
	return "it ran out of memory"
}
