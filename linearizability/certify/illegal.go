package certify

import "github.com/raftcheck/raftcheck/linearizability/register"

// Illegal tries every order of a few operations on a register, see [Impossible].
func Illegal(ops []register.Op, maxSteps int) (illegal, decided bool) {
	timed := make([]Timed, len(ops))
	for i := range ops {
		timed[i] = Timed{ops[i].Call, ops[i].Ret, ops[i].Maybe}
	}
	return Impossible(timed, func(state int32, i int) []int32 {
		next, ok := ops[i].Step(register.Value(state))
		if !ok {
			return nil
		}
		return []int32{int32(next)}
	}, maxSteps)
}
