package check

import "github.com/raftcheck/raftcheck/harness/history"

// PromisesOf reads what a run set out to do from the header of its history, so that a saved file is
// judged as it was after the run.
func PromisesOf(h history.Header) Promises {
	return Promises{
		Functions: h.Functions, Faults: h.Faults, Nodes: h.Nodes,
		RecoveryLimit: h.RecoveryLimit, AvailabilityLimit: h.AvailabilityLimit,
		MinOps: h.MinOps, Restart: h.Restart, LeaderChange: h.LeaderChange,
	}
}
