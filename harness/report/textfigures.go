package report

import (
	"fmt"
	"time"
)

func (t *text) figures(f *Figures) {
	t.line("")
	t.linef("  %-12s %8s %8s %8s %10s %10s %10s %10s",
		"operations", "ok", "fail", "info", "p50", "p95", "p99", "max")
	for _, c := range append(f.Functions[:len(f.Functions):len(f.Functions)], f.Total) {
		name := orElse(c.Function, "all")
		t.linef("  %-12s %8d %8d %8d %10s %10s %10s %10s", plain(name), c.Ok, c.Fail, c.Info,
			human(c.P50), human(c.P95), human(c.P99), human(c.Max))
	}
	t.linef("  %.1f ok a second; %s in all", f.Rate, human(f.Duration))
	if u := f.Unavailable; u.Length() > 0 {
		t.linef("  longest time without a success: %s, from %s s", human(u.Length()), clock(u.From))
	}
	if len(f.Faults) == 0 {
		t.line("  no faults were injected")
		return
	}
	t.line("")
	t.linef("  %-24s %10s %8s %14s %10s", "faults", "installed", "skipped", "indeterminate",
		"in force")
	for _, c := range f.Faults {
		t.linef("  %-24s %10d %8d %14d %10s", plain(c.Name), c.Installed, c.Skipped,
			c.Indeterminate, human(c.Total))
	}
}

func (t *text) leaders(ls []Leader) {
	if len(ls) == 0 {
		return
	}
	const most = 12
	var parts []string
	for _, l := range ls[:min(most, len(ls))] {
		parts = append(parts, fmt.Sprintf("%s in term %d from %s s", l.Node, l.Term, clock(l.From)))
	}
	more := ""
	if len(ls) > most {
		more = fmt.Sprintf(" and %d more", len(ls)-most)
	}
	t.line("")
	t.para("  ", fmt.Sprintf("leaders seen: %d; %s%s", len(ls), list(parts), more))
}

// moment writes the operations around the violation in the order in which they began, with the
// faults between them. A mark stands before those that prove it.
func (t *text) moment(m *Moment, faults []Fault) {
	t.line("")
	what := "all keys"
	if m.Key != "" {
		what = "key " + plain(m.Key)
	}
	t.linef("  What happened on %s from %s s to %s s (> is evidence)", what, clock(m.From),
		clock(m.To))
	t.linef("  %10s %10s  %-7s %-5s %-28s %s", "from", "to", "process", "node", "operation",
		"outcome")
	type event struct {
		at   time.Duration
		line string
	}
	var events []event
	for _, f := range faults {
		if f.To < m.From || f.From > m.To || f.Outcome == Skipped {
			continue
		}
		events = append(events, event{f.From, faultLine(f)})
	}
	others := m.Cut
	for _, c := range m.Calls {
		if m.Key != "" && c.Key != m.Key && !c.Evidence {
			others++
			continue
		}
		events = append(events, event{c.From, callLine(c, m.Key == "")})
	}
	stableByTime(events, func(e event) time.Duration { return e.at })
	for _, e := range events {
		t.line(e.line)
	}
	if others > 0 {
		t.linef("    and %d other operations in this time", others)
	}
}

func faultLine(f Fault) string {
	end := clock(f.To)
	if !f.Healed {
		end = "not healed"
	}
	return plain(fmt.Sprintf("  %10s %10s  %-7s %-5s %s %s", clock(f.From), end, "nemesis", "",
		f.Name, list(f.Nodes)))
}

func callLine(c Call, withKey bool) string {
	mark, end := " ", clock(c.To)
	if c.Evidence {
		mark = ">"
	}
	if c.Done < 0 {
		end = "open"
	}
	what := c.Text
	if withKey && c.Key != "" {
		what = c.Key + " " + what
	}
	s := fmt.Sprintf("%s %10s %10s  %-7s %-5s %-28s %s", mark, clock(c.From), end, c.Process, c.Node,
		what, c.Outcome)
	if c.Error != "" {
		s += ": " + c.Error
	}
	return plain(s)
}
