// Package history holds what happened in a run: operations, who did them, and when.
//
// A history is a list of [Op]s in the order in which the harness saw them. Each client operation
// stands in it twice: once as [Invoke], and once as it ended. The same list carries the faults that
// the nemesis injected and what the harness observed of the nodes, so that one file tells the whole
// story of a run. The file format is in FORMAT.md.
package history

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Process is a logical single-threaded client. It does one operation at a time; when it can not
// know how an operation ended, it is retired and a new process takes its place. A process is not a
// node.
type Process int64

const (
	// Nemesis is the process that breaks things. In a file it is written "nemesis".
	Nemesis Process = -1
	// Observer is the process under which the harness notes what it saw without asking a client:
	// node status, exits. In a file it is written "observer".
	Observer Process = -2
)

// IsClient says whether p is a client's process.
func (p Process) IsClient() bool { return p >= 0 }

func (p Process) String() string {
	switch p {
	case Nemesis:
		return "nemesis"
	case Observer:
		return "observer"
	}
	return strconv.FormatInt(int64(p), 10)
}

// MarshalJSON writes a number for a client, a word for the others.
func (p Process) MarshalJSON() ([]byte, error) {
	if p.IsClient() {
		return strconv.AppendInt(nil, int64(p), 10), nil
	}
	return []byte(`"` + p.String() + `"`), nil
}

// UnmarshalJSON reads what [Process.MarshalJSON] writes.
func (p *Process) UnmarshalJSON(b []byte) error {
	switch s := string(b); s {
	case `"nemesis"`:
		*p = Nemesis
	case `"observer"`:
		*p = Observer
	default:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || n < 0 {
			return fmt.Errorf("process %s: want a number from 0, \"nemesis\" or \"observer\"", s)
		}
		*p = Process(n)
	}
	return nil
}

// Type says what is known of an operation. The zero value is not a type.
type Type uint8

const (
	// Invoke says that the operation begins.
	Invoke Type = iota + 1
	// Ok says that it happened; Value holds the answer.
	Ok
	// Fail says that it certainly did not happen, and never will.
	Fail
	// Info says that nobody can know. It may have happened, may happen later, or never. Faults
	// and observations also end in Info.
	Info
)

var typeNames = [...]string{Invoke: "invoke", Ok: "ok", Fail: "fail", Info: "info"}

func (t Type) String() string {
	if t < Invoke || t > Info {
		return fmt.Sprintf("Type(%d)", uint8(t))
	}
	return typeNames[t]
}

// ParseType is the inverse of [Type.String].
func ParseType(s string) (Type, error) {
	for t := Invoke; t <= Info; t++ {
		if typeNames[t] == s {
			return t, nil
		}
	}
	return 0, fmt.Errorf("op type %q: want invoke, ok, fail or info", s)
}

// MarshalText implements [encoding.TextMarshaler].
func (t Type) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (t *Type) UnmarshalText(b []byte) (err error) {
	*t, err = ParseType(string(b))
	return err
}

// Op is one line of a history: an operation that begins or ends.
type Op struct {
	// Index is the position in the history, from 0. The recorder assigns it.
	Index int64 `json:"index"`
	// Process did the operation.
	Process Process `json:"process"`
	// Type says whether it begins, or how it ended.
	Type Type `json:"type"`
	// F is the function: "read", "write", "cas"; for the nemesis, the name of a fault.
	F string `json:"f"`
	// Key is what the operation is about; empty where a workload has only one object.
	Key string `json:"key,omitempty"`
	// Value is the argument of an invocation and the answer of an Ok. It belongs to the workload,
	// which alone decodes it. A null is a value of its own: nothing was there.
	Value json.RawMessage `json:"value,omitempty"`
	// Time is when it happened, on the monotonic clock of the run (0 is the start of the run).
	Time time.Duration `json:"time_ns"`
	// Start, on a completion, is when the client really began, on the same clock. It is never before
	// the Time of the invocation, and narrows the interval in which the operation took effect.
	// Zero means that it is not known.
	Start time.Duration `json:"start_ns,omitempty"`
	// Node is the node that was asked, or broken, or observed.
	Node string `json:"node,omitempty"`
	// Error says why it ended in Fail or Info.
	Error string `json:"error,omitempty"`
	// Extra holds the fields of a file that this version does not know, to be written back as read.
	Extra map[string]json.RawMessage `json:"-"`
}
