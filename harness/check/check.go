// Package check holds what it means to judge a run: checkers, their verdicts, and how verdicts
// combine. It knows histories and nothing of clusters, so that any saved history can be judged
// again.
//
// Three values, never two: a run is [Valid] when every promise was put to the test and kept,
// [Invalid] when one was broken, and [Unknown] when nobody can tell. Invalid outranks Unknown
// outranks Valid.
package check

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Validity is the answer of a checker. The zero value is Unknown, and Unknown is not success.
type Validity uint8

const (
	// Unknown says that it could not be decided; a reason says why.
	Unknown Validity = iota
	// Valid says that the promise was tested and kept.
	Valid
	// Invalid says that the promise was broken, and there is evidence.
	Invalid
	// NotObservable says that what the promise is about can not be seen in this run (the system
	// offers no trace, say). It takes no part in the overall verdict, and is never shown as a pass.
	NotObservable
)

var validityNames = [...]string{"unknown", "valid", "invalid", "not observable"}

func (v Validity) String() string {
	if int(v) >= len(validityNames) {
		return fmt.Sprintf("Validity(%d)", uint8(v))
	}
	return validityNames[v]
}

// MarshalText implements [encoding.TextMarshaler].
func (v Validity) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (v *Validity) UnmarshalText(b []byte) error {
	for i, name := range validityNames {
		if name == string(b) {
			*v = Validity(i)
			return nil
		}
	}
	return fmt.Errorf("validity %q: want unknown, valid, invalid or not observable", b)
}

// Finding is one piece of evidence: a broken promise, or something a person should look at.
type Finding struct {
	// Class is a short name such as "stale read" or "node panicked".
	Class string `json:"class"`
	// Key and Node say where; empty if it is about neither.
	Key  string `json:"key,omitempty"`
	Node string `json:"node,omitempty"`
	// Text explains it in whole sentences, for someone who was not there.
	Text string `json:"text"`
	// Ops are the indices in the history of the operations that prove it.
	Ops []int64 `json:"ops,omitempty"`
	// Time is where in the run to look.
	Time time.Duration `json:"time_ns,omitempty"`
}

// Result is what one checker says of one promise: a row of the property table.
type Result struct {
	// Checker is the name of the checker, e.g. "linearizability".
	Checker string `json:"checker"`
	// Property is the promise in words, e.g. "linearizable reads and writes".
	Property string `json:"property"`
	// Validity is the verdict.
	Validity Validity `json:"verdict"`
	// Summary is one line: what was judged, and how ("4,113 operations on 20 keys; porcupine").
	Summary string `json:"summary,omitempty"`
	// Reason says why it is Unknown or NotObservable, or what was broken.
	Reason string `json:"reason,omitempty"`
	// Findings is the evidence, most telling first.
	Findings []Finding `json:"findings,omitempty"`
	// Details are figures of the checker's own, as JSON. They must not depend on the clock on the
	// wall: the same history gives the same bytes.
	Details json.RawMessage `json:"details,omitempty"`
}

// Promises is what a run set out to do. The coverage checker holds the history against it.
type Promises struct {
	// Functions of the workload; each must have succeeded at least once.
	Functions []string
	// Faults asked for, by name; each must have been installed and overlapped with operations.
	Faults []string
	// Nodes of the cluster, by name: all that ever were members. Members are those of the end;
	// nil means that all Nodes are.
	Nodes, Members []string
	// RecoveryLimit bounds the time from the last heal to the first success on each node and key.
	// Zero means that it is not bounded.
	RecoveryLimit time.Duration
	// AvailabilityLimit bounds the time without a successful operation while a majority could talk.
	AvailabilityLimit time.Duration
	// MinOps is how many operations must have succeeded.
	MinOps int
	// Restart, LeaderChange: what the plan's faults are bound to cause and must be seen.
	Restart, LeaderChange bool
}

// members lists who the members are at the end.
func (p *Promises) members() []string {
	if p.Members == nil {
		return p.Nodes
	}
	return p.Members
}

// Input is all that checkers may look at.
type Input struct {
	History  *history.History
	Promises Promises
	// Dir is the run directory (node logs under nodes/), or nil when only a history was given.
	Dir fs.FS
}

// Checker judges a history. Check may be called from several goroutines on different inputs. It
// obeys ctx and must be deterministic: the same input gives the same Result.
type Checker interface {
	// Name is short, unique and stable: it goes into files.
	Name() string
	// Check judges. Mistakes in the input are part of the Result, as Unknown with a reason.
	Check(ctx context.Context, in *Input) Result
}
