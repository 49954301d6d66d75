package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// tick is a mark on a time axis.
type tick struct {
	At    int64
	Label string
}

// ticks marks round times between from and to, some six of them.
func ticks(from, to time.Duration) []tick {
	if to <= from {
		return nil
	}
	step := roundUp((to - from) / 7)
	first := from / step * step
	if first < from {
		first += step
	}
	var ts []tick
	// A mark at the very end would have no room for its label. There are no more than eight; the
	// bound is for times at the end of what can be counted.
	for at := first; at >= from && at <= to-(to-from)/30 && len(ts) < 8; at += step {
		label := fmt.Sprintf("%.*f s", decimals(step), at.Seconds())
		ts = append(ts, tick{micros(at), label})
	}
	return ts
}

// roundUp is the next of 1, 2, 5, 10, 20 … units.
func roundUp(d time.Duration) time.Duration {
	for unit := time.Microsecond; unit <= math.MaxInt64/10; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if d <= n*unit {
				return n * unit
			}
		}
	}
	return math.MaxInt64
}

func decimals(step time.Duration) int {
	n := 0
	for unit := time.Second; unit > step && n < 6; unit /= 10 {
		n++
	}
	return n
}

// faultText names a fault in a few words.
func faultText(f Fault) string {
	s := f.Name
	if len(f.Nodes) > 0 {
		s += " " + strings.Join(f.Nodes, " ")
	}
	if f.Outcome != Installed {
		s += " (" + f.Outcome + ")"
	}
	return s
}

// bar is something that lasts, drawn on a time axis.
type bar struct {
	A, B       int64
	Text, Hint string
	Class      string
}

func faultBar(f Fault) bar {
	b := bar{A: micros(f.From), B: micros(f.To), Text: faultText(f), Class: "fault"}
	if f.Outcome == Indeterminate {
		b.Class += " vague"
	}
	b.Hint = fmt.Sprintf("%s, from %s s to %s s", b.Text, clock(f.From), clock(f.To))
	if f.Target != "" {
		b.Hint += ", aimed at: " + f.Target
	}
	if !f.Healed {
		b.Hint += ", not healed"
	}
	if f.Reason != "" {
		b.Hint += "; " + f.Reason
	}
	return b
}

// pack puts bars into as few rows as possible without overlap.
func pack(bars []bar) (rows [][]bar) {
	for _, b := range bars {
		fits := func(row []bar) bool { return row[len(row)-1].B <= b.A }
		if i := slices.IndexFunc(rows, fits); i >= 0 {
			rows[i] = append(rows[i], b)
			continue
		}
		rows = append(rows, []bar{b})
	}
	return rows
}

// nodeLane is what happened on one node over the whole run.
type nodeLane struct {
	Node   string
	Leads  []bar
	Faults [][]bar
}

func nodeLanes(r *Report) (lanes []nodeLane) {
	for _, n := range r.Run.Nodes {
		l := nodeLane{Node: n}
		for _, x := range r.Leaders {
			if x.Node == n {
				l.Leads = append(l.Leads, bar{
					A: micros(x.From), B: micros(x.To), Text: fmt.Sprintf("t%d", x.Term),
					Hint: fmt.Sprintf("%s leads in term %d, from %s s to %s s", n, x.Term,
						clock(x.From), clock(x.To)),
					Class: "leads",
				})
			}
		}
		var bars []bar
		for _, f := range r.Faults[:min(len(r.Faults), pageFaults)] {
			if f.Outcome != Skipped && slices.Contains(f.Nodes, n) {
				b := faultBar(f)
				b.Text = f.Name
				bars = append(bars, b)
			}
		}
		l.Faults = pack(bars)
		lanes = append(lanes, l)
	}
	return lanes
}
