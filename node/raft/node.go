package raft

// Node is one member's consensus state. It is not safe for concurrent use: one goroutine owns it.
type Node struct{}

// New restores a node from disk. It returns an error if what was restored contradicts itself.
func New(now Time, opts Options, from Restored) (*Node, error) { panic("being written") }

// Step takes in a message from another node.
func (n *Node) Step(now Time, m Message) { panic("being written") }

// Tick lets time pass. Call it when now >= [Node.Deadline]; more often does no harm.
func (n *Node) Tick(now Time) { panic("being written") }

// Deadline is when Tick must be called next. It changes with every input.
func (n *Node) Deadline() Time { panic("being written") }

// Propose appends commands to the leader's log: the first at Index first, all with term. They are
// decided when an entry is applied at their index: by this term, done; by another, they never
// happened. Errors: ErrNotLeader, ErrTransferring, ErrOverloaded; then nothing was appended.
func (n *Node) Propose(now Time, cmds [][]byte) (first Index, term Term, err error) {
	panic("being written")
}

// Read asks for a linearizable read. Output.Reads answers with the id and the index that must be
// applied before the read is served. Works on followers too. Error: ErrNotLeader (no leader known).
func (n *Node) Read(now Time, id uint64) error { panic("being written") }

// ChangeTo starts a change of membership to target's Voters and Learners (Old must be empty).
// The node drives it: newcomers learn, catch up, C_old,new, C_new. It is done when an EntryConfig
// with the target is applied. Errors: ErrNotLeader, ErrTransferring, ErrConfigBusy, ErrBadConfig.
func (n *Node) ChangeTo(now Time, target Config) error { panic("being written") }

// Transfer hands leadership to another voter, or gives up after an election timeout. Proposals are
// refused meanwhile. Errors: ErrNotLeader, ErrTransferring, ErrNotVoter.
func (n *Node) Transfer(now Time, to ID) error { panic("being written") }

// Persisted says that every write up to t is on disk.
func (n *Node) Persisted(t Ticket) { panic("being written") }

// Applied says that the state machine has applied everything up to i.
func (n *Node) Applied(i Index) { panic("being written") }

// MetaAt is what a snapshot of the state after i must carry; false if i is no longer, or not yet,
// a committed entry of the log in memory.
func (n *Node) MetaAt(i Index) (SnapshotMeta, bool) { panic("being written") }

// Snapshotted says that a snapshot of our own state machine is durable; the log in memory is then
// compacted, but for Options.KeepTail entries. The driver may compact its log likewise.
func (n *Node) Snapshotted(meta SnapshotMeta) { panic("being written") }

// Installed answers Output.Install: the snapshot's contents are durable here (ok), or could not
// be fetched. Output.Restore follows if they are still wanted.
func (n *Node) Installed(meta SnapshotMeta, ok bool) { panic("being written") }

// Drain moves what there is to do into out, and reports whether there is anything. Call it after
// a batch of inputs: appends and reads that came in together travel together.
func (n *Node) Drain(out *Output) bool { panic("being written") }

// Leader is the leader of the current term as far as this node knows, or zero.
func (n *Node) Leader() ID { panic("being written") }

// Term is the current term.
func (n *Node) Term() Term { panic("being written") }

// Role is what the node is at the moment.
func (n *Node) Role() Role { panic("being written") }

// Status is a picture of the node, for people and metrics.
func (n *Node) Status() Status { panic("being written") }

// Status is what [Node.Status] tells.
type Status struct {
	ID       ID
	Role     Role
	Term     Term
	Vote     ID
	Leader   ID
	Commit   Index
	Applied  Index
	Durable  Index // the log is on disk up to here
	First    Index // the oldest entry in memory
	Last     Index
	LastTerm Term
	LogBytes int // payload of the log in memory
	Config   Config
	ConfigAt Index // where Config stands in the log; committed if <= Commit
	Snapshot SnapshotMeta
	Transfer ID           // the target of a leadership transfer under way
	Peers    []PeerStatus // the leader's view of the others, sorted by ID
}

// PeerStatus is what a leader knows of another member.
type PeerStatus struct {
	ID       ID
	Match    Index
	Next     Index
	State    string // "probe", "replicate", "snapshot"
	Inflight int
	LastSeen Time
}
