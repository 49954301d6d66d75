package certify

import (
	"fmt"
	"math/bits"
)

// Timed is when an operation took effect: at one moment from Call to Ret, both included. A Maybe
// may never have.
type Timed struct {
	Call, Ret int64
	Maybe     bool
}

// Replay checks that order is a linearization of ops: it names each operation at most once and none
// but a Maybe is missing, and none comes after one that was called only when it had returned.
// happen is called for one after the other, and says whether it can happen there.
func Replay(ops []Timed, order []int32, happen func(i int32) bool) error {
	placed := make([]bool, len(ops))
	latest := int64(0) // the latest call so far
	for n, i := range order {
		switch {
		case i < 0 || int(i) >= len(ops):
			return fmt.Errorf("place %d: there is no operation %d", n, i)
		case placed[i]:
			return fmt.Errorf("place %d: operation %d happens twice", n, i)
		case n > 0 && ops[i].Ret < latest:
			return fmt.Errorf("place %d: operation %d had returned before one ahead of it "+
				"was called", n, i)
		case !happen(i):
			return fmt.Errorf("place %d: operation %d can not happen there", n, i)
		}
		placed[i] = true
		if n == 0 || ops[i].Call > latest {
			latest = ops[i].Call
		}
	}
	for i := range ops {
		if !placed[i] && !ops[i].Maybe {
			return fmt.Errorf("operation %d is missing", i)
		}
	}
	return nil
}

// MaxIllegal is how many operations [Impossible] and [Illegal] can look at.
const MaxIllegal = 64

// Impossible tries every order of a few operations on an object that begins in state 0; step gives
// the states in which an operation can leave it. It says whether none is a linearization; decided
// is false if they are too many, or if it took more than maxSteps. It is the plainest judge that
// there can be: what has been placed, and the state, is all that matters for what can come next.
func Impossible(
	ops []Timed, step func(state int32, i int) []int32, maxSteps int,
) (illegal, decided bool) {
	if len(ops) > MaxIllegal {
		return false, false
	}
	type node struct {
		placed uint64
		state  int32
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
	seen := map[node]bool{{}: true}
	todo := []node{{}}
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
			for _, s := range step(n.state, i) {
				if next := (node{n.placed | 1<<i, s}); !seen[next] {
					seen[next] = true
					todo = append(todo, next)
				}
			}
		}
	}
	return true, true
}
