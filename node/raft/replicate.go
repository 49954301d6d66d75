package raft

import "slices"

// peer is the leader's progress for id; nil if it is none of those that we replicate to.
func (n *Node) peer(id ID) *progress {
	for _, p := range n.lead.peers {
		if p.id == id {
			return p
		}
	}
	return nil
}

// trackPeers makes the list of those that we replicate to: the members of the configuration in
// force and, until it is committed, of the last committed one, so that who is removed learns of
// it. Who is no longer in it loses its progress: coming back later, it starts from nothing. The
// first probe of a newcomer begins at the last entry, which we have just appended.
func (n *Node) trackPeers() {
	config, _ := n.members.latest()
	ids := slices.Concat(config.Members(), n.members.at(n.commit).config.Members())
	slices.Sort(ids)
	ids = slices.Compact(ids)
	peers := make([]*progress, 0, len(ids))
	for _, id := range ids {
		if id == n.id {
			continue
		}
		p := n.peer(id)
		if p == nil {
			p = &progress{id: id, next: n.log.last(), lastSeen: n.now}
		}
		peers = append(peers, p)
	}
	n.lead.peers = peers
}

// replicate sends every follower what it lacks, as far as its window allows. It runs when effects
// are drained, so that what came in together goes out together.
func (n *Node) replicate() {
	for _, p := range n.lead.peers {
		for n.sendAppend(p) {
		}
	}
}

// sendAppend sends p the next batch and reports whether another one may follow. A probe carries
// entries too: if it fits, it removes a wrong tail with the same message.
func (n *Node) sendAppend(p *progress) bool {
	if p.state == stateSnapshot || p.waiting || p.next > n.log.last() {
		return false
	}
	if p.inflight.full(n.opts.MaxInflightMsgs, n.opts.MaxInflightBytes) {
		return false
	}
	prev := p.next - 1
	prevTerm, ok := n.log.term(prev)
	if !ok {
		n.sendSnapshot(p)
		return false
	}
	entries := n.log.slice(p.next, n.log.last(), n.opts.MaxBatchBytes)
	n.send(Message{
		Kind: MsgAppend, To: p.id, Index: prev, LogTerm: prevTerm, Entries: entries, Commit: n.commit,
	}, 0)
	if p.state == stateProbe {
		p.waiting, p.since = true, n.now
		return false
	}
	if len(p.inflight.sent) == 0 {
		p.since = n.now
	}
	size := 0
	for i := range entries {
		size += entrySize(&entries[i])
	}
	p.next += Index(len(entries))
	p.inflight.add(p.next-1, size)
	return true
}

// sendHeartbeat tells p that we lead, how far it may commit, and asks it to confirm the newest
// read round. Commit stops at what p is known to have: beyond that its log may differ from ours.
func (n *Node) sendHeartbeat(p *progress) {
	n.send(Message{
		Kind: MsgHeartbeat, To: p.id, Commit: min(n.commit, p.match), Context: n.reads.round,
	}, 0)
}

// checkStalled finds, at each heartbeat, what must have been lost on the way: an unanswered probe
// is sent again, and a follower that stopped acknowledging is probed.
func (n *Node) checkStalled(p *progress) {
	silent := n.now - p.since
	switch {
	case p.state == stateProbe && silent >= n.opts.Heartbeat:
		p.waiting = false
	case p.state == stateReplicate && p.next > p.match+1 && silent >= 3*n.opts.Heartbeat:
		p.probe()
	case p.state == stateSnapshot && silent >= n.opts.ElectionTimeout:
		n.sendSnapshot(p)
	}
}

// onAppendResp moves a follower's progress: forward when its log matches, back when it does not.
func (n *Node) onAppendResp(m *Message) {
	p := n.peer(m.From)
	if n.role != Leader || p == nil {
		return
	}
	p.lastSeen = n.now
	switch {
	case m.Reject && m.Kind == MsgSnapshotResp:
		p.since = n.now // announced again after a while
	case m.Reject:
		n.onAppendRefused(p, m)
	case m.Index > n.log.last():
		// Nobody can match what we have not got; not an answer to anything of ours.
	default:
		// Only an answer to the probe itself ends it: if a late or doubled acknowledgement did, each
		// would send a whole window again, and its answers even more.
		found := p.state == stateProbe && m.Index >= p.next
		advanced := p.acked(n.now, m.Index)
		if found || p.state == stateSnapshot && p.match >= n.log.base {
			p.replicate()
		}
		if advanced {
			n.advanceCommit()
			n.checkCaughtUp(p)
		}
	}
}

// onAppendRefused looks for the place where the logs agree, by the follower's hint. Refusals of
// older probes, and of what has been acknowledged since, say nothing.
func (n *Node) onAppendRefused(p *progress, m *Message) {
	if p.state == stateSnapshot || m.Refused <= p.match || m.Refused >= p.next {
		return
	}
	if p.state == stateProbe && m.Refused != p.next-1 {
		return
	}
	p.probe()
	p.next = max(p.match+1, min(m.Refused, n.log.hint(m.Index, m.LogTerm)+1))
}

func (n *Node) onHeartbeatResp(m *Message) {
	p := n.peer(m.From)
	if n.role != Leader || p == nil {
		return
	}
	p.lastSeen = n.now
	if m.Context > p.readAck {
		p.readAck = min(m.Context, n.reads.round)
		n.renewLease(p)
		n.confirmReads()
	}
}
