// Package raft is the consensus core: a pure state machine. Inputs go in (a message, a deadline, a
// proposal, word that the disk is done) and effects come out (messages to send, entries to save,
// entries to apply). It has no clock, disk, network, goroutine or randomness of its own, so the same
// inputs give the same effects: in raftnode, with sockets and a disk, and in the simulator, where a
// whole cluster lives in virtual time.
//
//	messages, deadlines,   ┌──────┐  Output{Append, Send, Commit, Reads, …}
//	proposals, disk acks ─►│ Node │─► every message names the Ticket of the
//	                       └──────┘   disk write that it must wait for
//
// The algorithm is that of Ongaro and Ousterhout, "In Search of an Understandable Consensus
// Algorithm", with what Ongaro's dissertation adds: pre-vote (§9.6), check-quorum (§6.2), leadership
// transfer (§3.10), ReadIndex (§6.4), joint consensus (§4.3) and learners (§4.2.1).
package raft

import "strconv"

// ID identifies a member. It is a number, written "n1", "n2", …; zero is nobody.
type ID uint64

func (id ID) String() string { return "n" + strconv.FormatUint(uint64(id), 10) }

// Term counts elections. Index counts log entries, from 1. Zero means none.
type (
	Term  uint64
	Index uint64
)

// Time is monotonic time in nanoseconds, handed in by the driver. The core never looks at a clock.
type Time int64

// Ticket numbers a disk write. The driver saves in the order of tickets and reports back with
// [Node.Persisted]. Zero is no write.
type Ticket uint64

// EntryKind says what an entry is for.
type EntryKind uint8

// The kinds of entry.
const (
	EntryNoop    EntryKind = iota // a new leader's first entry; tells it what is committed (§6.4)
	EntryCommand                  // for the state machine
	EntryConfig                   // a Config, in force as soon as it is in the log (§4.1)
)

// Entry is one slot of the log. Data is owned by the log once handed in: nobody changes it.
type Entry struct {
	Index Index
	Term  Term
	Kind  EntryKind
	Data  []byte
}

// HardState is what must be on disk before anything that depends on it is said (paper, figure 2).
type HardState struct {
	Term Term
	Vote ID
}

// Config is the membership. While Old is not empty it is the joint configuration C_old,new: every
// decision needs a majority of Voters and a majority of Old (§4.3). All slices are sorted.
type Config struct {
	Voters   []ID
	Old      []ID
	Learners []ID
}

// SnapshotMeta says what a snapshot stands for: the state after Index, and the membership then.
type SnapshotMeta struct {
	Index  Index
	Term   Term
	Config Config
}

// MessageKind says what a message is.
type MessageKind uint8

// The kinds of message. Resp answers the one before it.
const (
	MsgPreVote MessageKind = iota + 1
	MsgPreVoteResp
	MsgVote
	MsgVoteResp
	MsgAppend
	MsgAppendResp
	MsgHeartbeat
	MsgHeartbeatResp
	MsgSnapshot // announces a snapshot; the driver carries the contents
	MsgSnapshotResp
	MsgTimeoutNow
	MsgReadIndex // a follower asks the leader for a read index
	MsgReadIndexResp
)

// Message is what nodes say to each other: one plain struct, of which each kind uses some fields.
type Message struct {
	Kind     MessageKind
	From, To ID
	Term     Term

	// Vote, PreVote: the candidate's last entry. Append: the entry before Entries. AppendResp:
	// on success Index is the last entry known to match; on Reject, a hint where to look next,
	// with the term there in LogTerm. TimeoutNow: the last entry that the target must have.
	Index   Index
	LogTerm Term

	Entries []Entry // Append
	Commit  Index   // Append, Heartbeat: the leader's commit index, as far as it goes for the receiver
	Reject  bool    // every Resp
	Context uint64  // Heartbeat, ReadIndex and their Resp: the read round, never used twice
	Force   bool    // Vote, PreVote: a leader asked for this election (leadership transfer)

	Snapshot *SnapshotMeta // Snapshot
}

// Outgoing is a message and the disk write that it must wait for.
type Outgoing struct {
	Message
	// After must be persisted before the message leaves; zero may leave at once. A leader's
	// Append never waits: its own disk works in parallel with replication (§10.2.1).
	After Ticket
}

// ReadDone answers a read: it may be served once the state machine has applied Index.
type ReadDone struct {
	ID    uint64
	Index Index
	Err   error // ErrReadAborted if leadership was lost meanwhile; then nothing may be served
}

// Role is what a node is at the moment.
type Role uint8

// The roles.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
)

var roleNames = [...]string{"follower", "pre-candidate", "candidate", "leader"}

func (r Role) String() string { return roleNames[r] }

// Output is what the driver has to do, in this order: save (HardState, then Truncate, then Append,
// as one write with one Ticket), send what waits for nothing, apply up to Commit, answer Reads.
// Messages with After > 0 leave when that ticket is persisted. The slices are the driver's until the
// next call of Drain.
type Output struct {
	Ticket    Ticket     // of the write below; 0 if there is nothing to save
	HardState *HardState // nil if unchanged
	Truncate  Index      // discard entries from here on before appending; 0 for none
	Append    []Entry

	Send   []Outgoing
	Commit Index // apply up to here; never beyond the log
	Reads  []ReadDone

	// Install: a snapshot announced by a leader that should be fetched and installed; the driver
	// answers with Installed. NeedSnapshot: followers that need the driver's latest snapshot.
	Install      *SnapshotMeta
	InstallFrom  ID
	NeedSnapshot []ID

	// LeaderChanged says that leader or role changed: proposals of former terms are undecided.
	LeaderChanged bool

	Events []Event // what happened, in order, for the trace
}

// Event is one thing that happened in the protocol, for traces and invariants.
type Event struct {
	Kind   string // "become_leader", "vote_granted", "append", "commit", …
	Term   Term
	Index  Index
	Peer   ID
	Detail string
}
