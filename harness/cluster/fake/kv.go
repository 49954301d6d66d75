package fake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// Abilities implements [sut.Able].
func (*Store) Abilities() []sut.Ability {
	return []sut.Ability{
		sut.AbleKV, sut.AbleDelete, sut.AbleAppend, sut.AbleIncrement, sut.AbleRange, sut.AbleTxn,
		sut.AbleRetry, sut.AbleStale, sut.AbleVersions,
	}
}

// read calls do with the data that counts: the leader's, or the node's own where it is told to.
func (c *conn) read(ctx context.Context, stale bool, do func(map[string]cell)) error {
	return c.request(ctx, func(n *node) error {
		from := n
		if !stale && !c.store.behaviour.LocalReads {
			if n.leader == nil || n != n.leader && !talks(n, n.leader) {
				return sut.Failed(errors.New("no_leader"))
			}
			from = n.leader
		}
		do(from.data)
		return nil
	})
}

// batch is what a request does to the leader's data.
type batch struct {
	data    map[string]cell
	before  map[string]cell // what each key held before its last change
	version uint64
	changed []string
}

func (b *batch) put(key, text string) {
	b.before[key] = b.data[key]
	b.data[key] = cell{text, b.version}
	b.changed = append(b.changed, key)
}

func (b *batch) delete(key string) {
	delete(b.data, key)
	b.changed = append(b.changed, key)
}

func (b *batch) get(key string) sut.Value {
	v, present := b.data[key]
	return sut.Value{Data: v.text, Present: present, Version: v.version}
}

// write carries do out on the leader's data. What it changes reaches whomever the leader can talk
// to. The answer to a request that may come again is remembered.
func write[T any](
	ctx context.Context, c *conn, do func(*batch) (T, error),
) (answer T, err error) {
	err = c.request(ctx, func(n *node) error {
		if err := c.lead(n); err != nil {
			return err
		}
		id := [2]uint64{c.serial, c.once}
		if old, known := n.answers[id]; known && !c.store.behaviour.TwiceApplied {
			answer = old.(T)
			return nil
		}
		b := &batch{data: n.data, before: n.before, version: n.have + 1}
		if answer, err = do(b); err != nil {
			return err
		}
		if c.once > 0 {
			n.answers[id] = answer
		}
		n.spread(b.changed)
		return nil
	})
	return answer, err
}

// spread brings what has changed on n to whomever it can talk to, if it is the leader.
func (n *node) spread(changed []string) {
	if len(changed) == 0 {
		return
	}
	n.have++
	for _, o := range n.nodes {
		if o == n || n != n.leader || !talks(n, o) {
			continue
		}
		o.have = n.have
		for _, key := range changed {
			if v, there := n.data[key]; there {
				o.data[key] = v
			} else {
				delete(o.data, key)
			}
		}
	}
}

// Get implements [sut.KV].
func (c *conn) Get(ctx context.Context, key string) (v sut.Value, err error) {
	err = c.read(ctx, false, func(data map[string]cell) { v = (&batch{data: data}).get(key) })
	return v, err
}

// GetStale implements [sut.StaleReader].
func (c *conn) GetStale(ctx context.Context, key string) (v sut.Value, err error) {
	err = c.read(ctx, true, func(data map[string]cell) { v = (&batch{data: data}).get(key) })
	return v, err
}

// Range implements [sut.Ranger].
func (c *conn) Range(ctx context.Context, prefix string) (items []sut.Item, err error) {
	err = c.read(ctx, false, func(data map[string]cell) {
		for key, v := range data {
			if strings.HasPrefix(key, prefix) {
				found := sut.Value{Data: v.text, Present: true, Version: v.version}
				items = append(items, sut.Item{Key: key, Value: found})
			}
		}
	})
	slices.SortFunc(items, func(a, b sut.Item) int { return strings.Compare(a.Key, b.Key) })
	return items, err
}

// Put implements [sut.KV].
func (c *conn) Put(ctx context.Context, key, value string) error {
	_, err := c.PutVersioned(ctx, key, value)
	return err
}

