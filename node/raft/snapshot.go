package raft

import "fmt"

// MetaAt is what a snapshot of the state after i must carry; false if i is no longer, or not yet,
// a committed entry of the log in memory.
func (n *Node) MetaAt(i Index) (SnapshotMeta, bool) {
	t, ok := n.log.term(i)
	if !ok || i < n.snap.Index || i > n.commit {
		return SnapshotMeta{}, false
	}
	return SnapshotMeta{Index: i, Term: t, Config: n.members.at(i).config}, true
}

// Snapshotted says that a snapshot of our own state machine is durable; the log in memory is then
// compacted, but for Options.KeepTail entries. It reports whether the snapshot is the newest: then
// the driver may compact its log likewise. Otherwise a leader's overtook it, and the log on disk
// begins behind that one already.
func (n *Node) Snapshotted(meta SnapshotMeta) bool {
	if meta.Index <= n.snap.Index {
		return false
	}
	if meta.Index > n.handed || !n.log.matches(meta.Index, meta.Term) {
		panic(fmt.Sprintf("raft: %s: snapshot of (%d, term %d), applied %d",
			n.id, meta.Index, meta.Term, n.handed))
	}
	n.snap = meta
	n.event(Event{Kind: EventSnapshot, Index: meta.Index, Term: meta.Term})
	if keep := Index(n.opts.KeepTail); meta.Index > n.log.base+keep {
		n.log.compact(meta.Index - keep)
	}
	n.members.compact(n.snap.Index)
	return true
}

// sendSnapshot announces our snapshot to a follower that needs what we no longer have in the log.
func (n *Node) sendSnapshot(p *progress) {
	p.state, p.waiting, p.since = stateSnapshot, true, n.now
	p.inflight.clear()
	meta := n.snap
	n.send(Message{Kind: MsgSnapshot, To: p.id, Snapshot: &meta}, 0)
}

// onSnapshot asks the driver to fetch what a leader announced, unless it brings nothing new.
func (n *Node) onSnapshot(m *Message) {
	n.heard(m.From)
	meta := m.Snapshot
	switch {
	case meta == nil:
	case meta.Index <= n.commit || n.log.matches(meta.Index, meta.Term):
		n.haveSnapshot(meta.Index)
	case n.installing != nil && n.installing.Index == meta.Index:
		// The driver is at it.
	default:
		n.installing = meta
		n.out.install, n.out.installFrom = meta, m.From
	}
}

// haveSnapshot answers the leader that everything up to i, which is committed, is here.
func (n *Node) haveSnapshot(i Index) {
	n.commitTo(i)
	n.verified = max(n.verified, n.commit)
	n.answerSnapshot(Message{Kind: MsgSnapshotResp, Index: n.commit})
}

func (n *Node) answerSnapshot(m Message) {
	if n.leader != 0 && n.role == Follower {
		m.To = n.leader
		n.send(m, n.after())
	}
}

// Installed answers Output.Install: the snapshot's contents are durable here (ok), or could not
// be fetched. Output.Restore follows if they are still wanted.
func (n *Node) Installed(meta SnapshotMeta, ok bool) {
	before := n.mark()
	if n.installing != nil && meta.Index >= n.installing.Index {
		n.installing = nil
	}
	switch {
	case !ok:
		n.answerSnapshot(Message{Kind: MsgSnapshotResp, Reject: true})
	case meta.Index <= n.commit || n.log.matches(meta.Index, meta.Term):
		n.haveSnapshot(meta.Index)
	default:
		n.install(meta)
		n.haveSnapshot(meta.Index)
	}
	n.check(before)
}

// install replaces the whole log by the snapshot: what we had ends before it or contradicts it.
func (n *Node) install(meta SnapshotMeta) {
	if meta.Term > n.hard.Term {
		n.becomeFollower(meta.Term, 0)
	}
	n.snap = meta
	n.log.reset(meta)
	n.disk.reset(meta.Index)
	n.members.reset(meta.Index, meta.Config)
	n.commit, n.handed, n.applied = meta.Index, meta.Index, meta.Index
	n.out.reset, n.out.restore = &meta, &meta
	n.event(Event{Kind: EventSnapshot, Index: meta.Index, Term: meta.Term, Detail: "installed"})
	n.eventConfig()
}
