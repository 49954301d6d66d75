package workloads

import (
	"encoding/json"

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// complete says how an operation ended, from the answer and the error of the adapter. It is the one
// place where an error becomes Fail or Info:
//
//   - no error: Ok, with the answer;
//   - an error that proves that nothing happened: Fail;
//   - a failed operation that only reads: Fail, since it makes no difference whether it was
//     carried out;
//   - everything else: Info.
func complete(op history.Op, readOnly bool, answer any, err error) history.Op {
	if err != nil {
		op.Type = history.Info
		if readOnly || sut.Definite(err) {
			op.Type = history.Fail
		}
		op.Error = err.Error()
		return op
	}
	op.Type = history.Ok
	if answer != nil {
		raw, err := json.Marshal(answer)
		if err != nil {
			panic("workloads: an answer that is no JSON: " + err.Error())
		}
		op.Value = raw
	}
	return op
}
