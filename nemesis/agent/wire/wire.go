// Package wire is what the harness and the fault agent beside a node say to each other: JSON lines,
// one [Request] or one [Reply] each, over any pair of byte streams.
//
//	harness ── {"id":7,"op":"cut","args":{"from":["10.64.3.12"]}} ──▶ agent
//	harness ◀── {"id":7,"result":{"installed":["10.64.3.12"],…},"at":…} ── agent
//
// Requests may overlap; replies come in any order and are matched by id. An agent answers every
// request once its effect is in force and was read back, never when it was merely asked for: what
// it read is the evidence in the result. An op that it does not know is an error by name, so that a
// newer harness finds out what an older agent can not do.
package wire

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
)

// Version is that of the protocol. It changes when an old harness would misread a new agent;
// new ops and new fields do not change it.
const Version = 1

// The ops that every agent knows.
const (
	OpPing    = "ping"    // -> [Hello]
	OpProbe   = "probe"   // -> [ProbeResult]
	OpState   = "state"   // -> [Node]
	OpSignal  = "signal"  // [SignalArgs] -> [Node]
	OpCut     = "cut"     // [CutArgs] -> [CutResult]
	OpDropped = "dropped" // -> [DroppedResult]
	OpShape   = "shape"   // [ShapeArgs] -> [ShapeResult]
	OpShaped  = "shaped"  // -> [ShapeResult]
	OpReset   = "reset"   // [ResetArgs] -> [ResetResult]
	OpSkew    = "skew"    // [SkewArgs] -> [ClocksResult]
	OpClocks  = "clocks"  // -> [ClocksResult]

	OpDiskOpen    = "disk-open"    // [DiskArgs]
	OpDiskMount   = "disk-mount"   // [DiskArgs]
	OpDiskSet     = "disk-set"     // [DiskIlls] -> [DiskResult]
	OpDisk        = "disk"         // -> [DiskResult]
	OpDiskCrash   = "disk-crash"   // [CrashArgs] -> [CrashResult]
	OpDiskDamage  = "disk-damage"  // [DamageArgs] -> [DamageResult]
	OpDiskRestore = "disk-restore" // -> [DiskResult]
)

// Request asks the agent for one thing.
type Request struct {
	// ID is chosen by the harness and comes back in the reply; it is unique on one stream.
	ID uint64 `json:"id"`
	// Op is one of the constants Op….
	Op string `json:"op"`
	// Args belong to the op.
	Args json.RawMessage `json:"args,omitempty"`
}

// Reply answers the request of the same ID.
type Reply struct {
	ID uint64 `json:"id"`
	// Result belongs to the op. It is the evidence of what is now in force.
	Result json.RawMessage `json:"result,omitempty"`
	// Error says why the op is not in force; nil if it is.
	Error *Error `json:"error,omitempty"`
	// At is when the effect was in force, on the agent's wall clock. Agents of one engine share it.
	At time.Time `json:"at"`
}

// Error is an op that did not take effect, or of which the agent can not tell.
type Error struct {
	// Kind sorts the errors for whoever decides by them.
	Kind ErrorKind `json:"kind"`
	// Text says what was tried and what happened.
	Text string `json:"text"`
}

func (e *Error) Error() string { return e.Text }

// ErrorKind says what an error means for the fault that asked.
type ErrorKind string

const (
	// Unknown is an op that this agent does not have.
	Unknown ErrorKind = "unknown-op"
	// Unable is an op that this kernel, or the rights of the agent, do not allow. Nothing changed.
	Unable ErrorKind = "unable"
	// Refused is an op whose arguments make no sense, or would do harm. Nothing changed.
	Refused ErrorKind = "refused"
	// Unverified is an op that was carried out, and of which the proof did not come.
	Unverified ErrorKind = "unverified"
)

// Errorf makes an [Error] of a kind.
func Errorf(kind ErrorKind, format string, args ...any) *Error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Hello is what an agent says of itself.
type Hello struct {
	Version int      `json:"version"`
	Ops     []string `json:"ops"`
	PID     int      `json:"pid"`
	Kernel  string   `json:"kernel"`
}

// Ability is one thing that faults are made of, and whether it works where the agent is.
type Ability struct {
	// Name says what: "cut links", "signal processes" …
	Name string `json:"name"`
	// Needs says of what it is made: a kernel feature, a capability, a device.
	Needs string `json:"needs"`
	// Missing says why it does not work; empty if it does.
	Missing string `json:"missing,omitempty"`
}

// ProbeResult lists the abilities. They were tried, and what that took was removed again.
type ProbeResult struct {
	Abilities []Ability `json:"abilities"`
}

// Process is one process of the node, as the kernel shows it.
type Process struct {
	PID     int    `json:"pid"`
	Name    string `json:"name"`
	State   string `json:"state"` // the letter in /proc: R, S, D, T, Z …
	Threads int    `json:"threads"`
	// Started is when, in clock ticks since the machine booted; with PID it names a process once.
	Started uint64 `json:"started"`
}

// Node says how the node stands: all its processes, the agent's own left out.
type Node struct {
	// State is "running", "stopped" (every thread of every process is) or "gone" (there is none).
	State string `json:"state"`
	// Processes are those that there are; after a kill, those that were killed.
	Processes []Process `json:"processes,omitempty"`
}

