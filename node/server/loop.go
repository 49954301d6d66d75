package server

import (
	"errors"
	"time"

	"github.com/raftcheck/raftcheck/node/peer"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// loop owns the core. It feeds in what the inbox has collected and carries out the effects; nothing
// else touches the core, and nothing here blocks but the trace, and that for a bounded time.
//
//	peers, clients ─► inbox ─► loop ─► disk ─► (sync) ─► messages that waited
//	                    ▲        ├──► messages that need not wait
//	                    │        └──► applier ─► answers to clients
//	                    └── persisted, applied ◄── disk, applier
type loop struct {
	node      *raft.Node
	inbox     *inbox
	disk      *disk
	applier   *applier
	transport *peer.Transport
	tracer    *tracer
	snapshots *snapshots
	metrics   *metrics
	start     time.Time

	writes    pendingWrites
	reads     map[uint64][]*read
	readID    uint64
	persisted raft.Ticket
	sent      uint64     // the id of the last message that has one; it begins at random
	handed    raft.Index // entries up to here have gone to the applier

	// giveUp is when writes of a lost term are answered with leadership_lost; 0 if there are none.
	// Until then they wait: most are decided as soon as the next leader commits.
	giveUp   raft.Time
	patience raft.Time

	stop, stopped chan struct{}
}

// now is the monotonic time since the process began, plus a nanosecond: zero has a meaning.
func (l *loop) now() raft.Time { return raft.Time(time.Since(l.start)) + 1 }

func (l *loop) run() {
	defer close(l.stopped)
	var in batch
	var out raft.Output
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-l.stop:
			l.abort()
			return
		case <-l.inbox.wake:
		case <-timer.C:
		}
		l.inbox.take(&in)
		now := l.now()
		l.feed(now, &in)
		for l.node.Drain(&out) {
			l.carryOut(&out)
		}
		if l.giveUp > 0 && now >= l.giveUp {
			l.loseWrites()
		}
		timer.Reset(l.untilNext())
	}
}

func (l *loop) untilNext() time.Duration {
	next := l.node.Deadline()
	if l.giveUp > 0 {
		next = min(next, l.giveUp)
	}
	return time.Duration(max(next-l.now(), 0))
}

// feed hands the inputs to the core. Completions come first: they free messages and memory.
func (l *loop) feed(now raft.Time, in *batch) {
	if in.persisted > l.persisted {
		l.persisted = in.persisted
		l.node.Persisted(in.persisted)
	}
	if in.applied > 0 {
		l.node.Applied(in.applied)
	}
	for i := range in.messages {
		m := &in.messages[i]
		l.tracer.message("recv", m, m.From)
		l.node.Step(now, m.Message)
	}
	if now >= l.node.Deadline() {
		l.node.Tick(now)
	}
	l.propose(now, in.writes)
	l.askRead(now, in.reads)
	for _, f := range in.calls {
		f(l)
	}
}

// propose appends the writes as one batch. Each is refused for certain, or is in the log.
func (l *loop) propose(now raft.Time, writes []*write) {
	taken := make([]*write, 0, len(writes))
	commands := make([][]byte, 0, len(writes))
	for _, w := range writes {
		if w.take() {
			taken = append(taken, w)
			commands = append(commands, w.data)
		}
	}
	if len(taken) == 0 {
		return
	}
	first, term, err := l.node.Propose(now, commands)
	if err != nil {
		refusal := l.refusal(err)
		for _, w := range taken {
			w.fail(refusal)
		}
		return
	}
	for i, w := range taken {
		w.term = term
		l.writes.add(first+raft.Index(i), w)
	}
}

// refusal says to a client what the core said to us. Nothing was appended.
func (l *loop) refusal(err error) *Error {
	switch {
	case errors.Is(err, raft.ErrTransferring):
		return errTransferring()
	case errors.Is(err, raft.ErrOverloaded):
		return errOverloaded()
	case l.node.Role() == raft.Leader:
		return errNotLeader(0)
	}
	return errNotLeader(l.node.Leader())
}

