// Package cluster says what it takes to have a system under test up and running, and to break it:
// a [Runtime] makes a [Cluster], which is made of [Host]s. There is one folder per runtime, and
// clustertest holds the suite that every one of them must pass.
package cluster

import (
	"context"
	"io"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// Spec says which cluster to bring up.
type Spec struct {
	// Run identifies the run. Everything that is created carries it as a label.
	Run string
	// System says how nodes are started.
	System sut.System
	// Image is the node image; runtimes without images take it for the path of a binary.
	Image string
	// Nodes is how many, named n1, n2, …
	Nodes int
	// Spares is how many more are made ready but not started, named on from there. They are no
	// members until a fault makes them: see [Joiner].
	Spares int
	// Disk gives each node a disk that can be broken: its host is a [DiskBreaker]. Without it, the
	// node's files are where the runtime keeps files best.
	Disk bool
	// LogDir receives one file per node, <id>.log, written as the node writes, across restarts.
	LogDir string
	// Lines is told each whole line that a node writes, as soon as it is known; nil for nobody.
	// It is called by several goroutines, must not keep the line, and must not block.
	Lines func(id sut.NodeID, line []byte)
	// Keep leaves everything up when the cluster is destroyed, marked so that only an explicit
	// cleanup of everything takes it away.
	Keep bool
}

// Runtime brings clusters up: in containers, in namespaces, in memory.
type Runtime interface {
	// Name is what --runtime takes.
	Name() string
	// Check says whether it can work on this machine, without creating anything. The error tells
	// what is missing and carries a hint.
	Check(ctx context.Context) error
	// Up starts all nodes in parallel and returns when each one's process runs; whether they
	// serve is for the caller to find out. On error nothing is left behind. The caller owns the
	// Cluster and must Down it.
	Up(ctx context.Context, spec Spec) (Cluster, error)
}

// Cluster is a system that is up. Its methods may be called concurrently.
type Cluster interface {
	// Nodes lists the nodes that were started at first, in order. The slice is the caller's.
	Nodes() []sut.Node
	// Host is the hand on one node, a spare too; nil for a node that there is not.
	Host(id sut.NodeID) Host
	// Exits reports each end of a node's process. It is closed by Down. Its buffer is large enough
	// for a run; a reader that falls behind loses no event but the oldest.
	Exits() <-chan Exit
	// Collect completes the logs and writes whatever else is worth keeping into dir.
	Collect(ctx context.Context, dir string) error
	// Down removes everything that Up made. It is idempotent and works from any state.
	Down(ctx context.Context) error
}

// DriverHost is a Cluster that can run the client driver inside its network. Clients of a Cluster
// that is none run in the harness itself.
type DriverHost interface {
	// Driver starts the client driver and returns its standard input and output. Closing the
	// stream ends the driver.
	Driver(ctx context.Context) (io.ReadWriteCloser, error)
}

// Reserve is a Cluster that can keep spare nodes ready. Up fails if a Spec asks for spares of a
// runtime that can not.
type Reserve interface {
	// Spares lists the nodes that were not started, in order. The slice is the caller's. Their
	// [Host]s are [Joiner]s, and Gone until they join.
	Spares() []sut.Node
}

// Exit is the end of a node's process.
type Exit struct {
	Node sut.NodeID
	At   time.Time
	Code int
	// Asked says that the harness itself ended it, or had broken its disk, so that it may end; any
	// other exit is a finding.
	Asked bool
	// OOM says that the kernel ended it for want of memory.
	OOM bool
}

// Host is the hand on one node: what faults are made of. Its methods may be called concurrently,
// return when the effect is in force (not merely requested), and are idempotent.
type Host interface {
	// Cut drops every packet that arrives from the nodes named, established connections included,
	// until the next Cut. It replaces the former set; an empty one heals.
	Cut(ctx context.Context, from []sut.NodeID) error
	// Dropped counts the packets that Cut has dropped since Up, by sender. It only grows.
	Dropped(ctx context.Context) (map[sut.NodeID]uint64, error)
	// Signal stops, continues or kills the node's process. After Kill it is gone when Signal
	// returns.
	Signal(ctx context.Context, sig Signal) error
	// State says how the node's process stands.
	State(ctx context.Context) (State, error)
	// Start starts the node's process again on the disk that it left. It returns when the process
	// runs. Starting one that runs is no error.
	Start(ctx context.Context) error
}

// Signal is what can be sent to a node's process.
type Signal string

// The signals.
const (
	Stop Signal = "stop" // SIGSTOP
	Cont Signal = "cont" // SIGCONT
	Kill Signal = "kill" // SIGKILL
)

// State is how a node's process stands.
type State string

// The states.
const (
	Running State = "running"
	Stopped State = "stopped" // by SIGSTOP
	Gone    State = "gone"    // no process
)
