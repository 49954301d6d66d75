package raft

// A lease is the time for which a leader may answer reads without asking anybody (thesis,
// §6.4.1). A member that hears a heartbeat elects nobody for an election timeout. So, from the
// moment when a round of heartbeats left that a quorum has answered, nobody else can be elected
// for an election timeout of the fastest of the members' clocks, which our own may be behind:
//
//	       left          a quorum heard            earliest election
//	leader  │─────────────────│──────────────┄┄┄┄┄┄┄┄┄┄│
//	        │◄──── lease = timeout · (1−ρ)/(1+ρ) ────►│
//
// An election that we ask for ourselves (leadership transfer) ends it for good; and a member
// that restarts is patient from the start, as it cannot know what it heard before.

// nextRound numbers a new round of heartbeats.
func (n *Node) nextRound() {
	r := &n.reads
	r.round++
	r.left[r.round%uint64(len(r.left))] = roundTime{r.round, n.now}
}

// renewLease takes in p's answer to its newest round.
func (n *Node) renewLease(p *progress) {
	if left := &n.reads.left[p.readAck%uint64(len(n.reads.left))]; left.round == p.readAck {
		p.leaseAt = left.at
	}
}

// hasLease reports whether nobody else can lead at this moment.
func (n *Node) hasLease() bool {
	if !n.opts.LeaseReads || n.lead.noLease {
		return false
	}
	config, _ := n.members.latest()
	from := Time(config.Quorum(func(id ID) uint64 {
		if id == n.id {
			return uint64(n.now)
		}
		if p := n.peer(id); p != nil {
			return uint64(p.leaseAt)
		}
		return 0
	}))
	drift := Time(n.opts.MaxDriftPPM)
	return from > 0 && n.now-from < n.opts.ElectionTimeout/(1e6+drift)*(1e6-drift)
}
