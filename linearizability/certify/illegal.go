package certify

import (
	"math/bits"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// MaxIllegal is how many operations [Illegal] can look at.
const MaxIllegal = 64

// Illegal tries every order of a few operations. It says whether none is a linearization; decided
// is false if they are too many, or if it took more than maxSteps. It is the plainest judge that
// there can be: what has been placed, and what the register holds, is all that matters for what
// can come next.
func Illegal(ops []register.Op, maxSteps int) (illegal, decided bool) {
	if len(ops) > MaxIllegal {
		return false, false
	}
	type node struct {
		placed uint64
		value  register.Value
	}
	var must uint64
	before := make([]uint64, len(ops)) // by operation, those that must be placed before it
	for i := range ops {
		if !ops[i].Maybe {
			must |= 1 << i
		}
		for j := range ops {
			if ops[j].Ret < ops[i].Call {
				before[i] |= 1 << j
			}
		}
	}
	start := node{0, register.Absent}
	seen := map[node]bool{start: true}
	todo := []node{start}
	for len(todo) > 0 {
		n := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if n.placed&must == must {
			return false, true
		}
		for rest := ^n.placed & (1<<len(ops) - 1); rest != 0; rest &= rest - 1 {
			i := bits.TrailingZeros64(rest)
			if before[i]&^n.placed != 0 {
				continue
			}
			if maxSteps--; maxSteps < 0 {
				return false, false
			}
			v, ok := ops[i].Step(n.value)
			next := node{n.placed | 1<<i, v}
			if ok && !seen[next] {
				seen[next] = true
				todo = append(todo, next)
			}
		}
	}
	return true, true
}
