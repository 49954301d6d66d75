package check

import "github.com/raftcheck/raftcheck/harness/history"

// PromisesOf reads what a run set out to do from its history, so that a saved file is judged as it
// was after the run.
func PromisesOf(hist *history.History) Promises {
	h := &hist.Header
	last, ever := hist.Members()
	return Promises{
		Functions: h.Functions, Faults: h.Faults, Nodes: ever, Members: last,
		RecoveryLimit: h.RecoveryLimit, AvailabilityLimit: h.AvailabilityLimit,
		MinOps: h.MinOps, Restart: h.Restart, LeaderChange: h.LeaderChange,
	}
}
