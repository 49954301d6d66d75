package raft

// transfer is a leadership transfer under way (thesis, §3.10). New proposals are refused until it
// is over; otherwise the target might never catch up.
type transfer struct {
	to       ID
	deadline Time
	again    Time // when the target may be told once more
}

// Transfer hands leadership to another voter, or gives up after an election timeout. Proposals are
// refused meanwhile. Errors: ErrNotLeader, ErrTransferring, ErrNotVoter.
func (n *Node) Transfer(now Time, to ID) error {
	n.advance(now)
	if err := n.canPropose(); err != nil {
		return err
	}
	config, _ := n.members.latest()
	if to == n.id || !config.IsVoter(to) {
		return ErrNotVoter
	}
	n.lead.transfer = transfer{to: to, deadline: n.now + n.opts.ElectionTimeout}
	n.event(Event{Kind: EventTransfer, Term: n.hard.Term, Peer: to})
	return nil
}

// driveTransfer tells the target to campaign once it has the whole log.
func (n *Node) driveTransfer() {
	t := &n.lead.transfer
	if t.to == 0 || n.now < t.again {
		return
	}
	if p := n.peer(t.to); p != nil && p.match == n.log.last() {
		n.sendTimeoutNow(t.to)
		t.again = n.now + n.opts.Heartbeat
	}
}

// sendTimeoutNow lets to campaign although the others have a leader. Whether and when it does is
// out of our hands from here on, so there are no more leases in this term.
func (n *Node) sendTimeoutNow(to ID) {
	n.lead.noLease = true
	n.send(Message{
		Kind: MsgTimeoutNow, To: to, Index: n.log.last(), LogTerm: n.log.lastTerm(),
	}, 0)
}

// onTimeoutNow campaigns at once and without a pre-vote, which the leader's followers would
// refuse. A message that arrives late, or at a node that lacks the leader's last entry, is void.
func (n *Node) onTimeoutNow(m *Message) {
	if n.role != Leader && n.mayLead() && n.log.matches(m.Index, m.LogTerm) {
		n.campaign(true)
	}
}
