package raft

// durableAt is how far id's log is on its disk and equal to ours, as the leader knows it.
func (n *Node) durableAt(id ID) uint64 {
	if id == n.id {
		return uint64(n.disk.durable)
	}
	if p := n.peer(id); p != nil {
		return uint64(p.match)
	}
	return 0
}

// advanceCommit commits what a quorum has on disk. Only an entry of the leader's own term is
// committed by counting; it takes all before it along. An older one, though on a majority, could
// still be overwritten (paper, §5.4.2 and figure 8).
func (n *Node) advanceCommit() {
	if n.role != Leader {
		return
	}
	config, _ := n.members.latest()
	i := Index(config.Quorum(n.durableAt))
	if i <= n.commit {
		return
	}
	if t, ok := n.log.term(i); ok && t == n.hard.Term {
		n.commitTo(i)
	}
}

// commitTo takes in that everything up to i is decided.
func (n *Node) commitTo(i Index) {
	if i <= n.commit {
		return
	}
	from := n.commit
	n.commit = i
	t, _ := n.log.term(i)
	n.event(Event{Kind: EventCommit, Index: i, Term: t})
	if n.role != Leader {
		return
	}
	for k := from + 1; k <= i; k++ {
		n.lead.uncommitted -= entrySize(&n.log.entries[k-n.log.base-1])
	}
	if n.members.at(from).index != n.members.at(i).index {
		n.configCommitted()
	}
}