// PutVersioned implements [sut.VersionedWriter].
func (c *conn) PutVersioned(ctx context.Context, key, value string) (uint64, error) {
	return write(ctx, c, func(b *batch) (uint64, error) {
		b.put(key, value)
		return b.version, nil
	})
}

// swap is the answer to a compare-and-set.
type swap struct {
	sut.CASResult
	version uint64
}

// CAS implements [sut.KV].
func (c *conn) CAS(ctx context.Context, key, old, new string) (sut.CASResult, error) {
	res, _, err := c.CASVersioned(ctx, key, old, new)
	return res, err
}

// CASVersioned implements [sut.VersionedWriter].
func (c *conn) CASVersioned(
	ctx context.Context, key, old, new string,
) (sut.CASResult, uint64, error) {
	res, err := write(ctx, c, func(b *batch) (swap, error) {
		if v := b.get(key); !v.Present || v.Data != old {
			return swap{CASResult: sut.CASResult{Found: &v}}, nil
		}
		b.put(key, new)
		return swap{sut.CASResult{Swapped: true}, b.version}, nil
	})
	return res.CASResult, res.version, err
}

// Delete implements [sut.Deleter].
func (c *conn) Delete(ctx context.Context, key string) (bool, error) {
	return write(ctx, c, func(b *batch) (bool, error) {
		there := b.get(key).Present
		if there {
			b.delete(key)
		}
		return there, nil
	})
}

// Append implements [sut.Appender].
func (c *conn) Append(ctx context.Context, key, text string) error {
	_, err := write(ctx, c, func(b *batch) (bool, error) {
		b.put(key, b.data[key].text+text)
		return true, nil
	})
	return err
}

// Increment implements [sut.Incrementer].
func (c *conn) Increment(ctx context.Context, key string, delta int64) (int64, error) {
	return write(ctx, c, func(b *batch) (int64, error) {
		v := b.get(key)
		n, err := strconv.ParseInt(v.Data, 10, 64)
		if v.Present && err != nil {
			return 0, sut.Failed(fmt.Errorf("%q is not a number", v.Data))
		}
		b.put(key, strconv.FormatInt(n+delta, 10))
		return n + delta, nil
	})
}

// Txn implements [sut.Transactor].
func (c *conn) Txn(ctx context.Context, t sut.Txn) (sut.TxnResult, error) {
	return write(ctx, c, func(b *batch) (res sut.TxnResult, err error) {
		res.Succeeded = true
		for _, w := range t.If {
			v := b.get(w.Key)
			res.Succeeded = res.Succeeded && (w.Value == nil || v.Present && v.Data == *w.Value) &&
				(w.Version == nil || v.Version == *w.Version) &&
				(w.Exists == nil || v.Present == *w.Exists)
		}
		steps := t.Then
		if !res.Succeeded {
			steps = t.Else
		}
		for i, s := range steps {
			res.Values = append(res.Values, c.step(b, s, i))
		}
		if len(b.changed) > 0 {
			res.Version = b.version
		}
		return res, nil
	})
}

// step carries out one step of a transaction, the one at position i.
func (c *conn) step(b *batch, s sut.Step, i int) (v sut.Value) {
	switch s.Do {
	case sut.StepGet:
		if i == 1 && c.store.behaviour.TornReads && b.version%8 == 0 {
			v = (&batch{data: b.before}).get(s.Key)
			v.Present = v.Version > 0
			return v
		}
		return b.get(s.Key)
	case sut.StepPut:
		b.put(s.Key, s.Value)
	case sut.StepAppend:
		b.put(s.Key, b.data[s.Key].text+s.Value)
	case sut.StepDelete:
		b.delete(s.Key)
	}
	return v
}

// Once implements [sut.Retrier].
func (c *conn) Once(context.Context) (sut.Conn, error) {
	c.seq++
	view := *c
	view.once = c.seq
	return &view, nil
}
