// Package local brings clusters up in Linux namespaces of our own, without Docker. The nodes are
// the same programs, and the agents beside them apply the same faults.
//
//	raftcheck ── control socket ══ fabric: fresh user (if need be), pid, mount, network, ipc and
//	    │                            │      uts namespaces; it is process 1 of the run
//	    │                            ├─ pod n1: the agent, process 1 of the pod's own namespaces
//	    │                            │      └ the node, in them, without any privilege
//	    │                            ├─ pod n2 …
//	    │                            └─ client driver, on the same bridge
//	    └─ guardian: removes directories and control groups if raftcheck dies
//
// Each pod has an address on the fabric's bridge, a root of its own in which the host's programs
// can be read, and a data directory. The network exists only within the run, so any number of runs
// stand side by side with the same addresses. When raftcheck dies, the kernel kills the fabric, and
// with it everything that is in its process namespace; mounts and networks go with their last user.
//
// What a program must do to be part of it, the [Fabric], a [Pod] and the [Guard] are functions
// here: raftcheck executes itself for them.
package local

import (
	"fmt"
	"log/slog"
	"net/netip"
)

// Config says how a local cluster is made.
type Config struct {
	// Fabric is the command that becomes a [Fabric], Pod the one that becomes a [Pod] and then the
	// agent; one argument is added to each. Driver is the one that becomes the client driver.
	Fabric, Pod, Driver []string
	// DriverProgram is the file that Driver is executed from; empty for this program.
	DriverProgram string
	// Guardian is the command that becomes a [Guard], with the run as last argument. Empty means
	// that nobody guards; then what a dead raftcheck left waits for the next [ReapDead].
	Guardian []string
	// Dir holds a directory for each run; empty for one in the user's cache.
	Dir string
	// Log tells what is done; nil for nothing.
	Log *slog.Logger
}

// Error is a problem and what to do about it.
type Error struct {
	// Problem says what is wrong, Advice what to do.
	Problem, Advice string
	// Err is the cause; nil if there is none beside Problem.
	Err error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Problem
	}
	return fmt.Sprintf("%s: %v", e.Problem, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint says what to do.
func (e *Error) Hint() string { return e.Advice }

// Addresses within the /24 of a run, as on Docker: the bridge is 1, drivers are 2 to 9, nodes begin
// at 11.
const (
	firstDriver = 2
	maxDrivers  = 8
	firstNode   = 11
	maxNodes    = 200
)

// hostOf is the nth address of the network of a run.
func hostOf(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 83, 0, byte(n)}) }
