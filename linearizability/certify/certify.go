// Package certify checks what an engine claims, by means so simple that they can be believed. It
// imports no engine.
package certify

import (
	"fmt"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Legal checks that order is a linearization of ops: it names each operation at most once and none
// but a Maybe is missing, each operation finds what it says that it found, and none comes after one
// that was called only when it had returned. It takes linear time.
func Legal(ops []register.Op, order []int32) error {
	placed := make([]bool, len(ops))
	state := register.Absent
	var latest int64 // the latest call so far
	for n, i := range order {
		if i < 0 || int(i) >= len(ops) {
			return fmt.Errorf("place %d: there is no operation %d", n, i)
		}
		o := &ops[i]
		if placed[i] {
			return fmt.Errorf("place %d: operation %d happens twice", n, i)
		}
		placed[i] = true
		if n > 0 && o.Ret < latest {
			return fmt.Errorf("place %d: operation %d had returned before one ahead of it "+
				"was called", n, i)
		}
		if n == 0 || o.Call > latest {
			latest = o.Call
		}
		next, ok := o.Step(state)
		if !ok {
			return fmt.Errorf("place %d: %v can not happen on %d", n, o, state)
		}
		state = next
	}
	for i := range ops {
		if !placed[i] && !ops[i].Maybe {
			return fmt.Errorf("operation %d is missing", i)
		}
	}
	return nil
}
