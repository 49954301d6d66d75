package check

import (
	"context"
	"fmt"
)

// leaderAppends: a leader never discards entries of its own log, and takes for committed only what
// ends with an entry of its own term (paper, §5.3 and §5.4.2).
type leaderAppends struct{}

func (leaderAppends) Name() string { return "trace-leader-appends" }

func (c leaderAppends) Check(_ context.Context, in *Input) Result {
	return traced(in, c.Name(), "a leader only appends, and commits by entries of its own term",
		judgeAppends, "become_leader", "append")
}

func judgeAppends(traces []trace) (string, []Finding) {
	var findings []Finding
	leaders := 0
	for _, t := range traces {
		var leads, led uint64 // the term in which it leads, and the highest in which it ever did
		add := func(class, format string, args ...any) {
			findings = append(findings, Finding{
				Class: class, Node: t.node, Text: fmt.Sprintf(format, args...),
			})
		}
		for _, e := range t.events {
			switch e.Ev {
			case "become_leader":
				if e.Term < led {
					add("term went back", "Node %s became leader of term %d, after it had led in "+
						"term %d.", t.node, e.Term, led)
				}
				leaders++
				leads, led = e.Term, max(led, e.Term)
			case "start", "become_follower", "become_candidate", "become_precandidate":
				leads = 0
			case "truncate":
				if leads > 0 {
					add("leader discarded entries", "Node %s discarded its log from index %d on "+
						"while it led in term %d.", t.node, e.Index, leads)
				}
			case "commit":
				if leads > 0 && e.Term != leads {
					add("old term committed", "Node %s, leader of term %d, took index %d for "+
						"committed by an entry of term %d.", t.node, leads, e.Index, e.Term)
				}
			}
		}
	}
	return fmt.Sprintf("%d elections", leaders), findings
}

// applied is an entry as the first node told that applied it.
type applied struct {
	event
	line int // the number of the event in the node's trace
}

// mergeApplied puts what all nodes applied together, by index, and finds where they disagree.
func mergeApplied(traces []trace) (all map[uint64]applied, findings []Finding) {
	all = map[uint64]applied{}
	for _, t := range traces {
		var last uint64
		for i, e := range t.events {
			switch {
			case e.Ev == "start":
				last = 0
			case e.Ev != "apply":
				continue
			case e.Index <= last:
				findings = append(findings, Finding{
					Class: "entry applied twice", Node: t.node,
					Text: fmt.Sprintf("Node %s applied index %d (event %d of its trace) after it "+
						"had applied index %d.", t.node, e.Index, i+1, last),
				})
			default:
				first, known := all[e.Index]
				if !known {
					all[e.Index] = applied{e, i + 1}
				} else if f := differs(first, e, i+1); f != nil {
					findings = append(findings, *f)
				}
				last = e.Index
			}
		}
	}
	return all, findings
}

// differs holds an entry against the one that another node applied at its index.
func differs(a applied, b event, line int) *Finding {
	where := fmt.Sprintf("At index %d %s applied %s (event %d of its trace), and %s %s (event %d)",
		b.Index, a.Node, a.words(), a.line, b.Node, b.words(), line)
	switch {
	case a.words() != b.words():
		return &Finding{Class: "two entries applied", Node: b.Node, Text: where + "."}
	case a.Digest != "" && b.Digest != "" && a.Digest != b.Digest:
		return &Finding{Class: "replicas differ", Node: b.Node, Text: fmt.Sprintf(
			"%s, but their states differ then: %s and %s.", where, a.Digest, b.Digest)}
	}
	return nil
}

// words tells what an entry says.
func (e event) words() string {
	s := fmt.Sprintf("%s of term %d", e.Op, e.Term)
	if e.Key != "" {
		s += fmt.Sprintf(", key %q value %q", e.Key, e.Value)
	}
	if e.Old != nil {
		s += fmt.Sprintf(" old %q", *e.Old)
	}
	if e.Session > 0 {
		s += fmt.Sprintf(", request %d of session %d", e.Request, e.Session)
	}
	return s
}

// sameEntries: replicas apply the same entries, each once, in the same order, and are in the same
// state after each (state machine safety, paper §5.4.3).
type sameEntries struct{}

func (sameEntries) Name() string { return "trace-applied" }

func (c sameEntries) Check(_ context.Context, in *Input) Result {
	n := 0
	r := traced(in, c.Name(), "replicas apply the same entries, to the same states",
		func(traces []trace) (string, []Finding) {
			all, findings := mergeApplied(traces)
			n = len(all)
			return count(n, "applied entry"), findings
		})
	if r.Validity == Valid && n == 0 {
		return Result{
			Checker: r.Checker, Property: r.Property, Validity: NotObservable,
			Reason: "the nodes do not tell what they apply",
		}
	}
	return r
}
