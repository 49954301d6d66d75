package raft

// Status is what [Node.Status] tells.
type Status struct {
	ID       ID
	Role     Role
	Term     Term
	Vote     ID
	Leader   ID
	Commit   Index
	Applied  Index
	Durable  Index // the log is on disk up to here
	First    Index // the oldest entry in memory
	Last     Index
	LastTerm Term
	LogBytes int // payload of the log in memory
	Config   Config
	ConfigAt Index // where Config stands in the log; committed if <= Commit
	Snapshot SnapshotMeta
	Transfer ID           // the target of a leadership transfer under way
	Peers    []PeerStatus // the leader's view of the others, sorted by ID
}

// PeerStatus is what a leader knows of another member.
type PeerStatus struct {
	ID       ID
	Match    Index
	Next     Index
	State    string // "probe", "replicate", "snapshot"
	Inflight int
	LastSeen Time
}

// Status is a picture of the node, for people and metrics.
func (n *Node) Status() Status {
	config, at := n.members.latest()
	s := Status{
		ID: n.id, Role: n.role, Term: n.hard.Term, Vote: n.hard.Vote, Leader: n.leader,
		Commit: n.commit, Applied: n.applied, Durable: n.disk.durable,
		First: n.log.base + 1, Last: n.log.last(), LastTerm: n.log.lastTerm(), LogBytes: n.log.bytes,
		Config: config.normal(), ConfigAt: at, Snapshot: n.snap, Transfer: n.lead.transfer.to,
	}
	for _, p := range n.lead.peers {
		s.Peers = append(s.Peers, PeerStatus{
			ID: p.id, Match: p.match, Next: p.next, State: progressNames[p.state],
			Inflight: len(p.inflight.sent), LastSeen: p.lastSeen,
		})
	}
	return s
}
