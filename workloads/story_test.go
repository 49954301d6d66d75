package workloads

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// did is an operation of a made-up history. Times are in milliseconds; each operation has a process
// of its own. A to of 0 is one that never ended.
type did struct {
	f, key   string
	arg      string
	from, to int
	how      history.Type // Ok if it is not said
	answer   string       // the argument if it is not said
	node     string
	process  int // of its own if it is 0
}

// historyOf makes a history of what was done.
func historyOf(all ...did) *history.History {
	h := &history.History{Complete: true}
	type line struct {
		at  int
		end bool
		op  history.Op
	}
	var lines []line
	for i, d := range all {
		op := history.Op{Process: history.Process(cmp.Or(d.process, 1000+i)), F: d.f, Key: d.key,
			Node: cmp.Or(d.node, "n1"), Type: history.Invoke,
			Time: time.Duration(d.from) * time.Millisecond}
		if d.arg != "" {
			op.Value = []byte(d.arg)
		}
		lines = append(lines, line{d.from, false, op})
		if d.to == 0 {
			continue
		}
		op.Type = cmp.Or(d.how, history.Ok)
		op.Time = time.Duration(d.to) * time.Millisecond
		if answer := cmp.Or(d.answer, d.arg); answer != "" {
			op.Value = []byte(answer)
		}
		if op.Type != history.Ok {
			op.Error = "no answer"
		}
		lines = append(lines, line{d.to, true, op})
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
	for i := range lines {
		lines[i].op.Index = int64(i)
		h.Ops = append(h.Ops, lines[i].op)
	}
	return h
}

// judged is a history with what a checker has to say of it: a part of the class of each finding
// that has to be there, in any order; a part of the reason if it is Unknown.
type judged struct {
	name     string
	did      []did
	want     check.Validity
	classes  []string
	reason   string
	contains string // a part of the text of the first finding
}

// judgeAll lets a checker judge made-up histories.
func judgeAll(t *testing.T, c check.Checker, all []judged) {
	t.Helper()
	for _, j := range all {
		t.Run(j.name, func(t *testing.T) {
			in := &check.Input{History: historyOf(j.did...)}
			res := c.Check(t.Context(), in)
			if res.Validity != j.want {
				t.Errorf("got %v (%s), want %v\n%v", res.Validity, res.Reason, j.want, res.Findings)
			}
			if !strings.Contains(res.Reason, j.reason) {
				t.Errorf("the reason %q does not say %q", res.Reason, j.reason)
			}
			var classes []string
			for _, f := range res.Findings {
				classes = append(classes, f.Class)
			}
			slices.Sort(classes)
			want := slices.Sorted(slices.Values(j.classes))
			if fmt.Sprint(classes) != fmt.Sprint(want) {
				t.Errorf("found %v, want %v\n%v", classes, want, res.Findings)
			}
			if j.contains != "" && !strings.Contains(res.Findings[0].Text, j.contains) {
				t.Errorf("%q does not say %q", res.Findings[0].Text, j.contains)
			}
		})
	}
}
