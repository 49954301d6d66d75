package report

import (
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// call is a client's operation: where it begins and ends in the history. It is kept small, since
// there may be a million of them.
type call struct {
	// invoke and done are positions in the history; done is -1 for an operation that is open at
	// the end.
	invoke, done int
	from, to     time.Duration
	outcome      history.Type
}

// pair puts the two ends of each client operation together, in order of invocation. What is open
// at the end is info until the end. A completion without an invocation is left out.
func pair(h *history.History) []call {
	var calls []call
	end := lastTime(h)
	open := map[history.Process]int{}
	for i := range h.Ops {
		op := &h.Ops[i]
		if !op.Process.IsClient() {
			continue
		}
		if op.Type == history.Invoke {
			open[op.Process] = len(calls)
			calls = append(calls, call{
				invoke: i, done: -1, from: op.Time, to: end, outcome: history.Info})
			continue
		}
		at, ok := open[op.Process]
		if !ok {
			continue
		}
		delete(open, op.Process)
		c := &calls[at]
		c.done, c.outcome, c.to = i, op.Type, max(op.Time, c.from)
		if op.Start > c.from && op.Start <= c.to {
			c.from = op.Start
		}
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
