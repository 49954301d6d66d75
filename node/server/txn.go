package server

import (
	"fmt"
	"strconv"

	"github.com/raftcheck/raftcheck/node/kv"
)

// compareJSON is one condition of a transaction: on the value, the version, or existence.
type compareJSON struct {
	Key     string  `json:"key"`
	Value   *string `json:"value"`
	Version *uint64 `json:"version"`
	Exists  *bool   `json:"exists"`
}

// stepJSON is one step of a transaction.
type stepJSON struct {
	Op    string `json:"op"`
	Key   string `json:"key"`
	Value string `json:"value"`
	Delta *int64 `json:"delta"`
}

func txnCommand(r *request) (kv.Command, *Error) {
	t := &kv.Txn{}
	for i, c := range r.Compare {
		out := kv.Compare{Key: c.Key}
		given := 0
		if c.Value != nil {
			given++
			out.Target, out.Value = kv.TargetValue, *c.Value
		}
		if c.Version != nil {
			given++
			out.Target, out.Version = kv.TargetVersion, *c.Version
		}
		if c.Exists != nil {
			given++
			out.Target = kv.TargetAbsent
			if *c.Exists {
				out.Target = kv.TargetExists
			}
		}
		if given != 1 {
			return kv.Command{}, errBadRequest(fmt.Sprintf(
				"compare %d needs exactly one of value, version and exists", i))
		}
		t.Compare = append(t.Compare, out)
	}
	var e1, e2 *Error
	t.Then, e1 = steps(r.Then)
	t.Else, e2 = steps(r.Else)
	if e1 == nil {
		e1 = e2
	}
	return kv.Command{Op: kv.OpTxn, Txn: t}, e1
}

func steps(in []stepJSON) ([]kv.Step, *Error) {
	out := make([]kv.Step, len(in))
	for i, s := range in {
		out[i] = kv.Step{Key: s.Key, Value: s.Value}
		switch s.Op {
		case "put":
			out[i].Op = kv.OpPut
		case "delete":
			out[i].Op = kv.OpDelete
		case "append":
			out[i].Op = kv.OpAppend
		case "get":
			out[i].Op = kv.OpGet
		case "increment":
			out[i].Op, out[i].Delta = kv.OpIncrement, 1
			if s.Delta != nil {
				out[i].Delta = *s.Delta
			}
		default:
			return nil, errBadRequest(fmt.Sprintf("step %d: no operation %q in a transaction", i, s.Op))
		}
	}
	return out, nil
}

// txnReply answers each step as the operation of its own would be answered.
func txnReply(b []byte, r *request, a answer) []byte {
	b = strconv.AppendBool(append(b, `{"succeeded":`...), a.Done)
	b = append(b, `,"results":[`...)
	steps := r.Else
	if a.Done {
		steps = r.Then
	}
	for i, result := range a.Steps {
		if i > 0 {
			b = append(b, ',')
		}
		one := answer{Result: result}
		switch steps[i].Op {
		case "get":
			b = foundReply(b, result)
		case "delete":
			b = deleteReply(b, nil, one)
		case "put":
			b = versionReply(b, nil, one)
		default:
			b = valueReply(b, nil, one)
		}
	}
	return append(b, "]}"...)
}
