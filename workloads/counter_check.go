package workloads

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// counterChecker judges counters that go up by one. Every operation with an answer says a value; a
// read of v belongs between the increment to v and that to v+1. So there is one order up to reads
// of the same value, and the history is linearizable if and only if
//
//  1. no two increments made the same value, and none made one below 1;
//  2. nothing that says a lesser value (or a read of the value that an increment made) begins
//     after something that says the larger one has ended; and
//  3. each value between 1 and the largest seen that no answered increment made can be given to
//     an increment without an answer, each to one, that had begun by the time when somebody saw
//     that value or a larger one.
//
// An increment without an answer may take effect at any later moment, so nothing else binds it. The
// judgement is exact; the tests hold it against trying every order.
type counterChecker struct{}

// Name implements [check.Checker].
func (counterChecker) Name() string { return "counter" }

// said is an operation with what it said of the counter.
type said struct {
	call  history.Call
	index int64
	op    *history.Op
	value int64
	made  bool // an increment; otherwise a read
}

// counter is what happened to one.
type counter struct {
	key  string
	said []said
	open []history.Call // increments without an answer
}

// counterFigures are the details of the result.
type counterFigures struct {
	Operations    int            `json:"operations"`
	Counters      int            `json:"counters"`
	Increments    int            `json:"increments"`
	Indeterminate int            `json:"indeterminate"`
	Applied       int            `json:"indeterminate_applied"`
	Retries       int            `json:"sent_again"`
	Classes       map[string]int `json:"violations,omitempty"`
}

// Check implements [check.Checker].
func (c counterChecker) Check(_ context.Context, in *check.Input) check.Result {
	res := check.Result{Property: "every increment is applied once, and counters never lie"}
	calls, err := in.History.Calls()
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	f := counterFigures{Classes: map[string]int{}}
	found := func(class, key string, s *said, format string, args ...any) {
		if f.Classes[class]++; f.Classes[class] <= maxFindings {
			res.Findings = append(res.Findings, check.Finding{
				Class: class, Key: key, Node: s.op.Node, Time: s.call.From, Ops: []int64{s.index},
				Text: fmt.Sprintf(format, args...),
			})
		}
	}
	counters, err := decodeCounters(in.History, calls, &f, found)
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	for _, k := range counters {
		k.judge(&f, found)
	}
	slices.SortStableFunc(res.Findings, func(a, b check.Finding) int {
		return cmp.Compare(a.Time, b.Time)
	})
	res.Summary = fmt.Sprintf("%d operations on %d counters; %d increments, %d sent again, "+
		"%d without an answer of which %d were seen", f.Operations, f.Counters, f.Increments,
		f.Retries, f.Indeterminate, f.Applied)
	res.Details = figures(f)
	switch {
	case len(res.Findings) > 0:
		res.Validity, res.Reason = check.Invalid, classCounts(f.Classes)
	case f.Increments == 0:
		res.Reason = "nothing was counted"
	default:
		res.Validity = check.Valid
	}
	return res
}

// foundFunc takes a violation.
type foundFunc func(class, key string, s *said, format string, args ...any)

// decodeCounters sorts the operations by counter.
func decodeCounters(
	h *history.History, calls []history.Call, f *counterFigures, found foundFunc,
) ([]*counter, error) {
	byKey := map[string]*counter{}
	var all []*counter
	for _, c := range calls {
		op := &h.Ops[c.Invoke]
		k := byKey[op.Key]
		if k == nil {
			k = &counter{key: op.Key}
			byKey[op.Key] = k
			all = append(all, k)
		}
		f.Operations++
		s := said{call: c, index: op.Index, op: op, made: op.F != "read"}
		switch {
		case op.F != "read" && op.F != "add" && op.F != "add-once":
			return nil, fmt.Errorf("operation %d: a counter has no function %q", op.Index, op.F)
		case c.Outcome == history.Fail, c.Outcome == history.Info && !s.made:
			continue
		case c.Outcome == history.Info:
			k.open = append(k.open, c)
			f.Indeterminate++
			continue
		}
		var answer onceAnswer
		raw := h.Ops[c.Done].Value
		into := any(&answer.Value)
		if op.F == "add-once" {
			into = &answer
			f.Retries++
		}
		if err := json.Unmarshal(raw, into); err != nil {
			found("garbage", k.key, &s, "The counter was not a number any more: %.60s.", raw)
			continue
		}
		if answer.Again != nil {
			found("applied twice", k.key, &s, "An increment answered %d, and when the same request "+
				"was sent again %d: it was carried out anew.", answer.Value, *answer.Again)
		}
		if s.made {
			f.Increments++
		}
		s.value = answer.Value
		k.said = append(k.said, s)
	}
	f.Counters = len(all)
	return all, nil
}

// judge judges one counter, see [counterChecker].
func (k *counter) judge(f *counterFigures, found foundFunc) {
	// In the order in which they must have happened; at the same value the increment is first.
	slices.SortStableFunc(k.said, func(a, b said) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(order(a), order(b)),
			cmp.Compare(a.call.To, b.call.To))
	})
	made := map[int64]bool{}
	var latest *said // of those before, the one that began last
	for i := range k.said {
		s := &k.said[i]
		if s.value < 0 || s.made && s.value < 1 {
			found("phantom value", k.key, s, "The counter was %d, which it never can be.", s.value)
			continue
		}
		if s.made && made[s.value] {
			found("applied over", k.key, s, "Two increments made %d: one of them was lost.", s.value)
		}
		made[s.value] = made[s.value] || s.made
		if latest != nil && s.call.To < latest.call.From {
			found("out of order", k.key, latest, "%s %s before %s %s.", capitalized(who(s)),
				span(s.call), who(latest), span(latest.call))
		}
		if latest == nil || s.call.From > latest.call.From {
			latest = s
		}
	}
	k.gaps(made, f, found)
}

// order puts increments before reads.
func order(s said) int {
	if s.made {
		return 0
	}
	return 1
}

// who is what an operation said, in words.
func who(s *said) string {
	if s.made {
		return fmt.Sprintf("process %v on %s incremented it to %d", s.op.Process, s.op.Node, s.value)
	}
	return fmt.Sprintf("process %v on %s read %d", s.op.Process, s.op.Node, s.value)
}

// gaps gives the values that no answered increment made to increments without an answer: the least
// value, which has to be there first, to the one that began first.
func (k *counter) gaps(made map[int64]bool, f *counterFigures, found foundFunc) {
	slices.SortFunc(k.open, func(a, b history.Call) int { return cmp.Compare(a.From, b.From) })
	used := 0
	// seen is when a value or a larger one was seen first, and by whom.
	type sight struct {
		at time.Duration
		by *said
	}
	first := make([]sight, len(k.said))
	for i := len(k.said) - 1; i >= 0; i-- {
		first[i] = sight{k.said[i].call.To, &k.said[i]}
		if i+1 < len(k.said) && first[i+1].at < first[i].at {
			first[i] = first[i+1]
		}
	}
	value := int64(0)
	for i := range k.said {
		for ; value < k.said[i].value; value++ {
			if made[value+1] {
				continue
			}
			s := first[i]
			if used == len(k.open) || k.open[used].From > s.at {
				missing := k.said[i].value - value
				found("applied twice or from nowhere", k.key, s.by, "%s by %s, and no increment that "+
					"was under way can have made %d: %d more were counted than were asked for.",
					capitalized(who(s.by)), at(s.at), value+1, missing)
				return
			}
			used++
		}
	}
	f.Applied += used
}

func capitalized(s string) string { return string(s[0]-'a'+'A') + s[1:] }
