package raft

// Drain moves what there is to do into out, and reports whether there is anything. Call it after
// a batch of inputs: appends and reads that came in together travel together.
func (n *Node) Drain(out *Output) bool {
	before := n.mark()
	if n.role == Leader {
		n.driveChange()
		n.replicate()
		n.driveTransfer()
	}
	n.flushReads()
	if n.idle() {
		return false
	}

	p := &n.out
	send, reads, events := out.Send[:0], out.Reads[:0], out.Events[:0] // to be filled next time
	*out = Output{
		Send: p.send, Reads: p.reads, Events: p.events,
		Restore: p.restore, Install: p.install, InstallFrom: p.installFrom,
		Commit: n.commit, LeaderChanged: p.leaderChanged,
	}
	n.drainWrite(out)
	n.drainApply(out)
	n.out = pending{send: send, reads: reads, events: events}
	n.check(before)
	return true
}

// idle reports whether there is nothing to do.
func (n *Node) idle() bool {
	p := &n.out
	return len(p.send) == 0 && len(p.reads) == 0 && len(p.events) == 0 && n.handed == n.commit &&
		p.restore == nil && p.install == nil && !p.leaderChanged && !n.unwritten()
}

// unwritten reports whether there is something to save that was not yet handed out.
func (n *Node) unwritten() bool {
	return n.out.hard || n.out.reset != nil || n.log.truncated != 0 || n.log.unsaved <= n.log.last()
}

// drainWrite fills in the write, and gives it the ticket that messages were promised in advance.
func (n *Node) drainWrite(out *Output) {
	if !n.unwritten() {
		return
	}
	if n.out.hard {
		hard := n.hard
		out.HardState = &hard
	}
	out.Reset = n.out.reset
	if out.Reset == nil {
		out.Truncate = n.log.truncated
	}
	out.Append = n.log.unsavedEntries()
	n.log.truncated = 0
	n.log.unsaved = n.log.last() + 1
	out.Ticket = n.disk.issue(n.log.last(), out.HardState != nil)
}

// drainApply hands out what became committed.
func (n *Node) drainApply(out *Output) {
	if n.handed < n.commit {
		out.Apply = n.log.slice(n.handed+1, n.commit, 1<<62)
		n.handed = n.commit
	}
}
