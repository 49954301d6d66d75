// Package raft is the consensus core: a pure state machine. Inputs go in (a message, a deadline, a
// proposal, word that the disk is done) and effects come out (messages to send, entries to save,
// entries to apply). It has no clock, disk, network, goroutine or randomness of its own, so the
// same inputs give the same effects: in raftnode, with sockets and a disk, and in the simulator,
// where a whole cluster lives in virtual time.
//
//	messages, deadlines,   ┌──────┐  Output{Append, Send, Commit, Reads, …}
//	proposals, disk acks ─►│ Node │─► every message names the Ticket of the
//	                       └──────┘   disk write that it must wait for
//
// The algorithm is that of Ongaro and Ousterhout, "In Search of an Understandable Consensus
// Algorithm", with what Ongaro's dissertation adds: pre-vote (§9.6), check-quorum (§6.2),
// leadership transfer (§3.10), ReadIndex (§6.4), joint consensus (§4.3) and learners (§4.2.1).
package raft

import "strconv"

// ID identifies a member. It is a number, written "n1", "n2", …; zero is nobody.
type ID uint64

func (id ID) String() string { return "n" + strconv.FormatUint(uint64(id), 10) }

// Term counts elections. Zero is before the first.
type Term uint64

// Index counts log entries, from 1. Zero means none.
type Index uint64

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
	Term     Term // the sender's; in PreVote and a granted PreVoteResp the term it would campaign in

	// Vote, PreVote: the candidate's last entry. Append: the entry before Entries. AppendResp and
	// SnapshotResp: on success Index is the last entry known to match; on Reject, a hint where to
	// look next, with the term there in LogTerm. TimeoutNow: the last entry that the target must
	// have. ReadIndexResp: the read index.
	Index   Index
	LogTerm Term

	Entries []Entry // Append
	Commit  Index   // Append, Heartbeat: the leader's commit index, as far as it goes for the receiver
	Reject  bool    // every Resp
	Refused Index   // AppendResp with Reject: the Index of the Append that was refused
	Context uint64  // Heartbeat, ReadIndex and their Resp: the read round, never used twice
	Force   bool    // Vote: a leader asked for this election (leadership transfer)

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

// Output is what the driver has to do, in this order: save (HardState, then Reset or Truncate, then
// Append, as one write with one Ticket), send what waits for nothing, load Restore, apply Apply,
// answer Reads. Messages with After > 0 leave when that ticket is persisted.
//
// The slices Send, Reads and Events are the driver's until its next call of [Node.Drain]. Entries
// are immutable for ever, wherever they are found (Append, Apply, Message.Entries), so another
// goroutine may go on reading those three slices at leisure.
type Output struct {
	Ticket    Ticket        // of the write below; 0 if there is nothing to save
	HardState *HardState    // nil if unchanged
	Reset     *SnapshotMeta // discard the whole log; the next entry is Reset.Index+1
	Truncate  Index         // discard entries from here on before appending; 0 for none
	Append    []Entry

	Send []Outgoing

	// Commit is the commit index. Apply are the entries that became committed, each exactly once
	// and in order (no-ops and configurations included); they may be committed before they are on
	// this node's disk. Restore, if set, replaces the state machine's state before Apply goes on.
	Commit  Index
	Apply   []Entry
	Restore *SnapshotMeta

	Reads []ReadDone

	// Install announces a leader's snapshot that this node needs: the driver fetches the contents
	// from InstallFrom (that one or any newer snapshot), makes them durable, and answers with
	// [Node.Installed]. It does not load them before Restore says so, nor drops log entries on
	// their account: only Reset and Truncate know which ones. A later Install replaces it.
	Install     *SnapshotMeta
	InstallFrom ID

	// LeaderChanged says that leader, role or term changed: proposals of former terms are
	// undecided until an entry is applied at their index.
	LeaderChanged bool

	Events []Event // what happened, in order, for the trace
}

// Event is one thing that happened in the protocol, for traces and invariants.
//
//	start             Index = last entry, Term = its term       (once, from New)
//	become_follower   Term, Peer = leader if known
//	become_precandidate  Term (nothing is saved or counted yet)
//	become_candidate  Term, Index = last entry; Detail "transfer" if a leader asked
//	become_leader     Term, Index = last entry before the term's no-op
//	vote_granted      Term, Peer = candidate
//	append            First..Index, Term = of the entry at Index
//	truncate          Index = first entry discarded, Term = its term
//	commit            Index, Term = of the entry there
//	config            Index, Detail = the membership that is now in force
//	snapshot          Index, Term: own snapshot taken; Detail "installed" for a leader's
//	transfer          Peer = target; Detail "abort" if it timed out
type Event struct {
	Kind   string
	Term   Term
	Index  Index
	First  Index
	Peer   ID
	Detail string
}

// The kinds of event.
const (
	EventStart        = "start"
	EventFollower     = "become_follower"
	EventPreCandidate = "become_precandidate"
	EventCandidate    = "become_candidate"
	EventLeader       = "become_leader"
	EventVote         = "vote_granted"
	EventAppend       = "append"
	EventTruncate     = "truncate"
	EventCommit       = "commit"
	EventConfig       = "config"
	EventSnapshot     = "snapshot"
	EventTransfer     = "transfer"
)

var kindNames = [...]string{
	"none", "pre-vote", "pre-vote-resp", "vote", "vote-resp", "append", "append-resp", "heartbeat",
	"heartbeat-resp", "snapshot", "snapshot-resp", "timeout-now", "read-index", "read-index-resp",
}

func (k MessageKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "message " + strconv.Itoa(int(k))
}
