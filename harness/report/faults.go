package report

import (
	"encoding/json"
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

// faultValue is what the nemesis notes in the history; see the nemesis's own Value.
type faultValue struct {
	Step    int      `json:"step"`
	Action  string   `json:"action"`
	Target  string   `json:"target"`
	Outcome string   `json:"outcome"`
	Reason  string   `json:"reason"`
	Nodes   []string `json:"nodes"`
}

// healAll is the function of the nemesis's operation that mends whatever is broken.
const healAll = "heal"

// faults puts the two ends of each fault together, in order of injection. An injection without an
// outcome is indeterminate, and one that was never healed lasts until the end of the history.
func faults(h *history.History) []Fault {
	var fs []Fault
	steps := map[int]int{} // by step, the position in fs
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Process != history.Nemesis {
			continue
		}
		var v faultValue
		if len(op.Value) > 0 && json.Unmarshal(op.Value, &v) != nil {
			continue
		}
		at, known := steps[v.Step]
		switch ends := op.Type != history.Invoke; {
		case op.F == healAll && ends:
			for j := range fs {
				fs[j].heal(v.Outcome, op.Time)
			}
		case op.F == healAll:
		case v.Action == "heal" && ends && known:
			fs[at].heal(v.Outcome, op.Time)
		case v.Action == "heal":
		case !ends:
			steps[v.Step] = len(fs)
			fs = append(fs, Fault{
				Name: op.F, Target: v.Target, Nodes: []string{}, Outcome: Indeterminate,
				Reason: "the history does not tell", From: op.Time, To: lastTime(h), Op: op.Index,
			})
		case known:
			f := &fs[at]
			f.Outcome, f.Reason = orElse(v.Outcome, Indeterminate), orElse(v.Reason, op.Error)
			f.Nodes, f.Op = nonNil(v.Nodes), op.Index
			if f.Outcome == Skipped {
				f.To = op.Time
			}
		}
	}
	return fs
}

// heal notes that f is gone, if it was there.
func (f *Fault) heal(outcome string, at time.Duration) {
	if f.Healed || f.Outcome == Skipped || outcome != "healed" {
		return
	}
	f.Healed, f.To = true, at
}
