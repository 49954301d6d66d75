package report

import (
	"encoding/json"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Leader is one node's time as a leader, as far as it was observed. Two may overlap: a leader that
// is cut off does not know yet that another one was elected.
type Leader struct {
	Node string `json:"node"`
	Term uint64 `json:"term"`
	// From is when it was first seen to lead in this term; To is when it was first seen not to, or
	// its process ended, or the history did.
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

// status is the part of an observed status that tells of elections.
type status struct {
	Term uint64 `json:"term"`
	Role string `json:"role"`
}

// leaders reads from the observations who led when, in order of first sight.
func leaders(h *history.History) []Leader {
	var ls []Leader
	leads := map[string]int{} // by node, the position in ls of what it leads now
	end := lastTime(h)
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Process != history.Observer || op.Node == "" {
			continue
		}
		var s status
		switch op.F {
		case "status", "final_status":
			if json.Unmarshal(op.Value, &s) != nil {
				continue
			}
		case "exit":
		default:
			continue
		}
		at, leading := leads[op.Node]
		if leading && s.Role == "leader" && s.Term == ls[at].Term {
			continue
		}
		if leading {
			ls[at].To = op.Time
			delete(leads, op.Node)
		}
		if s.Role == "leader" {
			leads[op.Node] = len(ls)
			ls = append(ls, Leader{Node: op.Node, Term: s.Term, From: op.Time, To: end})
		}
	}
	return ls
}

// elections counts the terms in which a leader was seen, and how often leadership passed to
// another node or term.
func elections(ls []Leader) (terms, changes int) {
	seen := map[uint64]bool{}
	for _, l := range ls {
		seen[l.Term] = true
	}
	return len(seen), max(len(seen)-1, 0)
}
