package cluster

import (
	"context"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// What follows are abilities that a [Host] may have. They are found by type assertion; a fault that
// needs one that is not there is skipped. What the kernel or the rights of the runtime do not allow
// is an error too: see [Unable].

// Unable says that an ability is not there after all: the kernel, the engine or the rights do not
// allow it. Nothing was changed.
type Unable struct{ Err error }

func (u Unable) Error() string { return u.Err.Error() }

// Unwrap gives the cause.
func (u Unable) Unwrap() error { return u.Err }

// DataCutter cuts links for data only.
type DataCutter interface {
	// CutData drops what arrives from the nodes named and carries data or opens a connection;
	// bare acknowledgements pass. So a link is cut one way and stays whole the other way, which
	// Cut can not do to TCP. It replaces the former set and is independent of that of Cut; what
	// it drops is counted by Dropped.
	CutData(ctx context.Context, from []sut.NodeID) error
}

// ClientCutter cuts clients off.
type ClientCutter interface {
	// CutClients drops what arrives from clients, or no longer does. It is independent of Cut.
	CutClients(ctx context.Context, cut bool) error
}

// Resetter breaks connections.
type Resetter interface {
	// Reset breaks all TCP connections with the nodes named, on both sides, and says how many
	// there were. New ones can be made at once: there is nothing to heal.
	Reset(ctx context.Context, peers []sut.NodeID) (int, error)
}

// Freezer stops a node's processes without a signal.
type Freezer interface {
	// Freeze stops all processes at once, unseen by them; State is then Stopped. Unlike with
	// Signal, nothing in the node can undo it.
	Freeze(ctx context.Context) error
	// Thaw lets them run again.
	Thaw(ctx context.Context) error
}

// Link is how the packets that leave a node for one other fare. The zero Link leaves them alone.
// Fractions are between 0 and 1.
type Link struct {
	// Delay comes on top of what the network takes, and a share of Jitter, drawn evenly from
	// -Jitter to +Jitter. The order of packets stays.
	Delay, Jitter time.Duration
	// Rate is in bits per second; 0 for no limit.
	Rate uint64
	// Loss, Duplicate, Reorder and Corrupt are the fractions of packets that are lost, sent
	// twice, overtaken by later ones, or damaged (which checksums turn into loss).
	Loss, Duplicate, Reorder, Corrupt float64
	// Hold keeps every packet back until the link is changed. Then all arrive, late.
	Hold bool
}

// LinkCount says what went over a link while it was shaped. It only grows, but for Waiting.
type LinkCount struct {
	Packets, Bytes                         uint64
	Lost, Duplicated, Reordered, Corrupted uint64
	// Overflown were lost because too many waited; Waiting is how many wait now.
	Overflown, Waiting uint64
}

// Shaper makes the links away from a node slow, lossy or jammed. Connections that are there go on.
type Shaper interface {
	// Shape replaces all shaped links of the node; nodes that are not in to are not touched, and
	// an empty map heals. The seed draws the fates of packets.
	Shape(ctx context.Context, to map[sut.NodeID]Link, seed uint64) error
	// Shaped counts what went over each link that ever was shaped.
	Shaped(ctx context.Context) (map[sut.NodeID]LinkCount, error)
}

// Skew says how a clock goes.
type Skew struct {
	// Offset is by how much it is ahead, at once. A wall clock is set to true time and Offset; a
	// monotonic one leaps ahead by it, and never goes back.
	Offset time.Duration
	// Rate is how fast it goes from then on; 0 means 1, which is right.
	Rate float64
}

// ClockSkewer sets the clocks that a node's processes read. Nothing else sees other clocks, and a
// process that is started later has right ones.
type ClockSkewer interface {
	// SkewClocks replaces the skews of both clocks. One that is nil is right: the wall clock shows
	// true time, the monotonic clock goes at true speed from where it stands. A skew that this
	// program could not stand is refused by name; only static Go programs stand a monotonic one.
	SkewClocks(ctx context.Context, wall, monotonic *Skew) error
	// ReadClocks has the processes read their own clocks, and says by how much the first one's
	// are ahead of true time.
	ReadClocks(ctx context.Context) (wall, monotonic time.Duration, err error)
}

// Limits are what a node may use of the machine; what is zero is not limited.
type Limits struct {
	// CPU is in processors: 0.1 is a tenth of one.
	CPU float64
	// Memory is in bytes. A node that needs more is ended by the kernel, see [Exit.OOM].
	Memory int64
}

// Limiter bounds what a node's processes use of the machine, across restarts.
type Limiter interface {
	// Limit replaces the limits; the zero Limits lift them.
	Limit(ctx context.Context, l Limits) error
}

// Joiner starts a node anew, as another member than it was, or for the first time.
type Joiner interface {
	// Join kills the node's process if there is one, makes its disk empty, and starts it as cmd
	// says. It returns when the process runs. From then on Start starts it that way too.
	Join(ctx context.Context, cmd sut.Command) error
}
