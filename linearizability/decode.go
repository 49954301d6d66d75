package linearizability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// keyOps are the operations on one key.
type keyOps struct {
	key string
	ops []register.Op
	// values holds the JSON text of each value, by its number; the first is that of Absent.
	values []string
	number map[string]register.Value
}

// decode sorts the client operations of a history by key. ID of an operation is its position in
// calls. Failed operations and reads without an answer constrain nothing and are left out.
//
//	read               ok: the value, or null for absent
//	write   v          ok: anything
//	delete             ok: anything
//	cas     [old,new]  ok: {"swapped":true}, {"swapped":false} or {"swapped":false,"found":v}
//
// Values are compared as JSON texts. A null in an answer is absent.
func decode(h *history.History, calls []history.Call) ([]*keyOps, error) {
	if len(calls) > math.MaxInt32 {
		return nil, fmt.Errorf("%d operations are too many", len(calls))
	}
	byKey := map[string]*keyOps{}
	var keys []*keyOps
	for i := range calls {
		c := &calls[i]
		begin := &h.Ops[c.Invoke]
		k := byKey[begin.Key]
		if k == nil {
			k = &keyOps{
				key: begin.Key, values: []string{"null"},
				number: map[string]register.Value{"null": register.Absent},
			}
			byKey[begin.Key] = k
			keys = append(keys, k)
		}
		if err := k.add(h, c, int32(i)); err != nil {
			return nil, fmt.Errorf("operation %d: %w", begin.Index, err)
		}
	}
	return keys, nil
}

// add decodes one operation.
func (k *keyOps) add(h *history.History, c *history.Call, id int32) error {
	begin := &h.Ops[c.Invoke]
	op := register.Op{
		Call: int64(c.From), Ret: int64(c.To), ID: id, Maybe: c.Outcome == history.Info,
	}
	var answer json.RawMessage
	if c.Outcome == history.Ok {
		answer = h.Ops[c.Done].Value
	}
	var err error
	switch begin.F {
	case "read", "get":
		op.Kind = register.Read
		if c.Outcome != history.Ok {
			return nil
		}
		op.A, err = k.value(answer)
	case "write", "put":
		op.Kind = register.Write
		op.B, err = k.value(begin.Value)
	case "delete":
		op.Kind = register.Write
	case "cas":
		err = k.cas(&op, begin.Value, answer)
	default:
		return fmt.Errorf("a register has no function %q", begin.F)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", begin.F, err)
	}
	if c.Outcome != history.Fail {
		k.ops = append(k.ops, op)
	}
	return nil
}

func (k *keyOps) cas(op *register.Op, arg, answer json.RawMessage) error {
	op.Kind = register.CAS
	var pair []json.RawMessage
	err := json.Unmarshal(arg, &pair)
	if err != nil || len(pair) != 2 {
		return fmt.Errorf("argument %.40s: want [old,new]", arg)
	}
	if op.A, err = k.value(pair[0]); err != nil {
		return err
	}
	if op.B, err = k.value(pair[1]); err != nil {
		return err
	}
	if answer == nil {
		return nil
	}
	var res struct {
		Swapped *bool           `json:"swapped"`
		Found   json.RawMessage `json:"found"`
	}
	if err := json.Unmarshal(answer, &res); err != nil || res.Swapped == nil {
		return fmt.Errorf("answer %.40s: want {\"swapped\":…}", answer)
	}
	if *res.Swapped {
		return nil
	}
	op.Kind = register.Miss
	op.B = register.Absent
	if res.Found == nil {
		return nil
	}
	found, err := k.value(res.Found)
	switch {
	case err != nil:
		return err
	case found == op.A:
		op.Kind = register.Impossible
	default:
		op.Kind, op.A = register.Read, found
	}
	return nil
}

// value numbers a value.
func (k *keyOps) value(raw json.RawMessage) (register.Value, error) {
	if v, ok := k.number[string(raw)]; ok {
		return v, nil
	}
	text := string(raw)
	if !isInteger(raw) {
		var v any
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if err := dec.Decode(&v); err != nil {
			return 0, fmt.Errorf("value %.40q is not JSON", raw)
		}
		canonical, err := json.Marshal(v)
		if err != nil {
			return 0, err
		}
		text = string(canonical)
		if v, ok := k.number[text]; ok {
			return v, nil
		}
	}
	v := register.Value(len(k.values))
	k.values = append(k.values, text)
	k.number[text] = v
	return v, nil
}

// isInteger says whether raw is an integer as one writes it.
func isInteger(raw []byte) bool {
	if len(raw) == 0 || raw[0] == '0' && len(raw) > 1 {
		return false
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
