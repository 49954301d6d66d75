package server

import (
	"sync"
	"sync/atomic"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/snapshot"
)

// applier owns the state machine: it applies committed entries in order, answers the writes that
// they came from, and serves the reads that waited for them.
type applier struct {
	machine *kv.Machine
	inbox   *inbox
	store   *snapshot.Store
	fail    func(error)
	metrics *metrics
	tracer  *tracer   // told of each entry; nil for not
	waiting []readJob // reads of an index not applied yet

	// Snapshots are taken when the log has grown by so much since the last one, and by more than
	// twice its size, so that writing snapshots costs no more than a part of writing the log.
	policy       snapshotPolicy
	grownBytes   int64
	grown        int
	lastSize     atomic.Int64
	snapshotting atomic.Bool

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

	sessions int
}

// snapshotPolicy says when to take a snapshot: when the log has grown by either.
type snapshotPolicy struct {
	bytes   int64
	entries int
}

type applyJob struct {
	restore *raft.SnapshotMeta // load this one first
	clean   bool               // remove old snapshots
	view    func(kv.View)      // wants a picture of the state afterwards
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

func newApplier(m *kv.Machine, in *inbox, store *snapshot.Store, policy snapshotPolicy,
	fail func(error), counts *metrics,
) *applier {
	a := &applier{
		machine: m, inbox: in, store: store, policy: policy, fail: fail,
		metrics: counts,
		wake:    make(chan struct{}, 1), stopped: make(chan struct{}),
	}
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
			if err := a.do(&jobs[i]); err != nil {
				a.fail(err)
				a.abort()
				return
			}
		}
		clear(jobs)
		a.considerSnapshot()
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

func (a *applier) do(j *applyJob) error {
	if j.restore != nil {
		if err := a.restore(*j.restore); err != nil {
			return err
		}
	}
	a.applyEntries(j)
	a.serveReads(j)
	if j.view != nil {
		j.view(a.machine.View())
	}
	if j.clean {
		return a.store.Clean()
	}
	return nil
}

// restore replaces the state by that of a snapshot which is on disk.
func (a *applier) restore(meta raft.SnapshotMeta) error {
	name, err := a.store.Find(meta.Index, meta.Term)
	if err != nil {
		return err
	}
	if a.machine, _, err = load(a.store, name); err != nil {
		return err
	}
	a.grown, a.grownBytes = 0, 0
	return a.store.Clean()
}

// considerSnapshot takes a snapshot if the log has grown enough.
func (a *applier) considerSnapshot() {
	if a.grown < a.policy.entries && a.grownBytes < max(a.policy.bytes, 2*a.lastSize.Load()) {
		return
	}
	if !a.snapshotting.CompareAndSwap(false, true) {
		return
	}
	a.grown, a.grownBytes = 0, 0
	view := a.machine.View()
	a.inbox.callAlways(func(l *loop) {
		l.snapshots.save(l, view, func(size int64) {
			if size > 0 {
				a.lastSize.Store(size)
			}
			a.snapshotting.Store(false)
		})
	})
}

func (a *applier) applyEntries(j *applyJob) {
	writes := j.writes
	for i := range j.entries {
		e := &j.entries[i]
		a.grown++
		a.grownBytes += int64(len(e.Data))
		if e.Kind != raft.EntryCommand {
			a.machine.Skip(uint64(e.Index))
			a.tracer.applied(e, a.machine.Digest())
			continue
		}
		result := a.machine.Apply(uint64(e.Index), e.Data)
		a.tracer.applied(e, a.machine.Digest())
		if len(writes) > 0 && writes[0].index == e.Index {
			a.metrics.writes.Add(1)
			writes[0].to.answer(writes[0].id, answer{Result: result, index: e.Index})
			writes = writes[1:]
		}
	}
}

// serveReads serves those reads of which the index is applied by now.
func (a *applier) serveReads(j *applyJob) {
	a.waiting = append(a.waiting, j.reads...)
	kept := a.waiting[:0]
	for _, r := range a.waiting {
		if uint64(r.index) > a.machine.Applied() {
			kept = append(kept, r)
			continue
		}
		for _, one := range r.reads {
			one.serve(a.machine)
			a.metrics.reads.Add(1)
		}
	}
	clear(a.waiting[len(kept):])
	a.waiting = kept
}

func (a *applier) publish() {
	a.state.Store(&applied{
		raft.Index(a.machine.Applied()), a.machine.Digest(), a.machine.Len(), a.machine.Sessions(),
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
