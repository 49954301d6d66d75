package history

import (
	"encoding/json"
	"slices"
	"time"
)

// Fault is one fault of a run: what broke, where, from when to when.
type Fault struct {
	// Name is the fault's name, Step its number in the plan, Nodes who was hit.
	Name  string
	Step  int
	Nodes []string
	// Installed says that it was seen to be in effect. If it is false, it may have been.
	Installed bool
	// Asked is when its injection began. From is when it was seen to be in effect, To when it was seen
	// to be gone; [Never] if it was not.
	Asked, From, To time.Duration
	// Index is the index of the operation that ends the injection.
	Index int64
}

// faultValue is the value of the nemesis's operations, see FORMAT.md.
type faultValue struct {
	Step    int      `json:"step"`
	Action  string   `json:"action"`
	Outcome string   `json:"outcome"`
	Nodes   []string `json:"nodes"`
}

// Faults lists the faults that were in force, in order of injection. Those that were skipped are
// not among them. What the nemesis wrote and nobody understands is left out.
func (h *History) Faults() []Fault {
	var fs []Fault
	active := map[int]int{} // by step, position in fs
	asked := map[int]time.Duration{}
	for i := range h.Ops {
		op := &h.Ops[i]
		var v faultValue
		if op.Process != Nemesis || json.Unmarshal(op.Value, &v) != nil {
			continue
		}
		if op.Type == Invoke {
			if v.Action == "inject" {
				asked[v.Step] = op.Time
			}
			continue
		}
		switch {
		case op.F == "heal" && v.Outcome == "healed":
			for _, at := range active {
				fs[at].To = op.Time
			}
			clear(active)
		case op.F == "heal":
		case v.Action == "inject" && v.Outcome != "skipped":
			active[v.Step] = len(fs)
			began, ok := asked[v.Step]
			if !ok {
				began = op.Time
			}
			fs = append(fs, Fault{
				Name: op.F, Step: v.Step, Nodes: slices.Clone(v.Nodes),
				Installed: v.Outcome == "installed", Asked: began, From: op.Time, To: Never,
				Index: op.Index,
			})
		case v.Action == "heal" && v.Outcome == "healed":
			if at, ok := active[v.Step]; ok {
				fs[at].To = op.Time
				delete(active, v.Step)
			}
		}
	}
	return fs
}

// Members lists the members at the end, and all nodes that ever were one, in order of appearance.
func (h *History) Members() (last, ever []string) {
	last, ever = slices.Clone(h.Header.Nodes), slices.Clone(h.Header.Nodes)
	for i := range h.Ops {
		op := &h.Ops[i]
		var v struct {
			Members []string `json:"members"`
		}
		if op.Process != Nemesis || op.Type == Invoke || json.Unmarshal(op.Value, &v) != nil ||
			v.Members == nil {
			continue
		}
		last = v.Members
		for _, m := range last {
			if !slices.Contains(ever, m) {
				ever = append(ever, m)
			}
		}
	}
	return last, ever
}
