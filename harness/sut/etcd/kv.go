package etcd

import (
	"context"
	"errors"
	"fmt"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// object is a message of the gateway.
type object map[string]any

type keyValue struct {
	Key         []byte `json:"key"`
	Value       []byte `json:"value"`
	ModRevision number `json:"mod_revision"`
}

type rangeAnswer struct {
	KVs []keyValue `json:"kvs"`
}

// value is what a range over a single key found. Its version is that of the whole store when the
// key was last changed, which counts up with each change of the key.
func (a rangeAnswer) value() sut.Value {
	if len(a.KVs) == 0 {
		return sut.Value{}
	}
	kv := a.KVs[0]
	return sut.Value{Data: string(kv.Value), Present: true, Version: uint64(kv.ModRevision)}
}

type txnAnswer struct {
	Succeeded bool `json:"succeeded"`
	Responses []struct {
		Range rangeAnswer `json:"response_range"`
	} `json:"responses"`
}

// Get implements [sut.KV].
func (c *Conn) Get(ctx context.Context, key string) (sut.Value, error) {
	var a rangeAnswer
	err := c.call(ctx, "kv/range", object{"key": text(key), "serializable": c.serializable}, &a)
	if err != nil {
		return sut.Value{}, err
	}
	return a.value(), nil
}

// Put implements [sut.KV].
func (c *Conn) Put(ctx context.Context, key, value string) error {
	put := object{"key": text(key), "value": text(value)}
	if c.guard == "" {
		return c.call(ctx, "kv/put", put, &struct{}{})
	}
	return c.guarded(ctx, object{"request_put": put})
}

// guarded writes in a transaction that first looks at all keys of the guard. It makes etcd take its
// time between the decision and the write; whether there are such keys makes no difference.
func (c *Conn) guarded(ctx context.Context, ops ...object) error {
	var a txnAnswer
	err := c.call(ctx, "kv/txn", object{
		"compare": []object{{
			"key": text(c.guard), "range_end": text(prefixEnd(c.guard)),
			"target": "VERSION", "result": "GREATER", "version": "0",
		}},
		"success": ops,
	}, &a)
	if err != nil {
		return err
	}
	if !a.Succeeded {
		return sut.Failed(errors.New("a key that is there has no version"))
	}
	return nil
}

// CAS implements [sut.KV].
func (c *Conn) CAS(ctx context.Context, key, old, new string) (sut.CASResult, error) {
	var a txnAnswer
	err := c.call(ctx, "kv/txn", object{
		"compare": []object{{
			"key": text(key), "target": "VALUE", "result": "EQUAL", "value": text(old),
		}},
		"success": []object{{"request_put": object{"key": text(key), "value": text(new)}}},
		"failure": []object{{"request_range": object{"key": text(key)}}},
	}, &a)
	if err != nil {
		return sut.CASResult{}, err
	}
	if a.Succeeded {
		return sut.CASResult{Swapped: true}, nil
	}
	if len(a.Responses) != 1 {
		return sut.CASResult{}, fmt.Errorf("%d responses to a transaction that asked for one",
			len(a.Responses))
	}
	found := a.Responses[0].Range.value()
	return sut.CASResult{Found: &found}, nil
}

// prefixEnd is the end of the range of all keys with a prefix, which is not empty: the prefix with
// its last byte counted up.
func prefixEnd(prefix string) string {
	end := []byte(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i] < 0xff {
			end[i]++
			return string(end[:i+1])
		}
	}
	return "\x00" // to the end of all keys
}
