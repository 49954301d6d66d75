// Package harness is the life of a run. It knows no concrete workload, fault, system or runtime:
// those are handed in.
//
// The story of a run: the cluster is brought up, and the harness waits until every node knows a
// leader. Clients work, at first in quiet, then while the nemesis breaks things. When the time is
// over the clients stop, everything is healed, and the harness waits for the cluster to recover.
// Every key is then read on every node, and the nodes are asked for the digests of their states.
// All that happened is on disk as it happens. Judging is somebody else's: it needs the history
// alone.
package harness

import (
	"context"
	"log/slog"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/driver"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Clients carry operations out. [driver.Local] and [driver.Remote] do.
type Clients interface {
	// Do carries op out on op.Node and says how it ended. It returns when the operation's time
	// is over, at the latest. Calls for different processes may overlap.
	Do(ctx context.Context, op history.Op) driver.Done
	// Status asks a node about itself.
	Status(ctx context.Context, id sut.NodeID) (sut.Status, error)
	// Members, SetMembers and Transfer ask about the members of the cluster, see
	// [sut.Membership]. A system that can not do that answers [errors.ErrUnsupported].
	Members(ctx context.Context, via sut.NodeID) ([]sut.NodeID, error)
	SetMembers(ctx context.Context, via sut.NodeID, want []sut.NodeID) error
	Transfer(ctx context.Context, via, to sut.NodeID) error
	Close() error
}

// Nemesis breaks things. As a [generator.Generator] it says when it wants to do what; its methods
// are called by one goroutine, but for Do, of which [Test.FaultsAtOnce] calls run beside it.
type Nemesis interface {
	generator.Generator
	// Do breaks or mends something and returns op with what came of it in Value.
	Do(ctx context.Context, op history.Op) history.Op
	// Active lists what is broken now, for people.
	Active() []string
	// Members lists the nodes that clients are to talk to from now on, after it has changed them;
	// nil as long as they are those of the beginning.
	Members() []sut.NodeID
	// Heal mends everything, from any state, and says what it did. It is idempotent.
	Heal(ctx context.Context) history.Op
}

// Recorder takes the operations of a run down, in order. One goroutine calls it.
type Recorder interface {
	Append(op history.Op) error
	Flush() error
}

// Test is all that a run needs. The caller keeps what it hands in, except where it says otherwise.
type Test struct {
	Runtime cluster.Runtime
	Spec    cluster.Spec
	// Clients makes the clients of a cluster that is up; now is the clock of the run.
	Clients func(ctx context.Context, c cluster.Cluster, now func() time.Duration) (Clients, error)
	// Nemesis makes the nemesis; nil for a run without faults.
	Nemesis func(at Site) (Nemesis, error)
	// FaultsAtOnce is how many things the nemesis does at once; 0 means 1.
	FaultsAtOnce int
	// Begin opens the recorder once the nodes are known. It stays the caller's, who closes it
	// after Run.
	Begin func(nodes []sut.Node) (Recorder, error)

	// Operations of the clients; never-ending, the time limit ends them.
	Operations generator.Generator
	// Final says what is read on every node when all is healed.
	Final func() []history.Op

	// TimeLimit is how long clients work. Concurrency is how many at once.
	TimeLimit   time.Duration
	Concurrency int
	// Roaming says which clients change nodes.
	Roaming Roaming
	// BootLimit bounds the time until every node knows a leader. RecoverLimit bounds the time
	// from the last heal until that is so again, and the time for the final reads.
	BootLimit, RecoverLimit time.Duration

	// Progress is told several times a second how it goes; nil for nobody. It must not block.
	Progress func(Progress)
	Log      *slog.Logger
}

// Site is what a nemesis gets to work on.
type Site struct {
	Cluster cluster.Cluster
	Clients Clients
	// Note writes an observation into the history, see FORMAT.md there.
	Note func(f string, node sut.NodeID, value any)
	// Start is when clients begin, on the clock of the run.
	Start time.Duration
}

// Progress is how a run stands.
type Progress struct {
	Phase          string
	At             time.Duration // on the clock of the run
	Ok, Fail, Info int64         // operations ended so far
	Broken         []string      // faults that are active
	Nodes          []sut.Node
	Leader         sut.NodeID
	Term           uint64
}

// Outcome is what Run leaves behind besides the history.
type Outcome struct {
	// Interrupted says that ctx ended the run before its time.
	Interrupted bool
	// TornDown receives one value when nothing of the cluster is left, or cannot be removed.
	TornDown <-chan error
}

// Roaming says which clients go on to another node, the leader if they are told, when theirs does
// not do what they want. The others stay with their node whatever happens.
type Roaming string

// Who roams. The zero value means half.
const (
	RoamHalf Roaming = "half"
	RoamNone Roaming = "pinned"
	RoamAll  Roaming = "roaming"
)

// roams says whether the i-th of the clients of a cluster of n nodes roams.
func (r Roaming) roams(i, n int) bool {
	switch r {
	case RoamNone:
		return false
	case RoamAll:
		return true
	}
	return (i/n)%2 == 1
}
