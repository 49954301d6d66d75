package report

import (
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/harness/history"
)

// pageMoment is the time line around the violation.
type pageMoment struct {
	*Moment
	ID string // unique in the page
	// Whole and WholeSpan are all that there is, A and Span what is shown at first.
	Whole, WholeSpan int64
	A, Span          int64

	Ticks  []tick
	Faults [][]bar
	Leads  [][]bar
	Lanes  []processLane
	Keys   []string
	Window string
}

// processLane is what one process did.
type processLane struct {
	Process string
	Ops     []opBar
	// Other says that none of them is about the key of the violation.
	Other bool
}

// opBar is an operation on the time line.
type opBar struct {
	Call
	A, B int64
	// N is where the next operation of the lane begins: the label may go on until there.
	N      int64
	Hint   string
	Other  bool
	Shape  string
	Symbol string
	At     string // the node, where the lane does not tell
}

func newPageMoment(r *Report, m *Moment, id string) *pageMoment {
	from, to := m.focus()
	p := &pageMoment{
		Moment: m, ID: id,
		Whole: micros(m.From), WholeSpan: max(micros(m.To-m.From), 1),
		A: micros(from), Span: max(micros(to-from), 1), Ticks: ticks(from, to),
		Window: fmt.Sprintf("%s s to %s s", clock(from), clock(to)),
	}
	var bars, leads []bar
	for _, f := range r.Faults {
		if f.Outcome != Skipped && f.From <= m.To && f.To >= m.From && len(bars) < pageFaults {
			bars = append(bars, faultBar(f))
		}
	}
	for _, l := range r.Leaders {
		if l.From <= m.To && l.To >= m.From {
			leads = append(leads, bar{
				A: micros(l.From), B: micros(l.To), Class: "leads",
				Text: fmt.Sprintf("%s leads, term %d", l.Node, l.Term),
				Hint: fmt.Sprintf("%s leads in term %d, from %s s to %s s", l.Node, l.Term,
					clock(l.From), clock(l.To)),
			})
		}
	}
	p.Faults, p.Leads = pack(bars), pack(leads)
	p.lanes(m)
	return p
}

func (p *pageMoment) lanes(m *Moment) {
	at := map[history.Process]int{}
	for _, c := range m.Calls {
		i, ok := at[c.Process]
		if !ok {
			i = len(p.Lanes)
			at[c.Process] = i
			p.Lanes = append(p.Lanes, processLane{Process: c.Process.String(), Other: true})
		}
		o := newOpBar(c, m.Key)
		p.Lanes[i].Ops = append(p.Lanes[i].Ops, o)
		p.Lanes[i].Other = p.Lanes[i].Other && o.Other
		if c.Key != "" && !slices.Contains(p.Keys, c.Key) {
			p.Keys = append(p.Keys, c.Key)
		}
	}
	slices.Sort(p.Keys)
	for i := range p.Lanes {
		p.Lanes[i].finish(p.Whole + 2*p.WholeSpan)
	}
	slices.SortStableFunc(p.Lanes, func(a, b processLane) int {
		return compareProcess(a.Ops[0].Process, b.Ops[0].Process)
	})
}

// finish names the lane by its process and the node that this asked, and gives the operations that
// are shown at first room for their labels. An operation on another node says so itself.
func (l *processLane) finish(end int64) {
	first := slices.IndexFunc(l.Ops, func(o opBar) bool { return !o.Other })
	node := l.Ops[max(first, 0)].Node
	for i := len(l.Ops) - 1; i >= 0; i-- {
		o := &l.Ops[i]
		if o.Node != node {
			o.At = o.Node
		}
		o.N = max(end, o.B, o.A+1)
		if !o.Other {
			end = o.A
		}
	}
	if node != "" {
		l.Process += " on " + node
	}
}

func compareProcess(a, b history.Process) int { return int(min(max(a-b, -1), 1)) }

func newOpBar(c Call, key string) opBar {
	o := opBar{Call: c, A: micros(c.From), B: micros(c.To), Shape: c.Outcome.String()}
	o.Other = key != "" && c.Key != key && !c.Evidence
	switch c.Outcome {
	case history.Fail:
		o.Symbol = "×"
	case history.Info:
		o.Symbol = "?"
	}
	o.Hint = fmt.Sprintf("process %s on %s: %s %s, %s", c.Process, orElse(c.Node, "some node"),
		c.Key, c.Text, c.Outcome)
	if c.Done < 0 {
		o.Hint += fmt.Sprintf(", from %s s, never ended (operation %d)", clock(c.From), c.Index)
	} else {
		o.Hint += fmt.Sprintf(", from %s s to %s s, %s (operations %d, %d)", clock(c.From),
			clock(c.To), human(c.To-c.From), c.Index, c.Done)
	}
	if c.Error != "" {
		o.Hint += ": " + c.Error
	}
	return o
}
