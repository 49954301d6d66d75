package check

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Stock lists the checkers that fit every run, whatever its workload, in the order in which a
// report shows them.
func Stock() []Checker {
	return []Checker{
		Coverage{}, OneLeader{}, ReplicasAgree{}, NodeHealth{}, Availability{}, Recovery{},
	}
}

// unknown is a result that could not be had.
func unknown(property, format string, args ...any) Result {
	return Result{Property: property, Reason: fmt.Sprintf(format, args...)}
}

// notObservable is a result about something that the run does not show.
func notObservable(property, reason string) Result {
	return Result{Property: property, Validity: NotObservable, Reason: reason}
}

// observation is the value of what the observer notes of a node, see FORMAT.md of the history.
type observation struct {
	Term    uint64 `json:"term"`
	Role    string `json:"role"`
	Leader  string `json:"leader"`
	Applied uint64 `json:"applied"`
	Digest  string `json:"digest"`
	// Of an exit.
	Code  int  `json:"code"`
	Asked bool `json:"asked"`
	OOM   bool `json:"oom"`
}

// seen is an observation with where it stands.
type seen struct {
	op *history.Op
	observation
}

// observed lists what was observed under the names fs. What can not be read is left out.
func observed(h *history.History, fs ...string) []seen {
	var all []seen
	for i := range h.Ops {
		op := &h.Ops[i]
		if op.Process != history.Observer {
			continue
		}
		for _, f := range fs {
			if op.F != f {
				continue
			}
			s := seen{op: op}
			if json.Unmarshal(op.Value, &s.observation) == nil {
				all = append(all, s)
			}
		}
	}
	return all
}

// details renders figures. A type that can not be rendered is a mistake of ours.
func details(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("check: details that are no JSON: " + err.Error())
	}
	return raw
}

// at words a time of the run.
func at(d time.Duration) string { return fmt.Sprintf("%.3f s", d.Seconds()) }

// count words a number of things: "1 node", "3 nodes", "12,345 entries".
func count(n int, one string) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	if n == 1 {
		return s + " " + one
	}
	if stem, entry := strings.CutSuffix(one, "entry"); entry {
		return s + " " + stem + "entries"
	}
	return s + " " + one + "s"
}

// list words names: "a, b and c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
