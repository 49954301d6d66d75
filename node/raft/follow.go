package raft

import "fmt"

// heard takes in that this term's leader is alive.
func (n *Node) heard(from ID) {
	if n.role == Leader {
		panic(fmt.Sprintf("raft: %s and %s both lead term %d", n.id, from, n.hard.Term))
	}
	n.becomeFollower(n.hard.Term, from)
	n.heardAt = n.now
	n.resetElectionTimer()
}

// onAppend takes a leader's entries into the log, if they continue it (paper, §5.3).
func (n *Node) onAppend(m *Message) {
	if !wellFormed(m) {
		return
	}
	n.heard(m.From)
	prev, prevTerm, entries := m.Index, m.LogTerm, m.Entries
	if prev < n.commit {
		// What is committed is the same on all of us; look only at what goes beyond it.
		skip := min(n.commit-prev, Index(len(entries)))
		entries = entries[skip:]
		prev = n.commit
		prevTerm, _ = n.log.term(prev)
	}
	if !n.log.matches(prev, prevTerm) {
		n.refuse(m)
		return
	}
	last := prev + Index(len(entries))
	n.merge(entries)
	n.verified = max(n.verified, last)
	n.commitTo(min(m.Commit, last))
	n.send(Message{Kind: MsgAppendResp, To: m.From, Index: last}, n.after())
}

// wellFormed reports whether an Append can come from a leader at all: entries one after the other,
// terms that never go down and never exceed the sender's. What is not is dropped: it must not
// bring us down.
func wellFormed(m *Message) bool {
	prev := Entry{Index: m.Index, Term: m.LogTerm}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Index != prev.Index+1 || e.Term < prev.Term || e.Term > m.Term {
			return false
		}
		prev.Index, prev.Term = e.Index, e.Term
	}
	return m.LogTerm <= m.Term
}

// refuse answers an Append that does not fit with where to look next: the end of our log, or the
// last entry whose term is not above the leader's there.
func (n *Node) refuse(m *Message) {
	hint := n.log.hint(m.Index, m.LogTerm)
	if m.Index > n.log.last() {
		hint = n.log.last()
	}
	t, _ := n.log.term(hint)
	n.send(Message{
		Kind: MsgAppendResp, To: m.From, Reject: true, Refused: m.Index, Index: hint, LogTerm: t,
	}, n.afterHard())
}

// merge appends what is new. Only a conflict truncates: a late, shorter Append must not remove
// what a newer one brought.
func (n *Node) merge(entries []Entry) {
	for len(entries) > 0 && n.log.matches(entries[0].Index, entries[0].Term) {
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return
	}
	first := entries[0].Index
	if first <= n.log.last() {
		n.truncate(first)
	}
	for i := range entries {
		n.log.append(entries[i])
		if entries[i].Kind == EntryConfig {
			n.adoptConfig(&entries[i])
		}
	}
	n.appended(first)
}

// truncate discards the entries from i on, and with them the configurations that they brought.
func (n *Node) truncate(i Index) {
	if i <= n.commit {
		panic(fmt.Sprintf("raft: %s truncates %d, but %d is committed", n.id, i, n.commit))
	}
	if n.role == Leader {
		panic(fmt.Sprintf("raft: %s truncates its log as leader of term %d", n.id, n.hard.Term))
	}
	t, _ := n.log.term(i)
	n.event(Event{Kind: EventTruncate, Index: i, Term: t})
	n.log.truncate(i)
	n.disk.truncated(i)
	if n.members.truncate(i) {
		n.eventConfig()
	}
}

// adoptConfig puts a membership in force the moment it is in the log.
func (n *Node) adoptConfig(e *Entry) {
	c, err := DecodeConfig(e.Data)
	if err != nil {
		panic(fmt.Sprintf("raft: entry (%d, term %d): %v", e.Index, e.Term, err))
	}
	n.members.add(e.Index, c)
	n.eventConfig()
}

func (n *Node) eventConfig() {
	c, at := n.members.latest()
	n.event(Event{Kind: EventConfig, Term: n.hard.Term, Index: at, Detail: c.String()})
}

func (n *Node) onHeartbeat(m *Message) {
	n.heard(m.From)
	n.commitTo(min(m.Commit, n.log.last()))
	n.send(Message{Kind: MsgHeartbeatResp, To: m.From, Context: m.Context}, n.afterHard())
}
