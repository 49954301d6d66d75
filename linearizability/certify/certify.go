// Package certify checks what an engine claims, by means so simple that they can be believed. It
// imports no engine.
package certify

import "github.com/raftcheck/raftcheck/linearizability/register"

// Legal checks that order is a linearization of ops on a register, see [Replay]: each operation
// finds what it says that it found. It takes linear time.
func Legal(ops []register.Op, order []int32) error {
	timed := make([]Timed, len(ops))
	for i := range ops {
		timed[i] = Timed{ops[i].Call, ops[i].Ret, ops[i].Maybe}
	}
	state := register.Absent
	return Replay(timed, order, func(i int32) bool {
		next, ok := ops[i].Step(state)
		state = next
		return ok
	})
}
