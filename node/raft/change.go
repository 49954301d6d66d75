package raft

import "slices"

// change is a membership change that the leader drives (thesis, §4.3 and §4.2.1):
//
//	C ──► C + newcomers as learners ──caught up──► C_old,new ──► C_new
//
// Each arrow is an entry, in force as soon as it is in the log, and the next one is appended only
// when the one before is committed. If the leader is lost before C_old,new, the change is dropped
// and the newcomers stay learners; after it, every later leader completes it.
type change struct {
	target Config
}

// ChangeTo starts a change of membership to target's Voters and Learners (Old must be empty).
// The node drives it: newcomers learn, catch up, C_old,new, C_new. It is done when an EntryConfig
// with the target is applied. While newcomers are still catching up, another call replaces the
// target. Errors: ErrNotLeader, ErrTransferring, ErrConfigBusy, ErrBadConfig.
func (n *Node) ChangeTo(now Time, target Config) error {
	n.advance(now)
	if err := n.canPropose(); err != nil {
		return err
	}
	target = target.normal()
	if err := target.validTarget(); err != nil {
		return err
	}
	// Without a commit in our own term, a former leader's uncommitted change might come back and
	// overlap with ours in quorums that do not (Ongaro, raft-dev, 10 July 2015).
	config, at := n.members.latest()
	if at > n.commit || config.Joint() || n.commit < n.lead.termStart {
		return ErrConfigBusy
	}
	n.lead.change = &change{target}
	for _, p := range n.lead.peers {
		p.roundEnd, p.caughtUp = 0, false
	}
	return nil
}

// driveChange takes the next step of a change, if the one before is committed.
func (n *Node) driveChange() {
	config, at := n.members.latest()
	if n.lead.change == nil && !config.Joint() {
		return
	}
	if at > n.commit || n.commit < n.lead.termStart || n.lead.transfer.to != 0 {
		return
	}
	if config.Joint() {
		n.appendConfig(Config{Voters: config.Voters, Learners: config.Learners})
		return
	}
	target := n.lead.change.target
	switch newcomers := n.newcomers(config, &target); {
	case config.Equal(&target):
		n.lead.change = nil
	case len(newcomers) > 0:
		learners := Config{Voters: config.Voters, Learners: append(newcomers, config.Learners...)}
		n.appendConfig(learners.normal())
	case !n.allCaughtUp(config, &target):
		// checkCaughtUp brings us back here.
	case slices.Equal(config.Voters, target.Voters):
		n.appendConfig(target)
	default:
		n.lead.change = nil // from here on the joint configuration itself says what is to be done
		n.appendConfig(Config{Voters: target.Voters, Old: config.Voters, Learners: target.Learners})
	}
}

// newcomers are the target's members that are not in config.
func (n *Node) newcomers(config, target *Config) []ID {
	return slices.DeleteFunc(target.Members(), config.IsMember)
}

// appendConfig puts a configuration in the log, and thereby in force.
func (n *Node) appendConfig(c Config) {
	i := n.appendOwn(EntryConfig, c.Encode())
	n.members.add(i, c)
	n.trackPeers()
	n.eventConfig()
}

// allCaughtUp reports whether every voter-to-be follows closely enough to vote without holding
// up commits.
func (n *Node) allCaughtUp(config, target *Config) bool {
	all := true
	for _, id := range target.Voters {
		p := n.peer(id)
		if p == nil || config.IsVoter(id) {
			continue
		}
		if p.roundEnd == 0 {
			p.roundEnd, p.roundBegan = n.log.last(), n.now
		}
		n.checkCaughtUp(p)
		all = all && p.caughtUp
	}
	return all
}

// checkCaughtUp ends a round of catching up when all that was in the log at its beginning has
// arrived. A round shorter than an election timeout is the last one.
func (n *Node) checkCaughtUp(p *progress) {
	if p.roundEnd == 0 || p.caughtUp || p.match < p.roundEnd {
		return
	}
	if n.now-p.roundBegan <= n.opts.ElectionTimeout {
		p.caughtUp = true
		return
	}
	p.roundEnd, p.roundBegan = n.log.last(), n.now
}

// configCommitted follows the commit of a configuration on the leader: who is out of it is told
// and dropped, and a leader that is out itself hands over and steps down.
func (n *Node) configCommitted() {
	before := n.lead.peers
	n.trackPeers()
	for _, p := range before {
		if n.peer(p.id) == nil {
			n.sendFarewell(p)
		}
	}
	config, at := n.members.latest()
	if at > n.commit || config.IsVoter(n.id) {
		return
	}
	var heir *progress
	for _, p := range n.lead.peers {
		if config.IsVoter(p.id) && (heir == nil || p.match > heir.match) {
			heir = p
		}
	}
	if heir != nil {
		n.sendTimeoutNow(heir.id)
	}
	n.becomeFollower(n.hard.Term, 0)
}

// sendFarewell lets a removed member know that its removal is committed, so that it does not
// campaign. If the message is lost, pre-votes and stickiness keep it from doing harm.
func (n *Node) sendFarewell(p *progress) {
	if t, ok := n.log.term(p.next - 1); ok {
		n.send(Message{
			Kind: MsgAppend, To: p.id, Index: p.next - 1, LogTerm: t, Commit: n.commit,
			Entries: n.log.slice(p.next, n.log.last(), n.opts.MaxBatchBytes),
		}, 0)
	}
}
