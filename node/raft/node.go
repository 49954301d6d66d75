package raft

import "math/rand/v2"

// Node is one member's consensus state. It is not safe for concurrent use: one goroutine owns it.
//
// The files: election.go (who leads), replicate.go (the log goes out), follow.go (and comes in),
// commit.go (what is decided), read.go (reads without the log), change.go (membership),
// snapshot.go, transfer.go; log.go, config.go, progress.go and disk.go hold the state, and
// check.go what must always be true of it.
type Node struct {
	id   ID
	opts Options
	rng  *rand.Rand
	now  Time // the latest that any input told

	// On disk, or on its way there.
	hard    HardState
	log     entryLog
	members membership
	snap    SnapshotMeta // our newest durable snapshot
	disk    disk

	commit  Index // what is decided
	handed  Index // handed out in Output.Apply
	applied Index // what the driver says is applied

	role       Role
	leader     ID    // of this term, if known
	electionAt Time  // not a leader: campaign if nothing is heard until then
	heardAt    Time  // when the leader of this term was last heard from
	verified   Index // the log is known to equal this term's leader's up to here

	votes      []ballot // a candidate's
	selfVote   Ticket   // a candidate's own vote counts once this is persisted
	installing *SnapshotMeta

	lead  leadership
	reads readState
	out   pending
}

// leadership is what only a leader has. It is made anew at each election and dropped afterwards.
type leadership struct {
	peers       []*progress // everybody that we replicate to, sorted by ID
	termStart   Index       // the no-op of our term; nothing before its commit is certain (§5.4.2)
	heartbeatAt Time
	uncommitted int // size of the entries not yet committed
	transfer    transfer
	change      *change
	noLease     bool // somebody may be elected against the others' patience
}

// pending collects effects between two calls of Drain.
type pending struct {
	hard          bool
	reset         *SnapshotMeta
	restore       *SnapshotMeta
	install       *SnapshotMeta
	installFrom   ID
	send          []Outgoing
	reads         []ReadDone
	events        []Event
	commit        Index // as last handed out
	leaderChanged bool
}

// Step takes in a message from another node.
func (n *Node) Step(now Time, m Message) {
	n.advance(now)
	if m.To != n.id || m.From == n.id || m.From == 0 {
		return
	}
	before := n.mark()
	if n.admit(&m) {
		n.dispatch(&m)
	}
	n.check(before)
}

// admit compares terms, which is the first thing to do with any message (paper, §5.1): a higher
// one makes us a follower in it, a lower one is stale. Pre-votes and their grants name a term that
// nobody has entered yet.
func (n *Node) admit(m *Message) bool {
	switch {
	case m.Kind == MsgPreVote, m.Kind == MsgPreVoteResp && !m.Reject, m.Term == n.hard.Term:
		return true
	case m.Term < n.hard.Term:
		n.answerStale(m)
		return false
	case m.Kind == MsgVote && !m.Force && n.hasLeader():
		return false // a removed or partitioned member must not depose a working leader (§4.2.3)
	}
	leader := ID(0)
	if m.Kind == MsgAppend || m.Kind == MsgHeartbeat || m.Kind == MsgSnapshot {
		leader = m.From
	}
	n.becomeFollower(m.Term, leader)
	return true
}

// answerStale tells the sender of a stale request that its term is over. Without that, a leader
// whose followers have moved on to a higher term that nobody leads would never find out.
func (n *Node) answerStale(m *Message) {
	switch m.Kind {
	case MsgAppend, MsgHeartbeat, MsgSnapshot:
		n.send(Message{Kind: MsgAppendResp, To: m.From, Reject: true}, n.afterHard())
	case MsgVote:
		n.send(Message{Kind: MsgVoteResp, To: m.From, Reject: true}, n.afterHard())
	}
}

func (n *Node) dispatch(m *Message) {
	switch m.Kind {
	case MsgPreVote:
		n.onPreVote(m)
	case MsgPreVoteResp:
		n.onPreVoteResp(m)
	case MsgVote:
		n.onVote(m)
	case MsgVoteResp:
		n.onVoteResp(m)
	case MsgAppend:
		n.onAppend(m)
	case MsgAppendResp, MsgSnapshotResp:
		n.onAppendResp(m)
	case MsgHeartbeat:
		n.onHeartbeat(m)
	case MsgHeartbeatResp:
		n.onHeartbeatResp(m)
	case MsgSnapshot:
		n.onSnapshot(m)
	case MsgTimeoutNow:
		n.onTimeoutNow(m)
	case MsgReadIndex:
		n.onReadIndex(m)
	case MsgReadIndexResp:
		n.onReadIndexResp(m)
	}
}

