package check

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Recovery says whether every node and every key answered again, soon enough, after the last fault
// was healed. A key or a node that never answered makes it Unknown: what can not be read can hide
// anything.
type Recovery struct{}

// Name implements [Checker].
func (Recovery) Name() string { return "recovery" }

// Check implements [Checker].
func (c Recovery) Check(_ context.Context, in *Input) Result {
	const property = "back to work after heal"
	calls, err := in.History.Calls()
	if err != nil {
		return unknown(property, "%v", err)
	}
	healed, found := lastHeal(in.History)
	if !found {
		if len(in.History.Faults()) == 0 {
			return notObservable(property, "nothing was broken")
		}
		return unknown(property, "the faults were never healed")
	}
	keys, nodes := c.firsts(in, calls, healed)
	res := Result{Property: property}
	slow := c.worst(&res, in, "key", keys, healed)
	slow = max(slow, c.worst(&res, in, "node", nodes, healed))
	res.Details = details(map[string]int64{"slowest_ns": int64(slow)})
	res.Summary = fmt.Sprintf("%s and %s; the last answered %.3f s after the heal",
		count(len(keys), "key"), count(len(nodes), "node"), slow.Seconds())
	switch {
	case len(res.Findings) == 0:
		res.Validity = Valid
		return res
	case slices.ContainsFunc(res.Findings, func(f Finding) bool { return f.Class == "slow" }):
		res.Validity = Invalid
	}
	slices.SortStableFunc(res.Findings, func(a, b Finding) int {
		return cmp.Compare(b.Class, a.Class) // slow before never
	})
	res.Reason = res.Findings[0].Text
	return res
}

// lastHeal is when the last fault was seen to be gone.
func lastHeal(h *history.History) (time.Duration, bool) {
	for _, op := range slices.Backward(h.Ops) {
		if op.Process != history.Nemesis || op.Type == history.Invoke {
			continue
		}
		var v struct {
			Action, Outcome string
		}
		if json.Unmarshal(op.Value, &v) == nil && v.Action == "heal" && v.Outcome == "healed" {
			return op.Time, true
		}
	}
	return 0, false
}

// firsts finds, for each key and for each node that clients used, when the first operation
// succeeded that began after the heal; [history.Never] if none did.
func (Recovery) firsts(
	in *Input, calls []history.Call, healed time.Duration,
) (keys, nodes map[string]time.Duration) {
	keys, nodes = map[string]time.Duration{}, map[string]time.Duration{}
	members := in.Promises.members()
	for _, n := range members {
		nodes[n] = history.Never
	}
	note := func(m map[string]time.Duration, name string, end time.Duration) {
		if old, known := m[name]; !known || end < old {
			m[name] = end
		}
	}
	for _, c := range calls {
		op := &in.History.Ops[c.Invoke]
		end := history.Never
		if c.Outcome == history.Ok && op.Time >= healed {
			end = c.To
		}
		if op.Key != "" { // a transaction over many keys has none
			note(keys, op.Key, end)
		}
		if op.Node != "" && (members == nil || slices.Contains(members, op.Node)) {
			note(nodes, op.Node, end)
		}
	}
	return keys, nodes
}

// worst adds findings for what was too slow or never came, and returns how long the slowest took.
func (Recovery) worst(
	res *Result, in *Input, what string, firsts map[string]time.Duration, healed time.Duration,
) (slow time.Duration) {
	names := make([]string, 0, len(firsts))
	for name := range firsts {
		names = append(names, name)
	}
	slices.Sort(names)
	limit := in.Promises.RecoveryLimit
	for _, name := range names {
		f := Finding{Time: healed}
		if what == "key" {
			f.Key = name
		} else {
			f.Node = name
		}
		took := firsts[name] - healed
		switch {
		case firsts[name] == history.Never:
			f.Class = "never"
			f.Text = fmt.Sprintf("No operation on %s %s succeeded after the heal at %s.",
				what, quoted(name), at(healed))
		case limit > 0 && took > limit:
			f.Class = "slow"
			f.Text = fmt.Sprintf("The first operation on %s %s succeeded %.3f s after the heal "+
				"at %s; it should have within %.3f s.", what, quoted(name), took.Seconds(),
				at(healed), limit.Seconds())
			slow = max(slow, took)
		default:
			slow = max(slow, took)
			continue
		}
		res.Findings = append(res.Findings, f)
	}
	return slow
}

// quoted is a name as it stands in a sentence.
func quoted(name string) string {
	if name == "" {
		return `""`
	}
	return name
}
