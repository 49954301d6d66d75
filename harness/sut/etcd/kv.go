package etcd

import (
	"context"

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
	return a.KVs[0].item().Value
}

func (kv keyValue) item() sut.Item {
	return sut.Item{Key: string(kv.Key), Value: sut.Value{
		Data: string(kv.Value), Present: true, Version: uint64(kv.ModRevision),
	}}
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

// GetStale implements [sut.StaleReader].
func (c *Conn) GetStale(ctx context.Context, key string) (sut.Value, error) {
	stale := *c
	stale.serializable = true
	return stale.Get(ctx, key)
}

// Range implements [sut.Ranger]: in one request, whose keys are all of the same moment.
func (c *Conn) Range(ctx context.Context, prefix string) ([]sut.Item, error) {
	var a rangeAnswer
	err := c.call(ctx, "kv/range", object{
		"key": text(prefix), "range_end": text(prefixEnd(prefix)), "serializable": c.serializable,
	}, &a)
	if err != nil {
		return nil, err
	}
	items := make([]sut.Item, len(a.KVs))
	for i, kv := range a.KVs {
		items[i] = kv.item()
	}
	return items, nil
}

// changed is the answer to a write.
type changed struct {
	Header  answerHeader `json:"header"`
	Deleted number       `json:"deleted"`
}

// Put implements [sut.KV].
func (c *Conn) Put(ctx context.Context, key, value string) error {
	_, err := c.PutVersioned(ctx, key, value)
	return err
}

// PutVersioned implements [sut.VersionedWriter].
func (c *Conn) PutVersioned(ctx context.Context, key, value string) (uint64, error) {
	var a changed
	err := c.call(ctx, "kv/put", object{"key": text(key), "value": text(value)}, &a)
	return uint64(a.Header.Revision), err
}

// Delete implements [sut.Deleter].
func (c *Conn) Delete(ctx context.Context, key string) (bool, error) {
	var a changed
	err := c.call(ctx, "kv/deleterange", object{"key": text(key)}, &a)
	return a.Deleted > 0, err
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
