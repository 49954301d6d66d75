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

// CutArgs replaces the set of addresses whose packets are dropped on arrival.
type CutArgs struct {
	From []netip.Addr `json:"from"`
}

// CutResult is the set as the kernel holds it, and what was dropped up to now.
type CutResult struct {
	Installed []netip.Addr          `json:"installed"`
	Dropped   map[netip.Addr]uint64 `json:"dropped,omitempty"`
}

// DroppedResult counts packets by the address that they came from, since the agent began. The
// counts only grow.
type DroppedResult struct {
	Dropped map[netip.Addr]uint64 `json:"dropped"`
}
