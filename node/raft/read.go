package raft

import "slices"

// readState is the reads in progress (thesis, §6.4). Reads that came in together form a round.
//
//	Read ─► waiting ─flush─► heartbeats with the round's number ─quorum answers─► Output.Reads
//
// The index of a round is fixed before its heartbeats leave; that a quorum still answered us
// afterwards proves that nobody had replaced us when it was fixed, so nothing newer was committed.
// Rounds are numbered through and never used twice: an answer to an old one proves nothing new.
type readState struct {
	waiting []waitingRead
	round   uint64 // the newest; counts on through all terms
	rounds  []readRound
	left    [16]roundTime // when the last rounds' first heartbeats left, by round modulo 16

	// A follower's: asked of the leader, oldest first.
	context uint64 // the newest; begins at random, as a former life's answers may still come
	asked   []askedRead
}

// waitingRead is one local read, or one message from a follower.
type waitingRead struct {
	from ID     // 0: local
	id   uint64 // the read's, or the follower's context
}

type readRound struct {
	round uint64
	index Index
	reads []waitingRead
}

type roundTime struct {
	round uint64
	at    Time
}

type askedRead struct {
	context  uint64
	ids      []uint64
	deadline Time
}

// Read asks for a linearizable read. Output.Reads answers with the id and the index that must be
// applied before the read is served. Works on followers too. Error: ErrNotLeader (no leader known).
func (n *Node) Read(now Time, id uint64) error {
	n.advance(now)
	if n.leader == 0 {
		return ErrNotLeader
	}
	n.reads.waiting = append(n.reads.waiting, waitingRead{id: id})
	return nil
}

// flushReads starts a round for the reads that wait, or asks the leader for one. A new leader
// first has to commit an entry of its own term; before that its commit index may be behind.
func (n *Node) flushReads() {
	r := &n.reads
	if len(r.waiting) == 0 {
		return
	}
	if n.role != Leader {
		n.askLeader()
		return
	}
	if n.commit < n.lead.termStart {
		return
	}
	n.nextRound()
	r.rounds = append(r.rounds, readRound{r.round, n.commit, r.waiting})
	r.waiting = nil
	if n.hasLease() {
		n.answerRounds(r.round)
		return
	}
	config, _ := n.members.latest()
	for _, p := range n.lead.peers {
		if config.IsVoter(p.id) {
			n.sendHeartbeat(p)
		}
	}
	n.confirmReads()
}

// confirmReads answers the rounds that a quorum has confirmed. An answer to a later round
// confirms the earlier ones.
func (n *Node) confirmReads() {
	r := &n.reads
	if len(r.rounds) == 0 {
		return
	}
	config, _ := n.members.latest()
	confirmed := config.Quorum(func(id ID) uint64 {
		if id == n.id {
			return r.round
		}
		if p := n.peer(id); p != nil {
			return p.readAck
		}
		return 0
	})
	n.answerRounds(confirmed)
}

// answerRounds answers all rounds up to the one that is confirmed.
func (n *Node) answerRounds(confirmed uint64) {
	r := &n.reads
	k := 0
	for k < len(r.rounds) && r.rounds[k].round <= confirmed {
		n.answerRound(&r.rounds[k])
		k++
	}
	r.rounds = slices.Delete(r.rounds, 0, k)
}

func (n *Node) answerRound(r *readRound) {
	for _, w := range r.reads {
		if w.from == 0 {
			n.out.reads = append(n.out.reads, ReadDone{ID: w.id, Index: r.index})
		} else {
			n.send(Message{Kind: MsgReadIndexResp, To: w.from, Index: r.index, Context: w.id}, 0)
		}
	}
}

// askLeader sends a follower's waiting reads to the leader as one question.
func (n *Node) askLeader() {
	r := &n.reads
	r.context++
	a := askedRead{context: r.context, deadline: n.now + n.opts.ElectionTimeout}
	for _, w := range r.waiting {
		a.ids = append(a.ids, w.id)
	}
	r.waiting = r.waiting[:0]
	r.asked = append(r.asked, a)
	n.send(Message{Kind: MsgReadIndex, To: n.leader, Context: a.context}, 0)
}

func (n *Node) onReadIndex(m *Message) {
	if n.role == Leader {
		n.reads.waiting = append(n.reads.waiting, waitingRead{from: m.From, id: m.Context})
	}
}

// onReadIndexResp answers a follower's own reads. The index is committed, so we may commit up to
// it as far as our log is known to be the leader's.
func (n *Node) onReadIndexResp(m *Message) {
	for i, a := range n.reads.asked {
		if a.context != m.Context || m.From != n.leader {
			continue
		}
		n.reads.asked = slices.Delete(n.reads.asked, i, i+1)
		for _, id := range a.ids {
			n.out.reads = append(n.out.reads, ReadDone{ID: id, Index: m.Index})
		}
		n.commitTo(min(m.Index, n.verified))
		return
	}
}

// expireReads gives up questions that the leader did not answer in time.
func (n *Node) expireReads() {
	for len(n.reads.asked) > 0 && n.now >= n.reads.asked[0].deadline {
		n.abort(n.reads.asked[0].ids)
		n.reads.asked = slices.Delete(n.reads.asked, 0, 1)
	}
}

// abortReads answers every read in progress with ErrReadAborted.
func (n *Node) abortReads() {
	r := &n.reads
	n.abortWaiting(r.waiting)
	for i := range r.rounds {
		n.abortWaiting(r.rounds[i].reads)
	}
	for _, a := range r.asked {
		n.abort(a.ids)
	}
	r.waiting, r.rounds, r.asked = r.waiting[:0], nil, nil
}

func (n *Node) abortWaiting(reads []waitingRead) {
	for _, w := range reads {
		if w.from == 0 {
			n.abort([]uint64{w.id})
		}
	}
}

func (n *Node) abort(ids []uint64) {
	for _, id := range ids {
		n.out.reads = append(n.out.reads, ReadDone{ID: id, Err: ErrReadAborted})
	}
}
