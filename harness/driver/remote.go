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

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// ErrGone says that the driver's stream has ended: nothing more can be asked.
var ErrGone = errors.New("the client driver is gone")

// Remote carries operations out in a driver at the other end of a stream. Its methods may be called
// concurrently.
type Remote struct {
	stream io.ReadWriteCloser
	out    *lineWriter
	now    func() time.Duration
	limit  time.Duration // how long to wait for an answer

	// offset is added to the driver's clock to get the run's, to every stamp alike, so that the
	// order of operations is exactly that of the driver's clock. It errs to the late side, by less
	// than a round trip through the stream: an operation whose answer never came has only the
	// harness's stamp of its invocation, which then is early beside the others, and never late.
	offset time.Duration

	mu      sync.Mutex
	next    uint64                // guarded by mu
	waiting map[uint64]chan reply // guarded by mu; nil once the stream has ended
	gone    chan struct{}         // closed when the stream has ended
}

// Config says what a Remote asks of its driver.
type Config struct {
	System   sut.Ref
	Workload string
	Nodes    []sut.Node
	// Timeout is what each operation may take.
	Timeout time.Duration
	// Now is the clock of the run.
	Now func() time.Duration
}

// pings is how often the clocks are compared before a run.
const pings = 8

// NewRemote greets the driver at the other end of stream, which it owns from now on.
func NewRemote(ctx context.Context, stream io.ReadWriteCloser, cfg Config) (*Remote, error) {
	r := &Remote{
		stream: stream, out: &lineWriter{enc: json.NewEncoder(stream)}, now: cfg.Now,
		limit:   cfg.Timeout + 5*time.Second,
		waiting: map[uint64]chan reply{}, gone: make(chan struct{}),
	}
	hi := make(chan reply, 1)
	r.waiting[0] = hi
	go r.read()
	err := r.out.write(hello{
		Version: protocolVersion, System: cfg.System, Workload: cfg.Workload,
		Nodes: cfg.Nodes, Timeout: cfg.Timeout,
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("greet the client driver: %w", err), stream.Close())
	}
	first, err := r.await(ctx, hi, r.limit)
	if err == nil && first.Error != "" {
		err = errors.New(first.Error)
	}
	if err == nil {
		err = r.compareClocks(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("greet the client driver: %w", err), stream.Close())
	}
	return r, nil
}

// compareClocks finds the offset of the driver's clock. A ping is answered at some moment between
// its sending and the arrival of its answer; the shortest round trip bounds it best. Of the two
// bounds the later is taken.
func (r *Remote) compareClocks(ctx context.Context) error {
	best := time.Duration(1<<63 - 1)
	for range pings {
		sent := r.now()
		rep, err := r.ask(ctx, request{})
		if err != nil {
			return err
		}
		arrived := r.now()
		if trip := arrived - sent; trip < best {
			best, r.offset = trip, arrived-rep.Now
		}
	}
	return nil
}

// Do carries op out on op.Node.
func (r *Remote) Do(ctx context.Context, op history.Op) Done {
	invoked := r.now()
	rep, err := r.ask(ctx, request{Op: &op})
	if err != nil || rep.Op == nil {
		if err == nil {
			err = errors.New("the client driver answered nonsense")
		}
		op.Type, op.Error, op.Start, op.Time = history.Info, err.Error(), invoked, r.now()
		return Done{Op: op}
	}
	done := *rep.Op
	done.Start = max(done.Start+r.offset, invoked)
	done.Time = max(done.Time+r.offset, done.Start)
	return Done{Op: done, Leader: rep.Leader}
}

// Status asks a node about itself.
func (r *Remote) Status(ctx context.Context, id sut.NodeID) (sut.Status, error) {
	rep, err := r.ask(ctx, request{Status: id})
	if err != nil {
		return sut.Status{}, err
	}
	if rep.Status == nil {
		return sut.Status{}, errors.New(rep.Error)
	}
	return *rep.Status, nil
}

// Close ends the driver.
func (r *Remote) Close() error {
	err := r.stream.Close()
	<-r.gone
	return err
}

func (r *Remote) ask(ctx context.Context, req request) (reply, error) {
	return r.askWithin(ctx, req, r.limit)
}

func (r *Remote) askWithin(
	ctx context.Context, req request, limit time.Duration,
) (reply, error) {
	ch := make(chan reply, 1)
	r.mu.Lock()
	if r.waiting == nil {
		r.mu.Unlock()
		return reply{}, ErrGone
	}
	r.next++
	req.ID = r.next
	r.waiting[req.ID] = ch
	r.mu.Unlock()
	if err := r.out.write(req); err != nil {
		r.forget(req.ID)
		return reply{}, fmt.Errorf("%w: %w", ErrGone, err)
	}
	rep, err := r.await(ctx, ch, limit)
	if err != nil {
		r.forget(req.ID)
	}
	return rep, err
}

func (r *Remote) forget(id uint64) {
	r.mu.Lock()
	delete(r.waiting, id)
	r.mu.Unlock()
}

func (r *Remote) await(
	ctx context.Context, ch chan reply, limit time.Duration,
) (reply, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case rep, ok := <-ch:
		if !ok {
			return reply{}, ErrGone
		}
		return rep, nil
	case <-timer.C:
		return reply{}, fmt.Errorf("the client driver did not answer within %v", limit)
	case <-ctx.Done():
		return reply{}, context.Cause(ctx)
	}
}

// read hands replies to who waits for them, until the stream ends.
func (r *Remote) read() {
	defer close(r.gone)
	dec := json.NewDecoder(bufio.NewReaderSize(r.stream, 1<<16))
	for {
		var rep reply
		if err := dec.Decode(&rep); err != nil {
			r.mu.Lock()
			waiting := r.waiting
			r.waiting = nil
			r.mu.Unlock()
			for _, ch := range waiting {
				close(ch)
			}
			return
		}
		r.mu.Lock()
		ch := r.waiting[rep.ID]
		delete(r.waiting, rep.ID)
		r.mu.Unlock()
		if ch != nil {
			ch <- rep
		}
	}
}
