package report

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Figures are what can be counted in a history.
type Figures struct {
	// Duration is from the start of the run to the last thing in the history.
	Duration time.Duration `json:"duration_ns"`
	// Total counts all client operations, Functions those of each function, by name.
	Total     Count   `json:"total"`
	Functions []Count `json:"functions"`
	// Rate is how many operations a second ended in ok, from the first invocation to the last
	// completion.
	Rate float64 `json:"ok_per_s"`
	// Unavailable is the longest time in which operations were asked for and none succeeded.
	Unavailable Span `json:"unavailable"`
	// Faults counts the faults by name; Terms and LeaderChanges what was seen of elections.
	Faults        []FaultCount `json:"faults"`
	Terms         int          `json:"terms"`
	LeaderChanges int          `json:"leader_changes"`
}

// Count says how the operations of a function ended, and how long those took that succeeded.
type Count struct {
	Function string `json:"function,omitempty"`
	Ok       int    `json:"ok"`
	Fail     int    `json:"fail"`
	Info     int    `json:"info"`
	// The quantiles are of the latency of operations that ended in ok; zero if none did.
	P50 time.Duration `json:"p50_ns"`
	P95 time.Duration `json:"p95_ns"`
	P99 time.Duration `json:"p99_ns"`
	Max time.Duration `json:"max_ns"`
}

// All is how many operations there were.
func (c Count) All() int { return c.Ok + c.Fail + c.Info }

// Span is a piece of the run's time.
type Span struct {
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

// Length is how long the span lasts.
func (s Span) Length() time.Duration { return s.To - s.From }

func figures(h *history.History, calls []call, fs []Fault) Figures {
	f := Figures{Duration: lastTime(h), Functions: []Count{}, Faults: countFaults(fs)}
	latencies := map[string][]time.Duration{}
	counts := map[string]*Count{}
	var all []time.Duration
	for _, c := range calls {
		name := h.Ops[c.invoke].F
		n := counts[name]
		if n == nil {
			n = &Count{Function: name}
			counts[name] = n
		}
		n.add(c.outcome)
		f.Total.add(c.outcome)
		if c.outcome == history.Ok {
			latencies[name] = append(latencies[name], c.to-c.from)
			all = append(all, c.to-c.from)
		}
	}
	for name, n := range counts {
		n.quantiles(latencies[name])
		f.Functions = append(f.Functions, *n)
	}
	slices.SortFunc(f.Functions, func(a, b Count) int {
		return strings.Compare(a.Function, b.Function)
	})
	f.Total.quantiles(all)
	f.Rate = okRate(calls, f.Total.Ok)
	f.Unavailable = unavailable(calls)
	return f
}

func (c *Count) add(outcome history.Type) {
	switch outcome {
	case history.Ok:
		c.Ok++
	case history.Fail:
		c.Fail++
	default:
		c.Info++
	}
}

func (c *Count) quantiles(ds []time.Duration) {
	slices.Sort(ds)
	c.P50, c.P95, c.P99 = quantile(ds, 0.50), quantile(ds, 0.95), quantile(ds, 0.99)
	c.Max = quantile(ds, 1)
}

// quantile is the smallest value that is not exceeded by the share q of the sorted ds. It is one
// of them, never a mean of two.
func quantile(ds []time.Duration, q float64) time.Duration {
	if len(ds) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(ds))))
	return ds[min(max(rank, 1), len(ds))-1]
}

func okRate(calls []call, ok int) float64 {
	if len(calls) == 0 {
		return 0
	}
	from, to := calls[0].from, calls[0].to
	for _, c := range calls {
		from = min(from, c.from)
		if c.done >= 0 {
			to = max(to, c.to)
		}
	}
	if to <= from {
		return 0
	}
	return math.Round(float64(ok)/(to-from).Seconds()*100) / 100
}

// unavailable finds the longest time without a success while there was demand: it begins with the
// last success, or if nothing was under way then, with the first invocation after it, and ends with
// the next success, or with the end of the last operation.
func unavailable(calls []call) (longest Span) {
	type edge struct {
		at    time.Duration
		delta int // +1 begins, -1 ends
		ok    bool
	}
	edges := make([]edge, 0, 2*len(calls))
	for _, c := range calls {
		edges = append(edges, edge{at: c.from, delta: +1},
			edge{at: c.to, delta: -1, ok: c.outcome == history.Ok})
	}
	slices.SortStableFunc(edges, func(a, b edge) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return b.delta - a.delta // a call that takes no time begins before it ends
	})
	open, waiting := 0, false
	var since time.Duration
	for i, e := range edges {
		open += e.delta
		if e.delta > 0 && !waiting {
			since, waiting = e.at, true
		}
		if !e.ok && i < len(edges)-1 {
			continue
		}
		if s := (Span{since, e.at}); waiting && s.Length() > longest.Length() {
			longest = s
		}
		since, waiting = e.at, open > 0
	}
	return longest
}
