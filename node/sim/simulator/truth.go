package simulator

import (
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/node/raft"
)

// truth is what an all-seeing observer knows of the cluster. Every step is compared with it.
type truth struct {
	leaders   []raft.ID     // by term: who led it
	votes     [][]raft.ID   // by node, by term: whom it voted for, as it told others
	committed []decided     // by index, from 1: what was decided, and never changes again
	logs      [][]seenEntry // by index: the entries of all logs ever, one for each term
	digests   []uint64      // by index: the state machine's digest there
	known     [maxKeys]raft.Index
}

type decided struct {
	term  raft.Term
	in    raft.Term // the term in which its commit was first seen
	chain uint64
}

type seenEntry struct {
	term  raft.Term
	chain uint64
}

// chainBefore is the hash of the committed log before index i. Only committed entries are ever
// compacted away, so that is where a log whose beginning is missing goes on from.
func (t *truth) chainBefore(i raft.Index) uint64 {
	if i <= 1 || int(i-1) >= len(t.committed) {
		return 0
	}
	return t.committed[i-1].chain
}

// match checks log matching: an index and a term stand for one entry and one past (paper, §5.3).
func (t *truth) match(w *World, e *raft.Entry, chain uint64) uint64 {
	for int(e.Index) >= len(t.logs) {
		t.logs = append(t.logs, nil)
	}
	for _, s := range t.logs[e.Index] {
		if s.term == e.Term {
			if s.chain != chain {
				w.fail("log matching", "two entries (%d, term %d), or two pasts of it", e.Index, e.Term)
			}
			return chain
		}
	}
	t.logs[e.Index] = append(t.logs[e.Index], seenEntry{e.Term, chain})
	return chain
}

// observe checks what the core says happened.
func (w *World) observe(p *process, o *raft.Output) {
	for i := range o.Events {
		e := &o.Events[i]
		w.note(p, e)
		switch e.Kind {
		case raft.EventLeader:
			p.leads = e.Term
			w.checkLeader(p, e)
		case raft.EventFollower:
			p.leads = 0
		case raft.EventCommit:
			p.commits = e.Index
			w.checkCommit(p, e)
		case raft.EventSnapshot:
			w.stats.Snapshots++
			if e.Detail != "" {
				w.stats.Installs++
			}
		case raft.EventConfig:
			w.checkConfig(p, e)
			p.inForce = *p.mirror.configAt(e.Index)
		}
	}
	config := p.mirror.config()
	p.inForce = *config
	// What is handed out to be applied is decided. It is checked here, before anybody hears of it.
	for i := range o.Apply {
		w.decide(p, &o.Apply[i])
	}
}

// checkLeader checks election safety (one leader a term), leader completeness (it has all that
// was decided in former terms), and that it was elected by a quorum of those who voted for it.
func (w *World) checkLeader(p *process, e *raft.Event) {
	t := &w.truth
	for int(e.Term) >= len(t.leaders) {
		t.leaders = append(t.leaders, 0)
	}
	if other := t.leaders[e.Term]; other != 0 {
		w.fail("election safety", "%s and %s both lead term %d", other, p.id, e.Term)
		return
	}
	t.leaders[e.Term] = p.id
	w.stats.Elections++
	for i := len(t.committed) - 1; i > int(p.mirror.base); i-- {
		d := &t.committed[i]
		if have, ok := p.mirror.term(raft.Index(i)); d.in < e.Term && (!ok || have != d.term) {
			w.fail("leader completeness", "%s leads term %d without (%d, term %d), decided in term %d",
				p.id, e.Term, i, d.term, d.in)
			return
		}
	}
	voted := func(id raft.ID) bool {
		if id == p.id {
			return p.disk.hard == raft.HardState{Term: e.Term, Vote: p.id}
		}
		return w.votedFor(id, e.Term) == p.id
	}
	if !quorum(&p.inForce, voted) {
		w.fail("vote quorum", "%s leads term %d without the votes of a quorum of %s",
			p.id, e.Term, p.inForce)
	}
}

// checkCommit checks a commit by a leader: an entry of its own term that is on the disks of a
// quorum. A follower's commit is checked by what it applies.
func (w *World) checkCommit(p *process, e *raft.Event) {
	if p.leads == 0 {
		return
	}
	if e.Term != p.leads {
		w.fail("commit by counting", "%s commits (%d, term %d) as leader of term %d",
			p.id, e.Index, e.Term, p.leads)
		return
	}
	onDisk := func(id raft.ID) bool { return w.process(id).disk.holds(e.Index, e.Term) }
	if !quorum(&p.inForce, onDisk) {
		w.fail("commit quorum", "%s commits (%d, term %d), which is not on the disks of a quorum of %s",
			p.id, e.Index, e.Term, p.inForce)
	}
}

