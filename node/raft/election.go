package raft

// ballot is one member's answer to a candidate.
type ballot struct {
	id      ID
	granted bool
}

// resetElectionTimer draws a new timeout between one and two election timeouts. Drawing it anew
// each time is what keeps candidates from splitting the vote for ever (paper, §5.2).
func (n *Node) resetElectionTimer() {
	n.electionAt = n.now + n.opts.ElectionTimeout + Time(n.rng.Int64N(int64(n.opts.ElectionTimeout)))
}

// hasLeader reports whether a leader was heard from so recently that nobody should be elected.
// Lease reads rest on it, so it must not depend on anything but the time: not on the term, which
// a stray message may raise, nor on a restart.
func (n *Node) hasLeader() bool {
	return n.role == Leader || n.now-n.heardAt < n.opts.ElectionTimeout
}

// becomeFollower enters a term as follower. The vote is forgotten only with the term: forgetting
// it in the same term would allow a second vote.
func (n *Node) becomeFollower(term Term, leader ID) {
	changed := n.role != Follower || term != n.hard.Term || leader != n.leader
	if term != n.hard.Term {
		n.setHard(HardState{Term: term})
		n.verified = 0
	}
	if n.role != Follower {
		n.resetElectionTimer()
	}
	if !changed {
		return
	}
	n.leaveRole()
	n.role, n.leader = Follower, leader
	n.event(Event{Kind: EventFollower, Term: term, Peer: leader})
}

// leaveRole drops what belonged to the role and term so far. Reads in progress are aborted:
// nobody answers them any more.
func (n *Node) leaveRole() {
	n.abortReads()
	n.lead = leadership{}
	n.votes, n.selfVote = n.votes[:0], 0
	n.out.leaderChanged = true
}

// electionTimeout is what happens when no leader was heard from in time.
func (n *Node) electionTimeout() {
	n.resetElectionTimer()
	if !n.mayLead() {
		return
	}
	if n.opts.NoPreVote {
		n.campaign(false)
	} else {
		n.preCampaign()
	}
}

// mayLead reports whether this node may stand for election. One that is not, or no longer, a
// voter in the newest configuration still may until that is known to be committed: its log may be
// the longest, and without it nobody could win (thesis, §4.2.2). One that is being given a
// snapshot may not: its log has a hole.
func (n *Node) mayLead() bool {
	if n.installing != nil {
		return false
	}
	for k := len(n.members.history) - 1; k >= 0; k-- {
		if n.members.history[k].config.IsVoter(n.id) {
			return true
		}
		if n.members.history[k].index <= n.commit {
			break
		}
	}
	return false
}

// preCampaign asks whether an election could be won, without entering a new term: a node that
// was cut off must not disturb the others when it comes back (thesis, §9.6).
func (n *Node) preCampaign() {
	n.leaveRole()
	n.role, n.leader = PreCandidate, 0
	n.event(Event{Kind: EventPreCandidate, Term: n.hard.Term})
	n.askForVotes(Message{Kind: MsgPreVote, Term: n.hard.Term + 1}, 0)
	n.countVote(n.id, true)
}

// campaign starts an election. The request leaves when the new term, our vote for ourselves and
// the log that it advertises are on disk; a crash could otherwise make us vote again in the term,
// or stand for it with a shorter log. Our own vote counts from the same moment.
func (n *Node) campaign(forced bool) {
	n.leaveRole()
	n.role, n.leader = Candidate, 0
	n.setHard(HardState{Term: n.hard.Term + 1, Vote: n.id})
	n.verified = 0
	n.resetElectionTimer()
	e := Event{Kind: EventCandidate, Term: n.hard.Term, Index: n.log.last()}
	if forced {
		e.Detail = "transfer"
	}
	n.event(e)
	n.event(Event{Kind: EventVote, Term: n.hard.Term, Peer: n.id})
	n.selfVote = n.after()
	n.askForVotes(Message{Kind: MsgVote, Force: forced}, n.selfVote)
}

func (n *Node) askForVotes(m Message, after Ticket) {
	m.Index, m.LogTerm = n.log.last(), n.log.lastTerm()
	config, _ := n.members.latest()
	for _, id := range config.Members() {
		if id != n.id && config.IsVoter(id) {
			m.To = id
			n.send(m, after)
		}
	}
}

// onPreVote answers whether we would vote for the sender. Nothing is promised or remembered.
func (n *Node) onPreVote(m *Message) {
	grant := m.Term > n.hard.Term && !n.hasLeader() && n.log.upToDate(m.Index, m.LogTerm)
	resp := Message{Kind: MsgPreVoteResp, To: m.From, Reject: !grant}
	if grant {
		resp.Term = m.Term
	}
	n.send(resp, 0)
}