// The values of Node.State.
const (
	Running = "running"
	Stopped = "stopped"
	Gone    = "gone"
)

// SignalArgs names a signal to all processes of the node.
type SignalArgs struct {
	// Signal is "stop", "cont" or "kill".
	Signal string `json:"signal"`
}

// CutArgs replaces both sets of addresses whose packets are dropped on arrival.
type CutArgs struct {
	// From loses every packet.
	From []netip.Addr `json:"from"`
	// Data loses what carries data or opens a connection. Bare acknowledgements pass, so that
	// what is sent the other way goes on to be acknowledged and does not dry up with it.
	Data []netip.Addr `json:"data,omitempty"`
}

// CutResult is both sets as the kernel holds them, and what was dropped up to now.
type CutResult struct {
	Installed []netip.Addr          `json:"installed"`
	Data      []netip.Addr          `json:"data,omitempty"`
	Dropped   map[netip.Addr]uint64 `json:"dropped,omitempty"`
}

// DroppedResult counts packets by the address that they came from, since the agent began. The
// counts only grow.
type DroppedResult struct {
	Dropped map[netip.Addr]uint64 `json:"dropped"`
}

// Link says what happens to the packets that leave for one address. The zero Link lets them pass as
// they are. Fractions are between 0 and 1.
type Link struct {
	// Delay is added to each packet, and a share of Jitter, evenly drawn from -Jitter to +Jitter.
	// The order of packets stays.
	Delay  time.Duration `json:"delay_ns,omitempty"`
	Jitter time.Duration `json:"jitter_ns,omitempty"`
	// Rate is in bits per second; 0 for no limit.
	Rate uint64 `json:"rate_bits,omitempty"`
	// Loss, Duplicate, Reorder and Corrupt are the fractions of packets that are lost, sent twice,
	// overtaken by those after them, or have a bit flipped behind the IP header.
	Loss      float64 `json:"loss,omitempty"`
	Duplicate float64 `json:"duplicate,omitempty"`
	Reorder   float64 `json:"reorder,omitempty"`
	Corrupt   float64 `json:"corrupt,omitempty"`
	// Hold keeps every packet back. When the link is changed they all leave, late.
	Hold bool `json:"hold,omitempty"`
}

// ShapeArgs replaces all shaped links of the node; an address that is not in it is not touched.
type ShapeArgs struct {
	To map[netip.Addr]Link `json:"to"`
	// Seed draws the fates of packets.
	Seed uint64 `json:"seed,omitempty"`
}

// LinkCount counts packets that left over a shaped link. It only grows.
type LinkCount struct {
	Packets    uint64 `json:"packets"`
	Bytes      uint64 `json:"bytes"`
	Lost       uint64 `json:"lost,omitempty"`
	Duplicated uint64 `json:"duplicated,omitempty"`
	Reordered  uint64 `json:"reordered,omitempty"`
	Corrupted  uint64 `json:"corrupted,omitempty"`
	// Overflown were lost because too many waited.
	Overflown uint64 `json:"overflown,omitempty"`
	// Waiting is how many wait now; it alone also shrinks.
	Waiting uint64 `json:"waiting,omitempty"`
}

// ShapeResult tells which links are shaped, as the kernel's routes say, and what went over each one
// that ever was.
type ShapeResult struct {
	Installed map[netip.Addr]Link      `json:"installed"`
	Counts    map[netip.Addr]LinkCount `json:"counts"`
}

// ResetArgs names the peers with which all connections are broken.
type ResetArgs struct {
	Peers []netip.Addr `json:"peers"`
}

// ResetResult counts the connections that were broken, by peer. They were seen to be gone.
type ResetResult struct {
	Broken map[netip.Addr]int `json:"broken"`
}

// Skew says how a clock of the node's processes goes.
type Skew struct {
	// Offset is by how much the clock is ahead at once. A wall clock is set to true time plus
	// Offset; a monotonic clock leaps by it from where it stands, and can only leap ahead.
	Offset time.Duration `json:"offset_ns,omitempty"`
	// Rate is how fast it then goes; 0 means 1, as fast as true time.
	Rate float64 `json:"rate,omitempty"`
}

// SkewArgs replaces the skews of the node's clocks. A clock that is not given goes right: the wall
// clock shows true time, the monotonic clock goes on at its true rate from where it stands, since
// it must never go back.
type SkewArgs struct {
	Realtime  *Skew `json:"realtime,omitempty"`
	Monotonic *Skew `json:"monotonic,omitempty"`
}

// Clocks is how the clocks of one process go.
type Clocks struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
	// Program is "go" for a static Go program, "other" otherwise. Others wait in the kernel, on
	// true clocks: with a skewed wall clock they may wake too early or too late.
	Program string `json:"program"`
	// Patched says that the process reads its clocks through us.
	Patched bool `json:"patched"`
	// Realtime and Monotonic are by how much its clocks are ahead of true ones: as it reads them
	// itself if Read, else as they were set.
	Realtime  time.Duration `json:"realtime_ns"`
	Monotonic time.Duration `json:"monotonic_ns"`
	Read      bool          `json:"read"`
	// Held is how long its threads were held for it.
	Held time.Duration `json:"held_ns"`
}

// ClocksResult is one entry for each process of the node.
type ClocksResult struct {
	Processes []Clocks `json:"processes"`
}
