package report

import (
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Outcomes of a fault.
const (
	Installed     = "installed"
	Skipped       = "skipped"
	Indeterminate = "indeterminate"
)

// Fault is one fault of the run: what broke, where, and from when to when.
type Fault struct {
	// Name is the fault's name; Target the role that was asked for, Nodes who that was.
	Name   string   `json:"fault"`
	Target string   `json:"target,omitempty"`
	Nodes  []string `json:"nodes"`
	// Outcome is installed, skipped or indeterminate, and Reason says why it is not the first.
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
	// From is when the injection was called for, To when the fault was seen to be healed; if
	// Healed is false, To is the end of the history.
	From   time.Duration `json:"from_ns"`
	To     time.Duration `json:"to_ns"`
	Healed bool          `json:"healed"`
	// Op is the index in the history of the line that reports the outcome.
	Op int64 `json:"op"`
}

// FaultCount counts what became of the faults of one name.
type FaultCount struct {
	Name          string `json:"fault"`
	Installed     int    `json:"installed"`
	Skipped       int    `json:"skipped"`
	Indeterminate int    `json:"indeterminate"`
	// Total is how long faults of this name were in force, overlaps counted twice.
	Total time.Duration `json:"total_ns"`
}

func countFaults(fs []Fault) []FaultCount {
	counts := []FaultCount{}
	for _, f := range fs {
		i := slices.IndexFunc(counts, func(c FaultCount) bool { return c.Name == f.Name })
		if i < 0 {
			i = len(counts)
			counts = append(counts, FaultCount{Name: f.Name})
		}
		switch c := &counts[i]; f.Outcome {
		case Installed:
			c.Installed++
			c.Total += f.To - f.From
		case Skipped:
			c.Skipped++
		default:
			c.Indeterminate++
			c.Total += f.To - f.From
		}
	}
	slices.SortFunc(counts, func(a, b FaultCount) int { return strings.Compare(a.Name, b.Name) })
	return counts
}

func faults(h *history.History) []Fault {
	var fs []Fault
	return fs
}
