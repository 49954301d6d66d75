package raftkv

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// Abilities implements [sut.Able].
func (System) Abilities() []sut.Ability {
	return []sut.Ability{
		sut.AbleKV, sut.AbleDelete, sut.AbleAppend, sut.AbleIncrement, sut.AbleRange, sut.AbleTxn,
		sut.AbleRetry, sut.AbleStale, sut.AbleVersions,
	}
}

// GetStale implements [sut.StaleReader]: what this node has applied.
func (c *Conn) GetStale(ctx context.Context, key string) (sut.Value, error) {
	var a valueAnswer
	req := struct {
		Key  string `json:"key"`
		Mode string `json:"mode"`
	}{key, "stale"}
	if err := c.post(ctx, "get", req, &a); err != nil {
		return sut.Value{}, err
	}
	return a.value(), nil
}

// PutVersioned implements [sut.VersionedWriter].
func (c *Conn) PutVersioned(ctx context.Context, key, value string) (uint64, error) {
	var a valueAnswer
	err := c.post(ctx, "put", keyRequest{Key: key, Value: value}, &a)
	return a.Version, err
}

// CASVersioned implements [sut.VersionedWriter].
func (c *Conn) CASVersioned(
	ctx context.Context, key, old, new string,
) (sut.CASResult, uint64, error) {
	var a valueAnswer
	req := struct {
		Key string `json:"key"`
		Old string `json:"old"`
		New string `json:"new"`
	}{key, old, new}
	if err := c.post(ctx, "cas", req, &a); err != nil {
		return sut.CASResult{}, 0, err
	}
	if a.Swapped {
		return sut.CASResult{Swapped: true}, a.Version, nil
	}
	found := a.value()
	return sut.CASResult{Found: &found}, 0, nil
}

// Delete implements [sut.Deleter].
func (c *Conn) Delete(ctx context.Context, key string) (bool, error) {
	var a struct {
		Deleted bool `json:"deleted"`
	}
	err := c.post(ctx, "delete", keyRequest{Key: key}, &a)
	return a.Deleted, err
}

// Append implements [sut.Appender].
func (c *Conn) Append(ctx context.Context, key, text string) error {
	return c.post(ctx, "append", keyRequest{Key: key, Value: text}, &struct{}{})
}

// Increment implements [sut.Incrementer].
func (c *Conn) Increment(ctx context.Context, key string, delta int64) (int64, error) {
	req := struct {
		Key   string `json:"key"`
		Delta int64  `json:"delta"`
	}{key, delta}
	var a valueAnswer
	if err := c.post(ctx, "increment", req, &a); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(a.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("increment of %s: the node answers %.40q", key, a.Value)
	}
	return n, nil
}

// page is how many keys one request lists: the most that a node answers.
const page = 10_000

// Range implements [sut.Ranger].
func (c *Conn) Range(ctx context.Context, prefix string) (items []sut.Item, err error) {
	req := struct {
		Prefix string `json:"prefix"`
		Start  string `json:"start,omitempty"`
		Limit  int    `json:"limit"`
	}{Prefix: prefix, Limit: page}
	for {
		var a struct {
			Items []struct {
				Key     string `json:"key"`
				Value   string `json:"value"`
				Version uint64 `json:"version"`
			} `json:"items"`
			More bool `json:"more"`
		}
		if err := c.post(ctx, "list", req, &a); err != nil {
			return nil, err
		}
		for _, it := range a.Items {
			v := sut.Value{Data: it.Value, Present: true, Version: it.Version}
			items = append(items, sut.Item{Key: it.Key, Value: v})
		}
		if !a.More || len(a.Items) == 0 {
			return items, nil
		}
		req.Start = a.Items[len(a.Items)-1].Key + "\x00"
	}
}

// condition and step are as the node reads them.
type condition struct {
	Key     string  `json:"key"`
	Value   *string `json:"value,omitempty"`
	Version *uint64 `json:"version,omitempty"`
	Exists  *bool   `json:"exists,omitempty"`
}

type step struct {
	Op    sut.StepKind `json:"op"`
	Key   string       `json:"key"`
	Value string       `json:"value,omitempty"`
}

func steps(from []sut.Step) []step {
	out := make([]step, len(from))
	for i, s := range from {
		out[i] = step{s.Do, s.Key, s.Value}
	}
	return out
}

// Txn implements [sut.Transactor].
func (c *Conn) Txn(ctx context.Context, t sut.Txn) (res sut.TxnResult, err error) {
	req := struct {
		If   []condition `json:"compare"`
		Then []step      `json:"then"`
		Else []step      `json:"else"`
	}{Then: steps(t.Then), Else: steps(t.Else)}
	for _, w := range t.If {
		if w.Version != nil && *w.Version == 0 {
			w.Version, w.Exists = nil, new(bool)
		}
		req.If = append(req.If, condition(w))
	}
	var a struct {
		Succeeded bool          `json:"succeeded"`
		Results   []valueAnswer `json:"results"`
	}
	if err := c.post(ctx, "txn", req, &a); err != nil {
		return res, err
	}
	done := t.Then
	if !a.Succeeded {
		done = t.Else
	}
	if len(a.Results) != len(done) {
		return res, fmt.Errorf("txn: the node answers %d results to %d steps", len(a.Results),
			len(done))
	}
	res.Succeeded = a.Succeeded
	for i, r := range a.Results {
		res.Values = append(res.Values, r.value())
		if done[i].Do != sut.StepGet {
			res.Version = max(res.Version, r.Version)
		}
	}
	return res, nil
}

// Once implements [sut.Retrier], with a session that the connection opens when it is first asked.
func (c *Conn) Once(ctx context.Context) (sut.Conn, error) {
	if c.session == 0 {
		var a struct {
			Session uint64 `json:"session"`
		}
		if err := c.post(ctx, "session/open", struct{}{}, &a); err != nil {
			return nil, err
		}
		if a.Session == 0 {
			return nil, fmt.Errorf("open a session: the node names none")
		}
		c.session, c.seq = a.Session, 0
	}
	c.seq++
	view := *c
	view.once = &identity{c.session, c.seq, c.seq}
	return &view, nil
}

// identity is that of a request which may be sent again: nothing before it will be, says Ack.
type identity struct {
	Session uint64 `json:"session"`
	Seq     uint64 `json:"seq"`
	Ack     uint64 `json:"ack"`
}

// join adds the identity to a request.
func (id *identity) join(raw []byte) ([]byte, error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	for name, n := range map[string]uint64{"session": id.Session, "seq": id.Seq, "ack": id.Ack} {
		fields[name] = strconv.AppendUint(nil, n, 10)
	}
	return json.Marshal(fields)
}
