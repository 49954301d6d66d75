package check

import (
	"context"
	"fmt"
)

// OneLeader says whether at most one node led in each term, by what the nodes said of themselves.
type OneLeader struct{}

// Name implements [Checker].
func (OneLeader) Name() string { return "one-leader-per-term" }

// Check implements [Checker].
func (OneLeader) Check(_ context.Context, in *Input) Result {
	const property = "at most one leader per term"
	first := map[uint64]seen{}
	var findings []Finding
	for _, s := range observed(in.History, "status", "final_status") {
		if s.Role != "leader" || s.Term == 0 {
			continue
		}
		f, known := first[s.Term]
		if !known {
			first[s.Term] = s
			continue
		}
		if f.op.Node != s.op.Node {
			findings = append(findings, Finding{
				Class: "two leaders", Node: s.op.Node, Time: s.op.Time,
				Text: fmt.Sprintf("%s said at %s that it led in term %d, and %s said so at %s.",
					f.op.Node, at(f.op.Time), s.Term, s.op.Node, at(s.op.Time)),
				Ops: []int64{f.op.Index, s.op.Index},
			})
		}
	}
	if len(first) == 0 {
		return notObservable(property, "no node said that it led")
	}
	res := Result{
		Property: property, Validity: Valid, Findings: findings,
		Summary: count(len(first), "term") + " with a leader seen",
	}
	if len(findings) > 0 {
		res.Validity, res.Reason = Invalid, findings[0].Text
	}
	return res
}