// checkConfig checks the steps of a membership change on the leader that takes them: one at a
// time, each only after the one before is committed, and from set to set only by way of both.
func (w *World) checkConfig(p *process, e *raft.Event) {
	if p.leads == 0 || len(p.mirror.configs) < 2 {
		return
	}
	k := len(p.mirror.configs)
	now, was := &p.mirror.configs[k-1], &p.mirror.configs[k-2]
	if now.index != e.Index {
		return
	}
	w.stats.Configs++
	if was.index > p.commits {
		w.fail("config", "%s appends %s at %d while %s at %d is not committed",
			p.id, now.config, now.index, was.config, was.index)
	}
	if !lawful(&was.config, &now.config) {
		w.fail("config", "%s goes from %s to %s", p.id, was.config, now.config)
	}
}

// lawful reports whether one membership may follow another: every quorum of one must share a
// member with every quorum of the other.
func lawful(was, now *raft.Config) bool {
	switch {
	case len(was.Old) > 0:
		return len(now.Old) == 0 && slices.Equal(was.Voters, now.Voters)
	case len(now.Old) > 0:
		return slices.Equal(now.Old, was.Voters)
	}
	return slices.Equal(was.Voters, now.Voters)
}

// decide checks state machine safety: what one node takes as decided, all do, for ever.
func (w *World) decide(p *process, e *raft.Entry) {
	t := &w.truth
	chain, ok := p.mirror.chain(e.Index)
	if !ok {
		w.fail("commit", "%s commits %d, which is not in its log", p.id, e.Index)
		return
	}
	switch i := int(e.Index); {
	case i < len(t.committed):
		if d := &t.committed[i]; d.chain != chain {
			w.fail("state machine safety", "%s commits (%d, term %d), but (%d, term %d) was committed",
				p.id, e.Index, e.Term, e.Index, d.term)
		}
	case i == len(t.committed):
		t.committed = append(t.committed, decided{e.Term, p.core.Term(), chain})
		w.stats.Commits++
	default:
		w.fail("commit", "%s commits %d, but %d was never committed", p.id, e.Index, len(t.committed))
	}
}

// applied checks that all state machines are equal after the same entry.
func (w *World) applied(p *process, e *raft.Entry) {
	t := &w.truth
	for int(e.Index) >= len(t.digests) {
		t.digests = append(t.digests, 0)
	}
	d := &t.digests[e.Index]
	if *d == 0 {
		*d = p.machine.digest
	} else if *d != p.machine.digest {
		w.fail("state digest", "%s differs from others after applying %d", p.id, e.Index)
	}
}

// checkPromise checks a message as it leaves: what it tells must be on the disk, unless a higher
// term has since overruled it.
func (w *World) checkPromise(p *process, m *raft.Message) {
	d := &p.disk
	if d.hard.Term > m.Term {
		return
	}
	kept := true
	switch m.Kind {
	case raft.MsgVoteResp:
		kept = m.Reject || d.hard == raft.HardState{Term: m.Term, Vote: m.To}
	case raft.MsgVote:
		kept = d.hard == raft.HardState{Term: m.Term, Vote: p.id} &&
			(p.core.Role() != raft.Candidate || p.core.Term() != m.Term || d.holds(m.Index, m.LogTerm))
	case raft.MsgAppendResp, raft.MsgSnapshotResp:
		kept = m.Reject || p.kept(m)
	}
	if !kept {
		w.fail("persistence", "%s tells %s what is not on its disk: %s", p.id, m.To, describe(m))
	}
}

// kept reports whether what m acknowledges is on the disk.
func (p *process) kept(m *raft.Message) bool {
	if t, ok := p.mirror.term(m.Index); ok && p.core.Term() == m.Term {
		return p.disk.holds(m.Index, t)
	}
	return m.Index <= max(p.disk.snap.Index, p.disk.last())
}

// noteVote checks that nobody votes for two candidates in a term, across all its lives. A vote
// counts as cast when it is told to somebody.
func (w *World) noteVote(p *process, term raft.Term, candidate raft.ID) {
	v := &w.truth.votes[p.id-1]
	for int(term) >= len(*v) {
		*v = append(*v, 0)
	}
	if other := (*v)[term]; other != 0 && other != candidate {
		w.fail("one vote a term", "%s votes for %s and for %s in term %d", p.id, other, candidate, term)
	}
	(*v)[term] = candidate
}

func (w *World) votedFor(id raft.ID, term raft.Term) raft.ID {
	if v := w.truth.votes[id-1]; int(term) < len(v) {
		return v[term]
	}
	return 0
}

// describe is a message for people.
func describe(m *raft.Message) string {
	return fmt.Sprintf("%s term %d (%d, term %d) +%d commit %d reject %t context %d",
		m.Kind, m.Term, m.Index, m.LogTerm, len(m.Entries), m.Commit, m.Reject, m.Context)
}
