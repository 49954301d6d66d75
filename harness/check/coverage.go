package check

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Coverage says whether the run tested what it set out to test. It is never Invalid: what is
// missing makes it Unknown, with a finding for each thing that is.
type Coverage struct{}

// Name implements [Checker].
func (Coverage) Name() string { return "coverage" }

// Check implements [Checker].
func (c Coverage) Check(_ context.Context, in *Input) Result {
	const property = "the run tested what it set out to test"
	calls, err := in.History.Calls()
	if err != nil {
		return unknown(property, "%v", err)
	}
	ok := map[string]int{}
	total := 0
	for _, call := range calls {
		if call.Outcome == history.Ok {
			ok[in.History.Ops[call.Invoke].F]++
			total++
		}
	}
	var missing []Finding
	miss := func(class, node, format string, args ...any) {
		missing = append(missing,
			Finding{Class: class, Node: node, Text: fmt.Sprintf(format, args...)})
	}
	for _, f := range in.Promises.Functions {
		if ok[f] == 0 {
			miss("function not tested", "", "No %s ever succeeded.", f)
		}
	}
	if total < max(in.Promises.MinOps, 1) {
		miss("too few operations", "", "%s succeeded; there should have been at least %d.",
			count(total, "operation"), max(in.Promises.MinOps, 1))
	}
	c.faults(in, calls, miss)
	c.changes(in, miss)
	c.logs(in, miss)
	if !in.History.Complete {
		miss("history cut short", "", "The history ends before the run did.")
	}
	res := Result{
		Property: property, Validity: Valid, Findings: missing,
		Summary: fmt.Sprintf("%s succeeded, %s were in force", count(total, "operation"),
			count(len(in.History.Faults()), "fault")),
	}
	if len(missing) > 0 {
		res.Validity = Unknown
		res.Reason = missing[0].Text
		if n := len(missing) - 1; n > 0 {
			res.Reason += fmt.Sprintf(" And %s more.", count(n, "thing"))
		}
	}
	return res
}

// momentary is what a fault is that was over as soon as it had been seen, such as connections that
// were broken: it was in force at some moment of its injection.
const momentary = 10 * time.Millisecond

type missFunc func(class, node, format string, args ...any)

// faults looks for each fault that was asked for.
func (Coverage) faults(in *Input, calls []history.Call, miss missFunc) {
	faults := in.History.Faults()
	for _, name := range in.Promises.Faults {
		installed, met := false, false
		for _, f := range faults {
			if f.Name == name && f.Installed {
				installed = true
				from := f.From
				if f.To-f.From < momentary {
					from = f.Asked
				}
				met = met || slices.ContainsFunc(calls, func(c history.Call) bool {
					return c.Done >= 0 && c.From <= f.To && endOf(in.History, c) >= from
				})
			}
		}
		switch {
		case !installed:
			miss("fault not tested", "", "No %s was ever seen to take effect.", name)
		case !met:
			miss("fault not tested", "", "No operation ran while a %s was in force.", name)
		}
	}
}

// endOf is when the client was done with c, whatever came of it.
func endOf(h *history.History, c history.Call) time.Duration { return h.Ops[c.Done].Time }

// changes looks for a restart and for a change of the leader.
func (Coverage) changes(in *Input, miss missFunc) {
	if in.Promises.Restart && !restarted(in.History) {
		miss("no restart", "", "No node was seen to come back after its process had ended.")
	}
	if !in.Promises.LeaderChange {
		return
	}
	first := ""
	for _, s := range observed(in.History, "status", "final_status") {
		if s.Role != "leader" {
			continue
		}
		if first != "" && s.op.Node != first {
			return
		}
		first = s.op.Node
	}
	miss("no leader change", "", "The leader was never seen to change.")
}

// restarted says whether a node did something after its process had ended.
func restarted(h *history.History) bool {
	gone := map[string]bool{}
	for i := range h.Ops {
		op := &h.Ops[i]
		switch {
		case op.Process == history.Observer && op.F == "exit":
			gone[op.Node] = true
		case gone[op.Node] && op.Process == history.Observer,
			gone[op.Node] && op.Process.IsClient() && op.Type == history.Ok:
			return true
		}
	}
	return false
}

// logs looks for the nodes' logs.
func (Coverage) logs(in *Input, miss missFunc) {
	if in.Dir == nil {
		return
	}
	for _, node := range in.Promises.Nodes {
		if _, err := fs.Stat(in.Dir, logOf(node)); err != nil {
			miss("log missing", node, "There is no log of %s.", node)
		}
	}
}

// logOf is where the log of a node lies in a run directory.
func logOf(node string) string { return path.Join("nodes", node+".log") }
