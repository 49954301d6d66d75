package report

import (
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// call is a client's operation: where it begins and ends in the history, and from when to when
// somebody waited for it. It is kept small, since there may be a million of them.
type call struct {
	// invoke and done are positions in the history; done is -1 for an operation that is open at
	// the end.
	invoke, done int
	from, to     time.Duration
	outcome      history.Type
}

// pair puts the two ends of each client operation together, in order of invocation. Somebody waits
// for what is open at the end until the end. A history whose operations can not be paired has none:
// what would be counted in it would mean nothing, and its checkers tell what is wrong with it.
func pair(h *history.History) []call {
	pairs, err := h.Calls()
	if err != nil {
		return nil
	}
	end := lastTime(h)
	calls := make([]call, len(pairs))
	for i, c := range pairs {
		to := c.To
		switch {
		case c.Done < 0:
			to = end
		case c.Outcome == history.Info:
			to = h.Ops[c.Done].Time
		}
		calls[i] = call{c.Invoke, c.Done, c.From, to, c.Outcome}
	}
	return calls
}

// lastTime is when the last thing happened.
func lastTime(h *history.History) (end time.Duration) {
	for i := range h.Ops {
		end = max(end, h.Ops[i].Time)
	}
	return end
}
