package history

import (
	"encoding/json"
	"time"
)

// History is a run's operations in order, with what the file's header says of the run.
type History struct {
	Header Header
	Ops    []Op
	// Complete says that the file ends as its writer meant it to. What is cut short is judged all
	// the same: operations that are open at the end are [Info].
	Complete bool
}

const (
	// Format is the magic word in the header of a history file.
	Format = "raftcheck-history"
	// Version is the version of the format that is written. A file of another version is refused.
	Version = 1
	// MaxLine bounds a line of a history file, in bytes. What is longer is neither written nor
	// read, so that a broken file can not fill the memory.
	MaxLine = 16 << 20
)

// Header is the first line of a history file. It says of which run the history is, and what the run
// set out to do: a saved file can be judged without any other. See FORMAT.md.
type Header struct {
	// Format and Version are filled in by the recorder.
	Format  string `json:"format"`
	Version int    `json:"version"`
	// Run is the id of the run.
	Run string `json:"run,omitempty"`
	// Raftcheck is the version of the program that wrote the file.
	Raftcheck string `json:"raftcheck,omitempty"`
	// Started is when the run's clock was zero, on the clock on the wall.
	Started time.Time `json:"started,omitzero"`
	// Workload is the name of the workload, Model that of the model that judges it.
	Workload string `json:"workload,omitempty"`
	Model    string `json:"model,omitempty"`
	// System is the name of the system under test.
	System string `json:"system,omitempty"`
	// Seed drew the operations and the faults.
	Seed uint64 `json:"seed"`
	// Nodes are the members at the start, by name; Images their images' ids, by node.
	Nodes  []string          `json:"nodes,omitempty"`
	Images map[string]string `json:"images,omitempty"`
	// Functions of the workload, Faults asked for, Restart and LeaderChange are what the run
	// promises to put to the test: see check.Promises.
	Functions    []string `json:"functions,omitempty"`
	Faults       []string `json:"faults,omitempty"`
	Restart      bool     `json:"restart,omitempty"`
	LeaderChange bool     `json:"leader_change,omitempty"`
	// RecoveryLimit bounds the time from the last heal to the first success on each node and
	// key, AvailabilityLimit the time without any success while a majority could talk. Zero means
	// that it is not bounded.
	RecoveryLimit     time.Duration `json:"recovery_limit_ns,omitempty"`
	AvailabilityLimit time.Duration `json:"availability_limit_ns,omitempty"`
	// MinOps is how many operations must have succeeded for the run to have tested anything.
	MinOps int `json:"min_ops,omitempty"`
	// Config is the whole configuration of the run, as it was saved.
	Config json.RawMessage `json:"config,omitempty"`
	// Extra holds the fields of a file that this version does not know.
	Extra map[string]json.RawMessage `json:"-"`
}
