package etcd

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/harness/sut/web"
)

type watchAnswer struct {
	Result struct {
		Created      bool   `json:"created"`
		Canceled     bool   `json:"canceled"`
		CancelReason string `json:"cancel_reason"`
		Compacted    number `json:"compact_revision"`
		Events       []struct {
			Type string   `json:"type"`
			KV   keyValue `json:"kv"`
		} `json:"events"`
	} `json:"result"`
	Error json.RawMessage `json:"error"`
}

// Watch implements [sut.Watcher].
func (c *Conn) Watch(
	ctx context.Context, prefix string, after uint64, ready func(), each func(sut.Event),
) error {
	body, err := json.Marshal(object{"create_request": object{
		"key": text(prefix), "range_end": text(prefixEnd(prefix)),
		"start_revision": fmt.Sprint(after + 1),
	}})
	if err != nil {
		return sut.Failed(err)
	}
	status, stream, err := c.web.Stream(ctx, web.Request{
		Method: "POST", Path: "/v3/watch", Type: "application/json", Body: body,
	})
	if err != nil {
		return ended(ctx, err)
	}
	defer stream.Close()
	if status != 200 {
		return fmt.Errorf("status %d to a watch", status)
	}
	dec := json.NewDecoder(stream)
	for {
		var a watchAnswer
		if err := dec.Decode(&a); err != nil {
			return ended(ctx, err)
		}
		r := a.Result
		switch {
		case a.Error != nil:
			return fmt.Errorf("watch: %.200s", a.Error)
		case r.Canceled || r.Compacted > 0:
			return fmt.Errorf("the watch was cancelled: %s", r.CancelReason)
		case r.Created:
			ready()
		}
		for _, e := range r.Events {
			item := e.KV.item()
			item.Present = e.Type != "DELETE"
			each(sut.Event{Item: item})
		}
	}
}

// ended is how a watch ended: as it was meant to if ctx is done, whatever err says.
func ended(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return fmt.Errorf("watch: %w", err)
	}
	return nil
}
