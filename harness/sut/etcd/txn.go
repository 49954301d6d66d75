package etcd

import (
	"context"
	"fmt"
	"strconv"

	"github.com/raftcheck/raftcheck/harness/sut"
)

type txnAnswer struct {
	Header    answerHeader `json:"header"`
	Succeeded bool         `json:"succeeded"`
	Responses []struct {
		Range rangeAnswer `json:"response_range"`
	} `json:"responses"`
}

// CAS implements [sut.KV].
func (c *Conn) CAS(ctx context.Context, key, old, new string) (sut.CASResult, error) {
	res, _, err := c.CASVersioned(ctx, key, old, new)
	return res, err
}

// CASVersioned implements [sut.VersionedWriter].
func (c *Conn) CASVersioned(
	ctx context.Context, key, old, new string,
) (sut.CASResult, uint64, error) {
	a, err := c.txn(ctx, sut.Txn{
		If:   []sut.Condition{{Key: key, Value: &old}},
		Then: []sut.Step{{Do: sut.StepPut, Key: key, Value: new}},
		Else: []sut.Step{{Do: sut.StepGet, Key: key}},
	})
	if err != nil {
		return sut.CASResult{}, 0, err
	}
	if a.Succeeded {
		return sut.CASResult{Swapped: true}, uint64(a.Header.Revision), nil
	}
	found := a.Responses[0].Range.value()
	return sut.CASResult{Found: &found}, 0, nil
}

// Txn implements [sut.Transactor]. etcd itself refuses two writes of a key, and that is definite.
func (c *Conn) Txn(ctx context.Context, t sut.Txn) (sut.TxnResult, error) {
	a, err := c.txn(ctx, t)
	if err != nil {
		return sut.TxnResult{}, err
	}
	res := sut.TxnResult{Succeeded: a.Succeeded}
	for _, r := range a.Responses {
		res.Values = append(res.Values, r.Range.value())
	}
	if writes(t, a.Succeeded) {
		res.Version = uint64(a.Header.Revision)
	}
	return res, nil
}

// writes says whether the steps that were carried out change something.
func writes(t sut.Txn, succeeded bool) bool {
	steps := t.Else
	if succeeded {
		steps = t.Then
	}
	for _, s := range steps {
		if s.Do != sut.StepGet {
			return true
		}
	}
	return false
}

// txn carries t out. There is a response for each step that was.
func (c *Conn) txn(ctx context.Context, t sut.Txn) (a txnAnswer, err error) {
	var bad [2]error
	body := object{"compare": compares(t.If)}
	body["success"], bad[0] = requests(t.Then)
	body["failure"], bad[1] = requests(t.Else)
	for _, err := range bad {
		if err != nil {
			return a, sut.Failed(err)
		}
	}
	if err := c.call(ctx, "kv/txn", body, &a); err != nil {
		return a, err
	}
	want := len(t.Else)
	if a.Succeeded {
		want = len(t.Then)
	}
	if len(a.Responses) != want {
		return a, fmt.Errorf("%d responses to %d steps", len(a.Responses), want)
	}
	return a, nil
}

func compares(all []sut.Condition) []object {
	list := []object{}
	for _, c := range all {
		o := object{"key": text(c.Key), "result": "EQUAL"}
		switch {
		case c.Value != nil: // false if the key is absent
			o["target"], o["value"] = "VALUE", text(*c.Value)
		case c.Version != nil: // an absent key has 0
			o["target"], o["mod_revision"] = "MOD", strconv.FormatUint(*c.Version, 10)
		case c.Exists != nil:
			o["target"], o["version"] = "VERSION", "0"
			if *c.Exists {
				o["result"] = "GREATER"
			}
		}
		list = append(list, o)
	}
	return list
}

func requests(all []sut.Step) ([]object, error) {
	list := []object{}
	for _, s := range all {
		key := object{"key": text(s.Key)}
		switch s.Do {
		case sut.StepGet:
			list = append(list, object{"request_range": key})
		case sut.StepPut:
			key["value"] = text(s.Value)
			list = append(list, object{"request_put": key})
		case sut.StepDelete:
			list = append(list, object{"request_delete_range": key})
		default:
			return nil, fmt.Errorf("etcd has no step %q in a transaction", s.Do)
		}
	}
	return list, nil
}

// guards is how often a guard is compared: so often that it takes etcd noticeable time.
const guards = 4

// PutGuarded implements [sut.Guarder]. That no version is the largest there can be holds for all
// keys, and for none; etcd compares one by one, between deciding on the write and doing it.
func (c *Conn) PutGuarded(ctx context.Context, prefix, key, value string) (bool, error) {
	absent := false
	compare := compares([]sut.Condition{{Key: key, Exists: &absent}})
	for range guards {
		compare = append(compare, object{
			"key": text(prefix), "range_end": text(prefixEnd(prefix)),
			"target": "VERSION", "result": "LESS", "version": "9223372036854775807",
		})
	}
	var a txnAnswer
	err := c.call(ctx, "kv/txn", object{
		"compare": compare,
		"success": []object{{"request_put": object{"key": text(key), "value": text(value)}}},
	}, &a)
	return a.Succeeded, err
}
