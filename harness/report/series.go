package report

import (
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// buckets is into how many pieces at most a run's time is cut for the charts. It bounds the size of
// the page, whatever the length of the run.
const buckets = 160

// series is what happened in each piece of the run's time.
type series struct {
	width   time.Duration
	buckets []bucket
}

// bucket counts the operations that ended in it, and tells how long those took that succeeded.
type bucket struct {
	ok, fail, info     int
	p50, p95, p99, max time.Duration
}

// newSeries cuts the time from 0 to the end of the history.
func newSeries(h *history.History, calls []call) series {
	end := lastTime(h)
	s := series{width: bucketWidth(end)}
	if end == 0 {
		return s
	}
	s.buckets = make([]bucket, int((end-1)/s.width)+1)
	latencies := make([][]time.Duration, len(s.buckets))
	for _, c := range calls {
		if c.done < 0 {
			continue
		}
		at := min(int(max(c.to, 0)/s.width), len(s.buckets)-1)
		switch b := &s.buckets[at]; c.outcome {
		case history.Ok:
			b.ok++
			latencies[at] = append(latencies[at], c.to-c.from)
		case history.Fail:
			b.fail++
		default:
			b.info++
		}
	}
	for i, ds := range latencies {
		slices.Sort(ds)
		b := &s.buckets[i]
		b.p50, b.p95, b.p99 = quantile(ds, 0.5), quantile(ds, 0.95), quantile(ds, 0.99)
		b.max = quantile(ds, 1)
	}
	return s
}

// bucketWidth is the first round width with which the whole time needs no more than buckets.
func bucketWidth(end time.Duration) time.Duration {
	for unit := 10 * time.Millisecond; ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if end/buckets < n*unit {
				return n * unit
			}
		}
	}
}