// Tick lets time pass. Call it when now >= [Node.Deadline]; more often does no harm.
func (n *Node) Tick(now Time) {
	n.advance(now)
	before := n.mark()
	n.expireReads()
	if n.role == Leader {
		n.tickLeader()
	} else if n.now >= n.electionAt {
		n.electionTimeout()
	}
	n.check(before)
}

// Deadline is when Tick must be called next. It changes with every input.
func (n *Node) Deadline() Time {
	at := n.electionAt
	if n.role == Leader {
		at = n.lead.heartbeatAt
		if t := &n.lead.transfer; t.to != 0 {
			at = min(at, t.deadline)
		}
	}
	if len(n.reads.asked) > 0 {
		at = min(at, n.reads.asked[0].deadline)
	}
	return at
}

// advance notes the time. It never goes back, whatever the driver's clock does.
func (n *Node) advance(now Time) { n.now = max(n.now, now) }

// Propose appends commands to the leader's log: the first at Index first, all with term. They are
// decided when an entry is applied at their index: by this term, done; by another, they never
// happened. Errors: ErrNotLeader, ErrTransferring, ErrOverloaded; then nothing was appended.
func (n *Node) Propose(now Time, cmds [][]byte) (first Index, term Term, err error) {
	n.advance(now)
	if err := n.canPropose(); err != nil {
		return 0, 0, err
	}
	size := 0
	for _, c := range cmds {
		size += len(c) + 16
	}
	if n.lead.uncommitted > 0 && n.lead.uncommitted+size > n.opts.MaxUncommittedBytes {
		return 0, 0, ErrOverloaded
	}
	before := n.mark()
	first = n.log.last() + 1
	for _, c := range cmds {
		n.log.append(Entry{Index: n.log.last() + 1, Term: n.hard.Term, Kind: EntryCommand, Data: c})
	}
	n.lead.uncommitted += size
	n.appended(first)
	n.check(before)
	return first, n.hard.Term, nil
}

func (n *Node) canPropose() error {
	switch {
	case n.role != Leader:
		return ErrNotLeader
	case n.lead.transfer.to != 0:
		return ErrTransferring
	}
	return nil
}

// appendOwn appends one entry of the leader's own making.
func (n *Node) appendOwn(kind EntryKind, data []byte) Index {
	e := Entry{Index: n.log.last() + 1, Term: n.hard.Term, Kind: kind, Data: data}
	n.log.append(e)
	n.lead.uncommitted += entrySize(&e)
	n.appended(e.Index)
	return e.Index
}

// appended notes in the trace what was appended from first on.
func (n *Node) appended(first Index) {
	n.event(Event{Kind: EventAppend, First: first, Index: n.log.last(), Term: n.log.lastTerm()})
}

// Persisted says that every write up to t is on disk.
func (n *Node) Persisted(t Ticket) {
	before := n.mark()
	n.disk.done(t)
	if n.role == Candidate && n.selfVote != 0 && t >= n.selfVote {
		n.selfVote = 0
		n.countVote(n.id, true)
	}
	n.advanceCommit()
	n.check(before)
}

// Applied says that the state machine has applied everything up to i.
func (n *Node) Applied(i Index) { n.applied = max(n.applied, min(i, n.commit)) }

// send queues a message of our term, which must wait for the disk write after.
func (n *Node) send(m Message, after Ticket) {
	m.From = n.id
	if m.Term == 0 {
		m.Term = n.hard.Term
	}
	n.out.send = append(n.out.send, Outgoing{Message: m, After: after})
}

// after is the ticket of the write that covers all that this node holds now; 0 if it is on disk.
func (n *Node) after() Ticket {
	switch {
	case n.unwritten():
		return n.disk.issued + 1
	case n.disk.issued > n.disk.persisted:
		return n.disk.issued
	}
	return 0
}

// afterHard is the ticket of the write that covers term and vote. What depends only on them must
// not wait for entries.
func (n *Node) afterHard() Ticket {
	switch {
	case n.out.hard:
		return n.disk.issued + 1
	case n.disk.hard > n.disk.persisted:
		return n.disk.hard
	}
	return 0
}

func (n *Node) setHard(h HardState) {
	if h != n.hard {
		n.hard = h
		n.out.hard = true
	}
}

func (n *Node) event(e Event) { n.out.events = append(n.out.events, e) }

// Leader is the leader of the current term as far as this node knows, or zero.
func (n *Node) Leader() ID { return n.leader }

// Term is the current term.
func (n *Node) Term() Term { return n.hard.Term }

// Role is what the node is at the moment.
func (n *Node) Role() Role { return n.role }
