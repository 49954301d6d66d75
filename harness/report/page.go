package report

import (
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// Limits on what the page shows, so that it stays small whatever the length of the run. What is
// left out is said, and is in report.json.
const (
	pageFindings = 40
	pageRefs     = 12
	pageFaults   = 300
	pagePlan     = 128 << 10
)

// page is what the template is executed on. Times in it are whole microseconds, for the style
// sheet to reckon with.
type page struct {
	*Report
	Headline, Tone, Shape, Because, About string
	CSS                                   template.CSS
	JS                                    template.JS
	Script                                string

	Rows     []pageRow
	Findings []pageFinding
	More     int // findings that are not shown
	Charts   *charts
	Nodes    []nodeLane
	Broken   [][]bar // the faults of the whole run
	Marks    []int64 // where the violations are
	Span     int64   // of the whole run, in microseconds
	Ticks    []tick
	FaultCut int
	Logs     []nodeLog
	Plan     string
	Facts    []fact
}

type fact struct{ Name, Value string }

type pageRow struct {
	check.Result
	Tone, Mark, Word, Note string
}

type pageFinding struct {
	check.Finding
	Heading   string
	Sentences []string
	Refs      []ref
	MoreRefs  int
	Moment    *pageMoment
}

// ref points to an operation; Href is empty where the page does not show it.
type ref struct {
	Index int64
	Href  string
}

func newPage(r *Report) *page {
	p := &page{
		Report: r, Headline: r.headline(), Because: r.why(), About: r.about(),
		CSS: template.CSS(pageCSS), JS: template.JS(pageJS), Script: scriptHash(),
		Span: max(micros(r.Figures.Duration), 1), Logs: r.logs,
	}
	p.Tone, p.Shape = tone(r.Verdict)
	if r.Failure != "" && r.Verdict != check.Invalid {
		p.Tone, p.Shape = tone(check.Unknown)
	}
	for _, res := range r.Properties {
		row := pageRow{Result: res, Word: word(res.Validity), Note: res.Summary}
		row.Tone, row.Mark = tone(res.Validity)
		if res.Validity != check.Valid && res.Reason != "" {
			row.Note = res.Reason
		}
		p.Rows = append(p.Rows, row)
	}
	p.Ticks = ticks(0, r.Figures.Duration)
	p.findings(r)
	p.Charts = newCharts(r)
	p.Nodes = nodeLanes(r)
	for i := range r.Moments {
		from, to := r.Moments[i].Evidence()
		p.Marks = append(p.Marks, micros((from+to)/2))
	}
	var bars []bar
	for _, f := range p.ShownFaults() {
		if f.Outcome != Skipped {
			bars = append(bars, faultBar(f))
		}
	}
	p.Broken = pack(bars)
	p.FaultCut = max(len(r.Faults)-pageFaults, 0)
	p.Plan = planText(r.Run.Plan)
	p.Facts = facts(r)
	return p
}

// ShownFaults are the faults that the page lists.
func (p *page) ShownFaults() []Fault { return p.Faults[:min(len(p.Faults), pageFaults)] }

// tone is a verdict as a class of the style sheet, and a shape that tells it without colour.
func tone(v check.Validity) (class, mark string) {
	switch v {
	case check.Valid:
		return "valid", "✓"
	case check.Invalid:
		return "invalid", "✗"
	case check.NotObservable:
		return "unseen", "–"
	}
	return "unknown", "?"
}

func (p *page) findings(r *Report) {
	fs := r.findings()
	p.More = max(len(fs)-pageFindings, 0)
	for i, f := range fs[:min(len(fs), pageFindings)] {
		pf := pageFinding{Finding: f, Heading: heading(f), Sentences: sentences(f.Text),
			MoreRefs: max(len(f.Ops)-pageRefs, 0)}
		if i < len(r.Moments) {
			pf.Moment = newPageMoment(r, i)
		}
		for _, op := range f.Ops[:min(len(f.Ops), pageRefs)] {
			pf.Refs = append(pf.Refs, ref{op, pf.Moment.href(op)})
		}
		p.Findings = append(p.Findings, pf)
	}
}

// href is where the operation that begins or ends at index is drawn, or empty.
func (p *pageMoment) href(index int64) string {
	if p == nil {
		return ""
	}
	for _, c := range p.Calls {
		if c.Index == index || c.Done == index {
			return fmt.Sprintf("#%s-op-%d", p.ID, c.Index)
		}
	}
	return ""
}

func planText(plan json.RawMessage) string {
	if len(plan) == 0 || len(plan) > pagePlan {
		return ""
	}
	var v any
	if json.Unmarshal(plan, &v) != nil {
		return string(plan)
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return string(plan)
	}
	return string(b)
}

func facts(r *Report) []fact {
	started := ""
	if !r.Run.Started.IsZero() {
		started = r.Run.Started.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	all := []fact{
		{"run", r.Run.ID}, {"began", started}, {"system", r.Run.System},
		{"image", r.Run.Image}, {"runtime", r.Run.Runtime}, {"workload", r.Run.Workload},
		{"faults", strings.Join(r.Run.Faults, ", ")}, {"nodes", strings.Join(r.Run.Nodes, ", ")},
		{"seed", fmt.Sprint(r.Run.Seed)}, {"time limit", orEmpty(r.Run.TimeLimit)},
		{"rate", some(int(r.Run.Rate), "%d operations a second")},
		{"concurrency", some(r.Run.Concurrency, "%d clients")}, {"kept in", r.Run.Dir},
	}
	for _, name := range sortedKeys(r.Run.Versions) {
		all = append(all, fact{name, r.Run.Versions[name]})
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

func orEmpty(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return human(d)
}

func micros(d time.Duration) int64 { return d.Microseconds() }

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
	var ts []tick
	// A mark at the very end would have no room for its label.
	for at := (from + step - 1) / step * step; at <= to-(to-from)/30; at += step {
		label := fmt.Sprintf("%.*f s", decimals(step), at.Seconds())
		ts = append(ts, tick{micros(at), label})
	}
	return ts
}

// roundUp is the next of 1, 2, 5, 10, 20 … units.
func roundUp(d time.Duration) time.Duration {
	for unit := time.Microsecond; ; unit *= 10 {
		for _, n := range []time.Duration{1, 2, 5} {
			if d <= n*unit {
				return n * unit
			}
		}
	}
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

// pageMoment is the time line around the violation.
type pageMoment struct {
	*Moment
	ID      string // unique in the page
	A, Span int64
	Ticks   []tick
	Faults  [][]bar
	Leads   [][]bar
	Lanes   []processLane
	Keys    []string
	Window  string
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
}

func newPageMoment(r *Report, i int) *pageMoment {
	m := &r.Moments[i]
	p := &pageMoment{
		Moment: m, ID: fmt.Sprintf("m%d", i), A: micros(m.From), Span: max(micros(m.To-m.From), 1),
		Ticks:  ticks(m.From, m.To),
		Window: fmt.Sprintf("%s s to %s s", clock(m.From), clock(m.To)),
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
		p.Lanes[i].finish(p.A + 2*p.Span)
	}
	slices.SortStableFunc(p.Lanes, func(a, b processLane) int {
		return compareProcess(a.Ops[0].Process, b.Ops[0].Process)
	})
}

// finish names the lane, and gives the operations that are shown at first room for their labels.
func (l *processLane) finish(end int64) {
	node := l.Ops[0].Node
	for i := len(l.Ops) - 1; i >= 0; i-- {
		o := &l.Ops[i]
		if o.Node != node {
			node = ""
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
