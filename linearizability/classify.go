package linearizability

import (
	"math"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// classify names the kind of violation that a core shows, and the operation that shows it: its
// position in core, or -1. It looks at all operations on the key to tell what became of a value:
// a name is for people, and proves nothing.
//
//   - refused cas: a cas was refused although what it expected was there;
//   - phantom value: nobody had begun to write what was found;
//   - two lineages: two cas went on from one value, as two leaders would let them;
//   - duplicate apply: a value was seen, then another, then everybody saw the first again;
//   - lost write: an acknowledged write was never seen, by anybody, and what was there before was;
//   - stale read: an acknowledged write was seen by others, but not by this reader;
//   - time travel: a reader saw something older than what another had been shown before.
func classify(all, core []register.Op) (class string, culprit int) {
	for i := range core {
		if core[i].Kind == register.Impossible || core[i].Kind == register.Miss {
			return "refused cas", i
		}
	}
	if i := phantom(all, core); i >= 0 {
		return "phantom value", i
	}
	if i := secondCAS(core); i >= 0 {
		return "two lineages", i
	}
	culprit = lastObserver(core)
	if culprit < 0 {
		return "not linearizable", -1
	}
	late := &core[culprit]
	seen, acked := outdates(all, core, late)
	switch {
	case cameBack(all, late):
		return "duplicate apply", culprit
	case acked && observedAny(all, core, late):
		return "stale read", culprit
	case acked:
		return "lost write", culprit
	case seen:
		return "time travel", culprit
	}
	return "not linearizable", -1
}

// phantom finds an operation that found a value before anybody had begun to write it.
func phantom(all, core []register.Op) int {
	for i := range core {
		v, observes := core[i].Observes()
		if !observes || core[i].Maybe || v == register.Absent {
			continue
		}
		written := false
		for j := range all {
			o := &all[j]
			written = written || o.Mutates() && o.B == v && o.Call <= core[i].Ret
		}
		if !written {
			return i
		}
	}
	return -1
}

// secondCAS finds the later of two cas from one value.
func secondCAS(core []register.Op) int {
	from := map[register.Value]bool{}
	for i := range core {
		if core[i].Kind != register.CAS || core[i].Maybe {
			continue
		}
		if from[core[i].A] {
			return i
		}
		from[core[i].A] = true
	}
	return -1
}

// lastObserver finds the observer that was called last.
func lastObserver(core []register.Op) int {
	last := -1
	for i := range core {
		if _, observes := core[i].Observes(); !observes || core[i].Maybe {
			continue
		}
		if last < 0 || core[i].Call > core[last].Call {
			last = i
		}
	}
	return last
}

// outdates says whether another value that the core tells of had been seen before late was called,
// and whether its write had been acknowledged. A core may hold such a write as indeterminate only
// because it proves enough that way.
func outdates(all, core []register.Op, late *register.Op) (seen, acked bool) {
	newer := newerValues(core, late)
	for i := range core {
		o := &core[i]
		v, observes := o.Observes()
		seen = seen || observes && !o.Maybe && o.Ret < late.Call && newer[v]
	}
	first := register.Never // when the first write of what late found was called
	for i := range all {
		if o := &all[i]; o.Mutates() && o.B == late.A {
			first = min(first, o.Call)
		}
	}
	if late.A == register.Absent {
		first = math.MinInt64
	}
	for i := range all {
		o := &all[i]
		acked = acked || o.Mutates() && !o.Maybe && newer[o.B] && o.Ret >= first &&
			o.Ret < late.Call
	}
	return seen, acked
}

// newerValues are the values other than what late found that the core shows to have been there
// before late was called: written and acknowledged, or seen.
func newerValues(core []register.Op, late *register.Op) map[register.Value]bool {
	newer := map[register.Value]bool{}
	for i := range core {
		o := &core[i]
		if o.Maybe || o.Ret >= late.Call {
			continue
		}
		if v, observes := o.Observes(); observes && v != late.A {
			newer[v] = true
		}
		if o.Mutates() && o.B != late.A {
			newer[o.B] = true
		}
	}
	return newer
}

// observedAny says whether anybody ever saw one of the values whose acknowledged writes outdate
// what late found.
func observedAny(all, core []register.Op, late *register.Op) bool {
	outdating := newerValues(core, late)
	for i := range all {
		if v, observes := all[i].Observes(); observes && !all[i].Maybe && outdating[v] {
			return true
		}
	}
	return false
}

// cameBack says whether the value that late found had been seen before another one was, and whether
// the other one was never seen again.
func cameBack(all []register.Op, late *register.Op) bool {
	var other *register.Op // the last that saw another value before late
	for i := range all {
		o := &all[i]
		v, observes := o.Observes()
		if observes && !o.Maybe && v != late.A && o.Ret < late.Call &&
			(other == nil || o.Ret > other.Ret) {
			other = o
		}
	}
	if other == nil {
		return false
	}
	before, after := false, 0
	for i := range all {
		o := &all[i]
		v, observes := o.Observes()
		if !observes || o.Maybe {
			continue
		}
		before = before || v == late.A && o.Ret < other.Call
		if o.Call >= late.Call {
			if v == other.A {
				return false
			}
			if v == late.A {
				after++
			}
		}
	}
	return before && after > 1
}
