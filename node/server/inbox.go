package server

import (
	"sync"
	"sync/atomic"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/peer"
	"github.com/raftcheck/raftcheck/node/raft"
)

// inbox collects inputs for the core loop. Whoever has something adds it and goes on; the loop
// takes everything at once, so that requests that come in together are appended, sent and synced
// together.
type inbox struct {
	mu sync.Mutex // guards batch and closed
	batch
	closed bool
	wake   chan struct{}
}

// batch is what the loop takes from the inbox.
type batch struct {
	messages  []peer.Envelope
	writes    []*write
	reads     []*read
	calls     []func(*loop)
	persisted raft.Ticket
	applied   raft.Index
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// take moves what there is into b, of which the slices are used again.
func (in *inbox) take(b *batch) {
	in.mu.Lock()
	defer in.mu.Unlock()
	clear(b.messages)
	clear(b.writes)
	clear(b.reads)
	clear(b.calls)
	*b, in.batch = in.batch, batch{
		messages: b.messages[:0], writes: b.writes[:0], reads: b.reads[:0], calls: b.calls[:0],
		persisted: in.persisted, applied: in.applied,
	}
}

func (in *inbox) addMessages(m []peer.Envelope) {
	in.mu.Lock()
	in.messages = append(in.messages, m...)
	in.mu.Unlock()
	signal(in.wake)
}

func (in *inbox) setPersisted(t raft.Ticket) {
	in.mu.Lock()
	in.persisted = t
	in.mu.Unlock()
	signal(in.wake)
}

func (in *inbox) setApplied(i raft.Index) {
	in.mu.Lock()
	in.applied = i
	in.mu.Unlock()
	signal(in.wake)
}

// addRequests queues writes and reads, or says why not; then none of them has been queued.
func (in *inbox) addRequests(writes []*write, reads []*read) *Error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return errStopping()
	}
	if len(in.writes)+len(writes) > maxQueued || len(in.reads)+len(reads) > maxQueued {
		return errOverloaded()
	}
	in.writes = append(in.writes, writes...)
	in.reads = append(in.reads, reads...)
	signal(in.wake)
	return nil
}

// call runs f on the loop, which owns the core; false if the loop takes nothing any more.
func (in *inbox) call(f func(*loop)) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return false
	}
	in.calls = append(in.calls, f)
	signal(in.wake)
	return true
}

// callAlways is call for what has to be done even when requests are refused already. Once the loop
// has ended it does nothing.
func (in *inbox) callAlways(f func(*loop)) {
	in.mu.Lock()
	in.calls = append(in.calls, f)
	in.mu.Unlock()
	signal(in.wake)
}

// close refuses requests from now on; messages and completions still come in.
func (in *inbox) close() {
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	signal(in.wake)
}

// maxQueued bounds how many requests wait for the loop, of each kind.
const maxQueued = 16 << 10

// answerer takes the answer to a request of the id that it gave it, once. It must not block.
type answerer interface {
	answer(id uint64, a answer)
}

// waiter is the answerer of somebody who waits for one answer; its capacity is 1.
type waiter chan answer

func newWaiter() waiter { return make(waiter, 1) }

func (w waiter) answer(_ uint64, a answer) { w <- a }

// write is a command on its way.
type write struct {
	data  []byte
	term  raft.Term
	state atomic.Int32
	id    uint64
	to    answerer
}

// answer is the result of a command or read, or why there is none.
type answer struct {
	kv.Result
	index raft.Index
	list  []kv.Listed // of a list
	more  bool
	err   *Error
}

// The states of a write. Until it is taken, whoever waits may give it up for good: then it is
// certain that it never enters the log.
const (
	stateQueued int32 = iota
	stateTaken
	stateAbandoned
)

func (w *write) take() bool    { return w.state.CompareAndSwap(stateQueued, stateTaken) }
func (w *write) abandon() bool { return w.state.CompareAndSwap(stateQueued, stateAbandoned) }

func (w *write) fail(err *Error) { w.to.answer(w.id, answer{err: err}) }

// read is a read on its way: of a key, or of a range if limit is not zero.
type read struct {
	key    string
	prefix string
	start  string
	limit  int
	id     uint64
	to     answerer
}

func (r *read) fail(err *Error) { r.to.answer(r.id, answer{err: err}) }

// serve answers the read from the state.
func (r *read) serve(m *kv.Machine) {
	var a answer
	if r.limit > 0 {
		a.list, a.more = m.List(r.prefix, r.start, r.limit)
	} else {
		item, found := m.Get(r.key)
		a.Result = kv.Result{Done: true, Found: found, Value: item.Value, Version: item.Version}
	}
	r.to.answer(r.id, a)
}
