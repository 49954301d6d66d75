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

// Availability says how long clients went without a success while a majority of the nodes was up
// and could talk, and whether that was within the limit. Each fault that comes or goes may cost an
// election, so the time is counted anew from each.
type Availability struct{}

// Name implements [Checker].
func (Availability) Name() string { return "availability" }

// gap is a time without success, from its begin to its end.
type gap struct{ from, to time.Duration }

func (g gap) length() time.Duration { return g.to - g.from }

// Check implements [Checker].
func (Availability) Check(_ context.Context, in *Input) Result {
	const property = "available while a majority can talk"
	calls, err := in.History.Calls()
	if err != nil {
		return unknown(property, "%v", err)
	}
	marks := availabilityMarks(in.History, calls)
	if marks == nil {
		return notObservable(property, "no operation was asked for while a majority could talk")
	}
	worst := longestGap(marks)
	res := Result{
		Property: property, Validity: Valid,
		Summary: fmt.Sprintf("the longest time without success was %.3f s, at %s",
			worst.length().Seconds(), at(worst.from)),
		Details: details(map[string]int64{
			"longest_ns": int64(worst.length()), "from_ns": int64(worst.from)}),
	}
	limit := in.Promises.AvailabilityLimit
	switch {
	case limit == 0:
		res.Validity = NotObservable
		res.Reason = "no limit was set: " + res.Summary
	case worst.length() > limit:
		res.Validity = Invalid
		res.Reason = fmt.Sprintf("for %.3f s no operation succeeded although a majority could "+
			"talk; the limit is %.3f s", worst.length().Seconds(), limit.Seconds())
		res.Findings = []Finding{{
			Class: "unavailable", Time: worst.from,
			Text: fmt.Sprintf("From %s to %s operations were asked for and none succeeded, "+
				"although a majority of the nodes was up and could talk.",
				at(worst.from), at(worst.to)),
		}}
	}
	return res
}

// markKind is what an [availabilityMarks] entry means for the time without success.
type markKind uint8

const (
	begins  markKind = iota // an operation begins
	ends                    // an operation ends without success
	succeed                 // an operation ends with success
	whole                   // from here on a majority can talk; the time is counted anew
	broken                  // from here on perhaps not
)

type mark struct {
	at   time.Duration
	kind markKind
}

// availabilityMarks puts all that matters in order of time. It is nil if no client did anything.
func availabilityMarks(h *history.History, calls []history.Call) []mark {
	var marks []mark
	for _, c := range calls {
		if c.Done < 0 {
			continue // nobody knows for how long it was asked for
		}
		kind := ends
		if c.Outcome == history.Ok {
			kind = succeed
		}
		marks = append(marks, mark{c.From, begins}, mark{h.Ops[c.Done].Time, kind})
	}
	if marks == nil {
		return nil
	}
	marks = append(marks, faultMarks(h)...)
	slices.SortStableFunc(marks, func(a, b mark) int { return cmp.Compare(a.at, b.at) })
	return marks
}

// faultMarks says from when to when a majority could talk. While something is being broken or
// mended nobody knows, unless it says beforehand that a majority stays whole.
func faultMarks(h *history.History) (marks []mark) {
	type end struct {
		Step     int    `json:"step"`
		Action   string `json:"action"`
		Majority *bool  `json:"majority"`
	}
	underWay := map[end]bool{}
	for i := range h.Ops {
		op := &h.Ops[i]
		var v end
		if op.Process != history.Nemesis || json.Unmarshal(op.Value, &v) != nil && op.Value != nil {
			continue
		}
		majority := v.Majority != nil && *v.Majority
		v.Majority = nil
		switch {
		case op.Type == history.Invoke && majority:
		case op.Type == history.Invoke:
			underWay[v] = true
			marks = append(marks, mark{op.Time, broken})
		default:
			delete(underWay, v)
			if op.F == "heal" {
				clear(underWay)
			}
			if majority && len(underWay) == 0 {
				marks = append(marks, mark{op.Time, whole})
			}
			if !majority {
				marks = append(marks, mark{op.Time, broken})
			}
		}
	}
	return marks
}

// longestGap is the longest time without success in which some operation was under way and a
// majority could talk.
func longestGap(marks []mark) (longest gap) {
	open, up := 0, true
	since := time.Duration(-1) // -1: nothing is waited for
	for _, m := range marks {
		if since >= 0 && m.kind != begins && open > 0 {
			if g := (gap{since, m.at}); g.length() > longest.length() {
				longest = g
			}
		}
		switch m.kind {
		case begins:
			open++
			if up && since < 0 {
				since = m.at
			}
		case ends:
			open-- // the time goes on: the next try is for the same
		case succeed:
			open--
			since = -1
			if up && open > 0 {
				since = m.at
			}
		case whole:
			up, since = true, -1
			if open > 0 {
				since = m.at
			}
		case broken:
			up, since = false, -1
		}
	}
	return longest
}
