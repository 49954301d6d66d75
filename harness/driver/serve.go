package driver

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// Lookup finds the system and the client of the workload that the harness names.
type Lookup func(system sut.Ref, workload string) (sut.System, Do, error)

// Serve is the driver: it reads requests from in and writes replies to out until in ends or ctx is
// done. Requests are carried out concurrently.
func Serve(ctx context.Context, in io.Reader, out io.Writer, lookup Lookup) error {
	base := time.Now()
	now := func() time.Duration { return time.Since(base) }
	dec := json.NewDecoder(bufio.NewReaderSize(in, 1<<16))
	w := &lineWriter{enc: json.NewEncoder(out)}

	var h hello
	if err := dec.Decode(&h); err != nil {
		return fmt.Errorf("read the hello: %w", err)
	}
	if h.Version != protocolVersion {
		return fmt.Errorf("the harness speaks driver protocol %d, this driver %d",
			h.Version, protocolVersion)
	}
	system, do, err := lookup(h.System, h.Workload)
	if err != nil {
		w.reply(reply{Now: now(), Error: err.Error()})
		return err
	}
	local := NewLocal(system, h.Nodes, do, h.Timeout, now)
	defer local.Close()
	w.reply(reply{Now: now()})

	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for {
		var req request
		if err := dec.Decode(&req); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("read a request: %w", err)
		}
		if req.Op == nil && req.Status == "" && req.Change == nil {
			w.reply(reply{ID: req.ID, Now: now()})
			continue
		}
		wg.Go(func() { w.reply(answer(ctx, local, req, now)) })
	}
}

func answer(ctx context.Context, local *Local, req request, now func() time.Duration) reply {
	if req.Op != nil {
		d := local.Do(ctx, *req.Op)
		return reply{ID: req.ID, Now: now(), Op: &d.Op, Leader: d.Leader}
	}
	if req.Change != nil {
		ids, err := local.change(ctx, *req.Change)
		return reply{ID: req.ID, Now: now(), Changed: wrapChanged(ids, err)}
	}
	statusCtx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	st, err := local.Status(statusCtx, req.Status)
	if err != nil {
		return reply{ID: req.ID, Now: now(), Error: err.Error()}
	}
	return reply{ID: req.ID, Now: now(), Status: &st}
}

// statusTimeout bounds a question about a node's status. A node that is paused does not answer.
const statusTimeout = time.Second

// lineWriter writes JSON lines from any number of goroutines.
type lineWriter struct {
	mu  sync.Mutex // guards enc
	enc *json.Encoder
}

func (w *lineWriter) write(v any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.enc.Encode(v)
}

// reply writes for the driver: what it can not write is lost, and the other side notices that the
// stream has ended.
func (w *lineWriter) reply(r reply) { _ = w.write(r) }
