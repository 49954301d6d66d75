package check

import (
	"context"
	"fmt"
	"slices"
)

// ReplicasAgree says whether nodes that had applied the same part of the log had the same state, by
// the digests of their states: at any time of the run, and for all nodes when all was quiet at the
// end.
type ReplicasAgree struct{}

// Name implements [Checker].
func (ReplicasAgree) Name() string { return "replicas-agree" }

// Check implements [Checker].
func (c ReplicasAgree) Check(_ context.Context, in *Input) Result {
	const property = "replicas that applied the same have the same state"
	first := map[uint64]seen{}
	var findings []Finding
	final := map[string]seen{}
	compared := 0
	for _, s := range observed(in.History, "status", "final_status") {
		if s.Digest == "" {
			continue
		}
		if s.op.F == "final_status" {
			final[s.op.Node] = s
		}
		f, known := first[s.Applied]
		switch {
		case !known:
			first[s.Applied] = s
		case f.Digest != s.Digest:
			findings = append(findings, differ(f, s))
		case f.op.Node != s.op.Node:
			compared++
		}
	}
	if len(first) == 0 {
		return notObservable(property, "no node told a digest of its state")
	}
	res := Result{
		Property: property, Findings: findings,
		Summary: fmt.Sprintf("%s of digests, %s at the end",
			count(compared, "comparison"), count(len(final), "node")),
	}
	if len(findings) > 0 {
		res.Validity, res.Reason = Invalid, findings[0].Text
		return res
	}
	if res.Reason = c.incomplete(in.Promises.members(), final); res.Reason == "" {
		res.Validity = Valid
	}
	return res
}

func differ(a, b seen) Finding {
	return Finding{
		Class: "replicas differ", Node: b.op.Node, Time: b.op.Time,
		Text: fmt.Sprintf("%s and %s had both applied %d entries, but their states differ: "+
			"%s had digest %s at %s, %s had %s at %s.", a.op.Node, b.op.Node, a.Applied,
			a.op.Node, a.Digest, at(a.op.Time), b.op.Node, b.Digest, at(b.op.Time)),
		Ops: []int64{a.op.Index, b.op.Index},
	}
}

// incomplete says why the digests at the end do not tell everything; empty if they do.
func (ReplicasAgree) incomplete(nodes []string, final map[string]seen) string {
	if len(final) == 0 {
		return "no node told a digest of its state at the end"
	}
	var missing []string
	for _, n := range nodes {
		if _, ok := final[n]; !ok {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		return list(missing) + " told no digest at the end"
	}
	var low, high seen
	for _, s := range final {
		if low.op == nil || s.Applied < low.Applied {
			low = s
		}
		if high.op == nil || s.Applied > high.Applied {
			high = s
		}
	}
	if low.Applied == high.Applied {
		return ""
	}
	var behind []string
	for n, s := range final {
		if s.Applied < high.Applied {
			behind = append(behind, n)
		}
	}
	slices.Sort(behind)
	return fmt.Sprintf("%s had not caught up at the end: %d entries applied, others had %d",
		list(behind), low.Applied, high.Applied)
}
