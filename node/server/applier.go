package server

import (
	"sync"
	"sync/atomic"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
)

// applier owns the state machine: it applies committed entries in order, answers the writes that
// they came from, and serves the reads that waited for them.
type applier struct {
	machine *kv.Machine
	inbox   *inbox
	waiting []readJob // reads of an index not applied yet

	mu      sync.Mutex // guards queue and closed
	queue   []applyJob
	closed  bool
	wake    chan struct{}
	stopped chan struct{}

	state atomic.Pointer[applied]
}

// applied is a picture of the state machine for others to read.
type applied struct {
	index  raft.Index
	digest uint64
	keys   int
}

type applyJob struct {
	entries []raft.Entry
	// writes belong to some of the entries, in order; each has the entry's index and term.
	writes []appliedWrite
	reads  []readJob
}

type appliedWrite struct {
	index raft.Index
	*write
}

// readJob is a group of reads that may be served once index is applied.
type readJob struct {
	index raft.Index
	reads []*read
}

func newApplier(m *kv.Machine, in *inbox) *applier {
	a := &applier{machine: m, inbox: in, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	a.publish()
	return a
}

func (a *applier) add(j applyJob) {
	a.mu.Lock()
	a.queue = append(a.queue, j)
	a.mu.Unlock()
	signal(a.wake)
}

func (a *applier) run() {
	defer close(a.stopped)
	var jobs []applyJob
	for range a.wake {
		a.mu.Lock()
		jobs, a.queue = a.queue, jobs[:0]
		closed := a.closed
		a.mu.Unlock()
		before := a.machine.Applied()
		for i := range jobs {
			a.do(&jobs[i])
		}
		clear(jobs)
		if now := a.machine.Applied(); now != before {
			a.publish()
			a.inbox.setApplied(raft.Index(now))
		}
		if closed {
			a.abort()
			return
		}
	}
}

func (a *applier) do(j *applyJob) {
	writes := j.writes
	for i := range j.entries {
		e := &j.entries[i]
		if e.Kind != raft.EntryCommand {
			a.machine.Skip(uint64(e.Index))
			continue
		}
		result := a.machine.Apply(uint64(e.Index), e.Data)
		if len(writes) > 0 && writes[0].index == e.Index {
			writes[0].done <- answer{Result: result, index: e.Index}
			writes = writes[1:]
		}
	}
	a.waiting = append(a.waiting, j.reads...)
	kept := a.waiting[:0]
	for _, r := range a.waiting {
		if uint64(r.index) > a.machine.Applied() {
			kept = append(kept, r)
			continue
		}
		for _, one := range r.reads {
			item, found := a.machine.Get(one.key)
			one.done <- answer{Result: kv.Result{
				Done: true, Found: found, Value: item.Value, Version: item.Version,
			}}
		}
	}
	clear(a.waiting[len(kept):])
	a.waiting = kept
}

func (a *applier) publish() {
	a.state.Store(&applied{
		raft.Index(a.machine.Applied()), a.machine.Digest(), a.machine.Len(),
	})
}

// abort answers the reads that nothing will serve any more.
func (a *applier) abort() {
	for _, r := range a.waiting {
		for _, one := range r.reads {
			one.fail(errReadAborted())
		}
	}
	a.waiting = nil
}

// close lets run finish what is queued, and waits for it.
func (a *applier) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	signal(a.wake)
	<-a.stopped
}
