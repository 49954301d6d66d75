package workloads

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// Membership is the register workload while the members change, one after the other or all at once;
// it is meant for --faults membership. Beside the registers it reports what each kind of change
// costs in availability and latency.
type Membership struct{ Register }

// Name implements [Workload].
func (Membership) Name() string { return "membership" }

// Doc implements [Workload].
func (Membership) Doc() string {
	return "the register while members change (--faults membership), and what each change costs"
}

// Checkers implements [Workload].
func (m Membership) Checkers() []check.Checker {
	return append(m.Register.Checkers(), rotation{})
}

// rotation says what changes of the membership cost. It is Unknown if there was none, or if nothing
// worked after them, and never Invalid: how much is too much is for the availability checker.
type rotation struct{}

// Name implements [check.Checker].
func (rotation) Name() string { return "rotation" }

// cost is what one kind of change costs. Latencies are those of operations that were under way in
// the second from the begin of a change on, or in its whole time if that is longer.
type cost struct {
	Change string `json:"change"`
	Times  int    `json:"times"`
	Ok     int    `json:"ok"`
	Other  int    `json:"fail_or_info"`
	// Gap is the longest time without a success that began or ended in such a time.
	Gap time.Duration `json:"longest_gap_ns"`
	P50 time.Duration `json:"p50_ns"`
	P99 time.Duration `json:"p99_ns"`
}

// Check implements [check.Checker].
func (rotation) Check(_ context.Context, in *check.Input) check.Result {
	res := check.Result{Property: "work goes on while members change"}
	calls, err := in.History.Calls()
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	windows := map[string][]window{}
	var names []string
	for _, f := range in.History.Faults() {
		if !strings.HasPrefix(f.Name, "membership-") || !f.Installed {
			continue
		}
		if windows[f.Name] == nil {
			names = append(names, f.Name)
		}
		windows[f.Name] = append(windows[f.Name],
			window{f.Asked, max(f.From, f.Asked+time.Second)})
	}
	slices.Sort(names)
	var all []cost
	var words []string
	for _, name := range names {
		c := costOf(name, windows[name], calls)
		all = append(all, c)
		words = append(words, fmt.Sprintf("%s %d times: at most %.3f s without success, p99 %.1f ms",
			name, c.Times, c.Gap.Seconds(), float64(c.P99)/1e6))
		if c.Ok == 0 {
			res.Reason = fmt.Sprintf("no operation succeeded around a %s", name)
		}
	}
	if rest := costOf("at other times", others(windows, calls), calls); rest.Ok > 0 {
		all = append(all, rest)
		words = append(words, fmt.Sprintf("at other times: p99 %.1f ms", float64(rest.P99)/1e6))
	}
	res.Summary, res.Details = strings.Join(words, "; "), figures(map[string]any{"changes": all})
	switch {
	case len(names) == 0:
		res.Reason = "no member was changed: it takes --faults membership"
	case res.Reason == "":
		res.Validity = check.Valid
	}
	return res
}

// window is a time, both ends included.
type window struct{ from, to time.Duration }

// costOf measures what was done in the windows.
func costOf(name string, in []window, calls []history.Call) cost {
	c := cost{Change: name, Times: len(in)}
	inside := func(at time.Duration) bool {
		return slices.ContainsFunc(in, func(w window) bool { return w.from <= at && at <= w.to })
	}
	var ends, took []time.Duration
	for _, call := range calls {
		if call.Outcome == history.Ok {
			ends = append(ends, call.To)
		}
		if !inside(call.From) {
			continue
		}
		if call.Outcome != history.Ok {
			c.Other++
			continue
		}
		c.Ok++
		took = append(took, call.To-call.From)
	}
	slices.Sort(ends)
	for i := 1; i < len(ends); i++ {
		if inside(ends[i-1]) || inside(ends[i]) {
			c.Gap = max(c.Gap, ends[i]-ends[i-1])
		}
	}
	slices.Sort(took)
	if n := len(took); n > 0 {
		c.P50, c.P99 = took[n/2], took[n*99/100]
	}
	return c
}

// others are the times in which nothing was changed.
func others(windows map[string][]window, calls []history.Call) (free []window) {
	var all []window
	for _, w := range windows {
		all = append(all, w...)
	}
	slices.SortFunc(all, func(a, b window) int { return cmp.Compare(a.from, b.from) })
	var end, at time.Duration
	for _, c := range calls {
		end = max(end, c.From)
	}
	for _, w := range all {
		if w.from > at {
			free = append(free, window{at, w.from - 1})
		}
		at = max(at, w.to+1)
	}
	return append(free, window{at, max(at, end)})
}