func (n *Node) onPreVoteResp(m *Message) {
	if n.role != PreCandidate || !m.Reject && m.Term != n.hard.Term+1 {
		return
	}
	n.countVote(m.From, !m.Reject)
}

// onVote grants the vote if it is still free in this term, or the sender's already, and the
// sender's log is at least as up to date as ours (paper, §5.4.1). Who is asked votes, even if it
// is not, or not yet, in the configuration that it knows: that may be out of date (thesis, §4.2.2).
func (n *Node) onVote(m *Message) {
	free := n.hard.Vote == 0 || n.hard.Vote == m.From
	if !free || !n.log.upToDate(m.Index, m.LogTerm) {
		n.send(Message{Kind: MsgVoteResp, To: m.From, Reject: true}, n.afterHard())
		return
	}
	if n.role == PreCandidate {
		n.becomeFollower(n.hard.Term, 0)
	}
	n.setHard(HardState{Term: n.hard.Term, Vote: m.From})
	n.resetElectionTimer()
	n.event(Event{Kind: EventVote, Term: n.hard.Term, Peer: m.From})
	n.send(Message{Kind: MsgVoteResp, To: m.From}, n.after())
}

func (n *Node) onVoteResp(m *Message) {
	if n.role == Candidate {
		n.countVote(m.From, !m.Reject)
	}
}

// countVote notes one member's answer, once, and acts when the outcome is certain.
func (n *Node) countVote(id ID, granted bool) {
	for _, b := range n.votes {
		if b.id == id {
			return
		}
	}
	n.votes = append(n.votes, ballot{id, granted})
	switch {
	case n.tally(func(b ballot) bool { return b.granted }):
		if n.role == PreCandidate {
			n.campaign(false)
		} else {
			n.becomeLeader()
		}
	case !n.tally(func(b ballot) bool { return b.granted || b.id == 0 }):
		n.becomeFollower(n.hard.Term, 0)
	}
}

// tally reports whether the members whose ballot is counted are a quorum. Who has not answered
// yet is shown to count as the zero ballot.
func (n *Node) tally(counts func(ballot) bool) bool {
	config, _ := n.members.latest()
	return config.Quorum(func(id ID) uint64 {
		answer := ballot{}
		for _, b := range n.votes {
			if b.id == id {
				answer = b
			}
		}
		if counts(answer) {
			return 1
		}
		return 0
	}) > 0
}

// becomeLeader takes over the term. Its first entry is a no-op: only when an entry of its own
// term is committed does a leader know what is (thesis, §6.4).
func (n *Node) becomeLeader() {
	n.leaveRole()
	n.role, n.leader = Leader, n.id
	n.event(Event{Kind: EventLeader, Term: n.hard.Term, Index: n.log.last()})
	for i := n.commit + 1; i <= n.log.last(); i++ {
		n.lead.uncommitted += entrySize(&n.log.entries[i-n.log.base-1])
	}
	n.lead.heartbeatAt = n.now + n.opts.Heartbeat
	n.lead.termStart = n.appendOwn(EntryNoop, nil)
	n.trackPeers()
}

// quorumSeen is when a quorum was last heard from, ourselves included.
func (n *Node) quorumSeen() Time {
	config, _ := n.members.latest()
	return Time(config.Quorum(func(id ID) uint64 {
		if id == n.id {
			return uint64(n.now)
		}
		if p := n.peer(id); p != nil {
			return uint64(p.lastSeen)
		}
		return 0
	}))
}

// tickLeader sends heartbeats, and steps down when no quorum was heard from for an election
// timeout: the others may long have another leader, and our clients should look for it (§6.2).
func (n *Node) tickLeader() {
	if t := &n.lead.transfer; t.to != 0 && n.now >= t.deadline {
		n.event(Event{Kind: EventTransfer, Term: n.hard.Term, Peer: t.to, Detail: "abort"})
		*t = transfer{}
	}
	if n.now < n.lead.heartbeatAt {
		return
	}
	n.lead.heartbeatAt = n.now + n.opts.Heartbeat
	if !n.opts.NoCheckQuorum && n.now-n.quorumSeen() > n.opts.ElectionTimeout {
		n.becomeFollower(n.hard.Term, 0)
		return
	}
	if n.opts.LeaseReads {
		n.nextRound()
	}
	for _, p := range n.lead.peers {
		n.sendHeartbeat(p)
		n.checkStalled(p)
	}
}
