package history

import (
	"math"
	"time"
)

// Never is the end of an operation that may take effect at any later time, or never.
const Never = time.Duration(math.MaxInt64)

// Call is a client's operation: both its ends together. It is kept small, since there may be
// millions of them; what else there is to know stands in the two operations.
type Call struct {
	// Invoke and Done are positions in [History.Ops]. Done is -1 for an operation that is open at
	// the end of the history.
	Invoke, Done int
	// From and To bound the time in which it took effect, if it did: both are included. To is
	// [Never] for an Info.
	From, To time.Duration
	// Outcome is Ok, Fail or Info, and never Invoke.
	Outcome Type
}

// Calls puts the two ends of each client operation together, in order of invocation. An operation
// that is open at the end is an Info.
//
// The Start of a completion tells more exactly than the invocation when the operation began; it
// counts only where it lies between the two ends.
//
// The error is a [*FormatError] that names the line: a process did two things at once, or ended
// what it had not begun, or ended it before it began.
func (h *History) Calls() ([]Call, error) {
	var calls []Call
	open := map[Process]int{}
	for i := range h.Ops {
		op := &h.Ops[i]
		if !op.Process.IsClient() {
			continue
		}
		at, busy := open[op.Process]
		if op.Type == Invoke {
			if busy {
				return nil, errCorrupt(i+2, "process %v begins while its operation %d is under way",
					op.Process, h.Ops[calls[at].Invoke].Index)
			}
			open[op.Process] = len(calls)
			calls = append(calls, Call{
				Invoke: i, Done: -1, From: op.Time, To: Never, Outcome: Info})
			continue
		}
		if !busy {
			return nil, errCorrupt(i+2, "process %v ends an operation that it did not begin",
				op.Process)
		}
		delete(open, op.Process)
		if err := h.finish(&calls[at], i); err != nil {
			return nil, err
		}
	}
	return calls, nil
}

// finish ends c with the operation at position i.
func (h *History) finish(c *Call, i int) error {
	begin, end := &h.Ops[c.Invoke], &h.Ops[i]
	if end.F != begin.F || end.Key != begin.Key {
		return errCorrupt(i+2, "process %v ends a %s of %q, but it had begun a %s of %q",
			end.Process, end.F, end.Key, begin.F, begin.Key)
	}
	if end.Time < begin.Time {
		return errCorrupt(i+2, "process %v ends its operation before it began it", end.Process)
	}
	c.Done, c.Outcome = i, end.Type
	if end.Start > begin.Time && end.Start <= end.Time {
		c.From = end.Start
	}
	if end.Type != Info {
		c.To = end.Time
	}
	return nil
}
