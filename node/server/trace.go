package server

import (
	"io"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/node/peer"
	"github.com/raftcheck/raftcheck/node/raft"
)

const (
	traceBuffer = 4 << 20
	flushLimit  = 100 * time.Millisecond
)

// tracer writes protocol events as JSON lines. A goroutine of its own does the writing, so that a
// reader that has stopped does not stop the node: when the buffer is full, events are dropped,
// which a gap in seq shows.
type tracer struct {
	node  string
	start time.Time
	all   bool // trace every message, not only those of elections and snapshots
	log   *slog.Logger

	mu      sync.Mutex // guards the fields below
	written *sync.Cond // done has grown
	seq     uint64
	done    uint64 // all events up to here are written
	buf     []byte
	bufSeq  uint64 // the last event in buf
	dropped uint64
	closed  bool

	wake    chan struct{}
	stopped chan struct{}
}

func newTracer(w io.Writer, id raft.ID, start time.Time, all bool, log *slog.Logger) *tracer {
	t := &tracer{
		all:  all,
		node: id.String(), start: start, log: log,
		wake: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	t.written = sync.NewCond(&t.mu)
	go t.run(w)
	return t
}

// add takes in events. It returns before they are written, but for those that others must not learn
// of first: leadership, votes, memberships and discarded entries.
func (t *tracer) add(events []raft.Event) {
	if len(events) == 0 {
		return
	}
	now := time.Since(t.start)
	wait := false
	t.mu.Lock()
	for i := range events {
		e := &events[i]
		t.seq++
		wait = wait || e.Kind != "append" && e.Kind != "commit"
		if len(t.buf) > traceBuffer {
			t.dropped++
			continue
		}
		t.buf = appendEvent(t.buf, t.seq, int64(now), t.node, e, 0)
		t.bufSeq = t.seq
	}
	upTo := t.bufSeq
	t.mu.Unlock()
	signal(t.wake)
	if wait {
		t.waitFor(upTo)
	}
}

// messageNames are what messages are called in the trace.
var messageNames = [...]string{
	raft.MsgPreVote: "prevote", raft.MsgPreVoteResp: "prevote_resp",
	raft.MsgVote: "vote", raft.MsgVoteResp: "vote_resp",
	raft.MsgAppend: "append", raft.MsgAppendResp: "append_resp",
	raft.MsgHeartbeat: "heartbeat", raft.MsgHeartbeatResp: "heartbeat_resp",
	raft.MsgSnapshot: "snapshot", raft.MsgSnapshotResp: "snapshot_resp",
	raft.MsgTimeoutNow: "timeout_now",
	raft.MsgReadIndex:  "read_index", raft.MsgReadIndexResp: "read_index_resp",
}

// traces says whether messages of a kind are traced. Those that carry the log are many, and the
// order that they make is in the indices and terms of append and commit.
func (t *tracer) traces(kind raft.MessageKind) bool {
	switch kind {
	case raft.MsgAppend, raft.MsgAppendResp, raft.MsgHeartbeat, raft.MsgHeartbeatResp,
		raft.MsgReadIndex, raft.MsgReadIndexResp:
		return t.all
	}
	return true
}

// message takes in that a message was sent or received. Whatever happened before it was sent, on
// one node, came before whatever happens after it is received, on the other: that orders the traces
// of all nodes without a clock.
func (t *tracer) message(ev string, e *peer.Envelope, other raft.ID) {
	if e.ID == 0 || int(e.Kind) >= len(messageNames) {
		return
	}
	now := time.Since(t.start)
	t.mu.Lock()
	t.seq++
	if len(t.buf) > traceBuffer {
		t.dropped++
	} else {
		event := raft.Event{Kind: ev, Term: e.Term, Index: e.Index, Peer: other,
			Detail: messageNames[e.Kind]}
		if e.Reject {
			event.Detail += " reject"
		}
		t.buf = appendEvent(t.buf, t.seq, int64(now), t.node, &event, e.ID)
		t.bufSeq = t.seq
	}
	t.mu.Unlock()
	signal(t.wake)
}

// waitFor returns when the event is written, or when the reader is too slow.
func (t *tracer) waitFor(seq uint64) {
	timer := time.AfterFunc(flushLimit, t.written.Broadcast)
	defer timer.Stop()
	deadline := time.Now().Add(flushLimit)
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.done < seq && !t.closed && time.Now().Before(deadline) {
		t.written.Wait()
	}
}

func (t *tracer) run(w io.Writer) {
	defer close(t.stopped)
	var buf []byte
	for range t.wake {
		t.mu.Lock()
		buf, t.buf = t.buf, buf[:0]
		upTo, dropped, closed := t.bufSeq, t.dropped, t.closed
		t.dropped = 0
		t.mu.Unlock()
		if _, err := w.Write(buf); err != nil {
			t.log.Warn("write trace", "error", err)
		}
		if dropped > 0 {
			t.log.Warn("trace is not read quickly enough", "dropped", dropped)
		}
		t.mu.Lock()
		t.done = max(t.done, upTo)
		t.mu.Unlock()
		t.written.Broadcast()
		if closed {
			return
		}
	}
}

// close writes what is left and ends the goroutine.
func (t *tracer) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	signal(t.wake)
	select {
	case <-t.stopped:
	case <-time.After(time.Second): // nobody reads
	}
}

func appendEvent(b []byte, seq uint64, t int64, node string, e *raft.Event, message uint64,
) []byte {
	b = strconv.AppendUint(append(b, `{"seq":`...), seq, 10)
	b = strconv.AppendInt(append(b, `,"t":`...), t, 10)
	b = append(append(b, `,"node":"`...), node...)
	b = append(append(b, `","ev":"`...), e.Kind...)
	b = append(b, '"')
	b = appendNumber(b, `,"term":`, uint64(e.Term))
	b = appendNumber(b, `,"index":`, uint64(e.Index))
	b = appendNumber(b, `,"first":`, uint64(e.First))
	if e.Peer != 0 {
		b = strconv.AppendUint(append(b, `,"peer":"n`...), uint64(e.Peer), 10)
		b = append(b, '"')
	}
	if message != 0 {
		b = strconv.AppendUint(append(b, `,"mid":"`...), message, 16)
		b = append(b, '"')
	}
	if e.Detail != "" {
		b = appendJSONString(append(b, `,"detail":`...), e.Detail)
	}
	return append(b, "}\n"...)
}

func appendNumber(b []byte, name string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(append(b, name...), n, 10)
}

// signal wakes whoever waits on ch, now or the next time that it waits.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
