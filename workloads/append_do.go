package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// A list is stored as its elements, each with a blank behind it; a register as its value.

// stored is what the store holds, as JSON. A list's elements that nobody can have appended become
// texts, for the checker to see.
func stored(key string, v sut.Value) json.RawMessage {
	if !strings.HasPrefix(key, "a") {
		raw, err := registerValue(v)
		if err != nil {
			return json.RawMessage(jsonText(v.Data))
		}
		return raw
	}
	elements := []json.RawMessage{}
	if text, whole := strings.CutSuffix(v.Data, " "); whole {
		for e := range strings.SplitSeq(text, " ") {
			if n, err := strconv.ParseInt(e, 10, 64); err != nil || strconv.FormatInt(n, 10) != e {
				e = jsonText(e)
			}
			elements = append(elements, json.RawMessage(e))
		}
	} else if v.Data != "" {
		elements = append(elements, json.RawMessage(jsonText(v.Data)))
	}
	return figures(elements)
}

// directly lets the store carry the steps out as they are.
func directly(ctx context.Context, conn sut.Conn, steps []step) ([]step, error) {
	var t sut.Txn
	for _, s := range steps {
		st := sut.Step{Do: sut.StepGet, Key: s.key}
		switch s.f {
		case "append":
			st.Do, st.Value = sut.StepAppend, string(s.value)+" "
		case "w":
			st.Do, st.Value = sut.StepPut, string(s.value)
		}
		t.Then = append(t.Then, st)
	}
	res, err := conn.(sut.Transactor).Txn(ctx, t)
	if err != nil {
		return nil, err
	}
	if !res.Succeeded || len(res.Values) != len(steps) {
		return nil, errors.New("the answer does not fit the transaction")
	}
	answer := make([]step, len(steps))
	for i, s := range steps {
		answer[i] = s
		if s.f == "r" {
			answer[i].value = stored(s.key, res.Values[i])
		}
	}
	return answer, nil
}

// carefully reads what the steps are about, carries them out itself, and writes what came of it if
// nothing has changed in the meantime. An error before the write is definite: nothing was written.
func carefully(ctx context.Context, conn sut.Conn, steps []step) ([]step, error) {
	at, t := map[string]int{}, sut.Txn{}
	for _, s := range steps {
		if _, known := at[s.key]; !known {
			at[s.key] = len(t.Then)
			t.Then = append(t.Then, sut.Step{Do: sut.StepGet, Key: s.key})
		}
	}
	found, err := conn.(sut.Transactor).Txn(ctx, t)
	if err == nil && len(found.Values) != len(t.Then) {
		err = errors.New("the answer does not fit the transaction")
	}
	if err != nil {
		return nil, sut.Failed(err)
	}
	write := sut.Txn{}
	now := map[string]sut.Value{}
	for key, i := range at {
		now[key] = found.Values[i]
	}
	answer := make([]step, len(steps))
	changed := map[string]bool{}
	for i, s := range steps {
		answer[i] = s
		v := now[s.key]
		switch s.f {
		case "r":
			answer[i].value = stored(s.key, v)
		case "append":
			v.Data, v.Present, changed[s.key] = v.Data+string(s.value)+" ", true, true
		case "w":
			v.Data, v.Present, changed[s.key] = string(s.value), true, true
		}
		now[s.key] = v
	}
	for i, get := range t.Then {
		write.If = append(write.If, unchanged(get.Key, found.Values[i]))
		if changed[get.Key] {
			put := sut.Step{Do: sut.StepPut, Key: get.Key, Value: now[get.Key].Data}
			write.Then = append(write.Then, put)
		}
	}
	if len(write.Then) == 0 {
		return answer, nil
	}
	return answer, commit(ctx, conn, write)
}

// errChanged says that a transaction did not happen because its condition did not hold.
var errChanged = errors.New("what it read has changed")

// commit carries out t, which is not to happen if its condition does not hold.
func commit(ctx context.Context, conn sut.Conn, t sut.Txn) error {
	res, err := conn.(sut.Transactor).Txn(ctx, t)
	if err == nil && !res.Succeeded {
		return sut.Failed(errChanged)
	}
	return err
}

// unchanged is the condition that what was found is still there.
func unchanged(key string, v sut.Value) sut.Condition {
	c := sut.Condition{Key: key}
	switch {
	case !v.Present:
		c.Exists = new(bool)
	case v.Version > 0:
		c.Version = &v.Version
	default:
		c.Value = &v.Data
	}
	return c
}