// askRead asks for one read index for all the reads. A follower gets it from its leader.
func (l *loop) askRead(now raft.Time, reads []*read) {
	if len(reads) == 0 {
		return
	}
	var refused *Error
	l.readID++
	if err := l.node.Read(now, l.readID); err != nil {
		refused = l.refusal(err)
	}
	if refused != nil {
		for _, r := range reads {
			r.fail(refused)
		}
		return
	}
	l.reads[l.readID] = append([]*read(nil), reads...)
}

// carryOut does what the core wants done. The trace comes first, so that nobody sees an effect of
// which the trace knows nothing.
func (l *loop) carryOut(out *raft.Output) {
	l.tracer.add(out.Events)
	for i := range out.Events {
		l.metrics.events.add(out.Events[i].Kind)
	}
	job := diskJob{ticket: out.Ticket, batch: wal.Batch{
		HardState: out.HardState, Reset: out.Reset, Truncate: out.Truncate, Append: out.Append,
	}}
	for i := range out.Send {
		o := &out.Send[i]
		e := peer.Envelope{Message: o.Message}
		if l.tracer.traces(o.Kind) {
			l.sent++
			e.ID = l.sent
			l.tracer.message("send", &e, e.To)
		}
		if o.After > l.persisted {
			job.send = append(job.send, e)
		} else {
			l.transport.Send(e)
		}
	}
	if job.ticket > 0 || len(job.send) > 0 {
		l.disk.add(job)
	}
	if out.LeaderChanged && l.writes.len() > 0 && l.giveUp == 0 {
		l.giveUp = l.now() + l.patience
	}
	l.apply(out)
	if out.Install != nil {
		l.snapshots.fetch(*out.Install, out.InstallFrom)
	}
}

// apply hands committed entries to the applier, with the writes and reads that wait for them.
func (l *loop) apply(out *raft.Output) {
	job := applyJob{entries: out.Apply, restore: out.Restore}
	if out.Restore != nil {
		l.restored(out)
	}
	for i := range out.Apply {
		e := &out.Apply[i]
		if w := l.writes.decide(e.Index, e.Term); w != nil {
			job.writes = append(job.writes, appliedWrite{e.Index, w})
		}
		l.handed = e.Index
	}
	for _, done := range out.Reads {
		reads := l.reads[done.ID]
		delete(l.reads, done.ID)
		if done.Err == nil {
			job.reads = append(job.reads, readJob{done.Index, reads})
			continue
		}
		for _, r := range reads {
			r.fail(errReadAborted())
		}
	}
	if len(job.entries) > 0 || len(job.reads) > 0 || job.restore != nil {
		l.applier.add(job)
	}
}

// restored takes in that a leader's snapshot replaces the state. What became of writes that lie
// inside it is not known: their entries will not be seen here.
func (l *loop) restored(out *raft.Output) {
	l.handed = out.Restore.Index
	for _, w := range l.writes.removeUpTo(out.Restore.Index) {
		w.fail(errLeadershipLost())
	}
	if out.Reset == nil {
		l.disk.add(diskJob{batch: wal.Batch{Snapshot: out.Restore}})
	}
}

// loseWrites gives up the writes of terms that this node does not lead any more.
func (l *loop) loseWrites() {
	l.giveUp = 0
	leading := raft.Term(0)
	if l.node.Role() == raft.Leader {
		leading = l.node.Term()
	}
	for _, w := range l.writes.removeUnlessOf(leading) {
		w.fail(errLeadershipLost())
	}
}

// abort answers everybody who still waits: the loop is at its end.
func (l *loop) abort() {
	var in batch
	l.inbox.take(&in)
	for _, w := range in.writes {
		if w.take() {
			w.fail(errStopping())
		}
	}
	for _, r := range in.reads {
		r.fail(errStopping())
	}
	for _, reads := range l.reads {
		for _, r := range reads {
			r.fail(errReadAborted())
		}
	}
	for _, w := range l.writes.removeUnlessOf(0) {
		w.fail(errInterrupted())
	}
}
