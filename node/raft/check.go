package raft

import "fmt"

// mark is what an input must not make worse.
type mark struct {
	hard   HardState
	commit Index
	role   Role
	last   Index
}

func (n *Node) mark() mark { return mark{n.hard, n.commit, n.role, n.log.last()} }

// check asserts after every input what must always be true of one node. It costs a few
// comparisons and is never switched off: a node that finds itself wrong must stop, before it
// tells the others.
func (n *Node) check(before mark) {
	switch {
	case n.hard.Term < before.hard.Term:
		n.broken("the term went back from %d", before.hard.Term)
	case n.hard.Term == before.hard.Term && before.hard.Vote != 0 && n.hard.Vote != before.hard.Vote:
		n.broken("the vote changed from %s to %s", before.hard.Vote, n.hard.Vote)
	case n.commit < before.commit:
		n.broken("commit went back from %d to %d", before.commit, n.commit)
	case n.commit > n.log.last():
		n.broken("commit %d is beyond the log's end %d", n.commit, n.log.last())
	case n.applied > n.handed || n.handed > n.commit:
		n.broken("applied %d, handed out %d, commit %d", n.applied, n.handed, n.commit)
	case n.disk.durable > n.log.last():
		n.broken("durable %d is beyond the log's end %d", n.disk.durable, n.log.last())
	case n.log.base > n.snap.Index || n.snap.Index > n.commit:
		n.broken("base %d, snapshot %d, commit %d", n.log.base, n.snap.Index, n.commit)
	case n.log.lastTerm() > n.hard.Term:
		n.broken("the last entry has term %d", n.log.lastTerm())
	}
	switch n.role {
	case Leader:
		n.checkLeader(before)
	case Candidate:
		if n.hard.Vote != n.id {
			n.broken("a candidate that voted for %s", n.hard.Vote)
		}
	}
}

func (n *Node) checkLeader(before mark) {
	if before.role == Leader && before.hard.Term == n.hard.Term && n.log.last() < before.last {
		n.broken("a leader's log shrank from %d to %d", before.last, n.log.last())
	}
	if n.log.lastTerm() != n.hard.Term {
		n.broken("a leader whose last entry has term %d", n.log.lastTerm())
	}
	for _, p := range n.lead.peers {
		if p.match >= p.next || p.match > n.log.last() {
			n.broken("%s: match %d, next %d, last %d", p.id, p.match, p.next, n.log.last())
		}
	}
}

// broken stops the node: what follows can only do harm.
func (n *Node) broken(format string, args ...any) {
	panic(fmt.Sprintf("raft: %s, term %d, %s: ", n.id, n.hard.Term, n.role) +
		fmt.Sprintf(format, args...))
}
