package report

import (
	"encoding/json"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
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
	Headline, Tone, Shape, About string
	Because                      []string
	CSS                          template.CSS
	JS                           template.JS
	Script                       string

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
		pf := pageFinding{Finding: f.Finding, Heading: heading(f.Finding), Sentences: sentences(f.Text),
			MoreRefs: max(len(f.Ops)-pageRefs, 0)}
		if m := r.momentOf(f); m != nil {
			pf.Moment = newPageMoment(r, m, fmt.Sprintf("m%d", i))
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
