package report

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/raftcheck/raftcheck/harness/check"
)

// Options say how text is written.
type Options struct {
	// Color marks verdicts with ANSI colours. The words say the same without.
	Color bool
	// Brief leaves the property table, the most telling finding, the verdict and where the report
	// is: what the end of a run shows.
	Brief bool
	// Timeline adds the operations around a violation.
	Timeline bool
	// All shows all findings, not only the first few.
	All bool
}

// textFindings is how many findings are shown where not all are asked for.
const textFindings = 3

// width is how long a line may get; a value or a path may make it longer.
const width = 96

// text writes lines; the first error stays with its writer.
type text struct {
	w     *bufio.Writer
	color bool
}

// WriteText writes the report for a terminal: plain ASCII, and nothing of the run's values that a
// terminal would obey.
func (r *Report) WriteText(w io.Writer, opt Options) error {
	t := &text{bufio.NewWriter(w), opt.Color}
	if !opt.Brief {
		t.line(t.paint(r.headline(), r.headline()) + "  " + plain(r.about()))
		t.line("")
	}
	t.table(r.Properties)
	t.findings(r, opt)
	if !opt.Brief {
		t.missing(r.Missing)
	}
	if !opt.Brief {
		t.figures(&r.Figures)
		t.leaders(r.Leaders)
	}
	t.end(r)
	return t.w.Flush()
}

// line writes one line, which is already plain. What goes wrong is told by Flush.
func (t *text) line(s string) { _, _ = t.w.WriteString(strings.TrimRight(s, " ") + "\n") }

func (t *text) linef(format string, args ...any) { t.line(fmt.Sprintf(format, args...)) }

// para writes s with an indent, wrapped.
func (t *text) para(indent, s string) {
	for _, l := range wrap(plain(s), width-len(indent)) {
		t.line(indent + l)
	}
}

// paint colours s as what says: a verdict's word.
func (t *text) paint(what, s string) string {
	if !t.color {
		return s
	}
	switch what {
	case "VALID", "valid":
		return "\x1b[32m" + s + "\x1b[0m"
	case "INVALID":
		return "\x1b[1;31m" + s + "\x1b[0m"
	case "UNKNOWN", "HARNESS FAILURE":
		return "\x1b[1;33m" + s + "\x1b[0m"
	}
	return "\x1b[2m" + s + "\x1b[0m"
}

// promiseWidth is how wide the second column of the table may get; the third needs room, too.
const promiseWidth = 44

func (t *text) table(rows []check.Result) {
	if len(rows) == 0 {
		t.line("  No promise was judged.")
		return
	}
	wide := len("promise")
	for _, row := range rows {
		wide = max(wide, min(len(plain(row.Property)), promiseWidth))
	}
	t.linef("  %-8s  %-*s  %s", "verdict", wide, "promise", "how it was judged")
	for _, row := range rows {
		note := row.Summary
		if row.Validity != check.Valid && row.Reason != "" {
			note = row.Reason
		}
		v := word(row.Validity)
		verdict := t.paint(v, fmt.Sprintf("%-8s", v))
		promise := wrap(plain(row.Property), wide)
		judged := wrap(plain(note), width-14-wide)
		for i := range max(len(promise), len(judged), 1) {
			t.linef("  %s  %-*s  %s", verdict, wide, at(promise, i), at(judged, i))
			verdict = strings.Repeat(" ", 8)
		}
	}
}

// at is the line at position i, or an empty one.
func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func (t *text) findings(r *Report, opt Options) {
	fs := r.findings()
	shown := min(textFindings, len(fs))
	if opt.Brief {
		shown = min(1, shown)
	}
	if opt.All {
		shown = len(fs)
	}
	for _, f := range fs[:shown] {
		t.finding(f.Finding)
		if m := r.momentOf(f); m != nil && opt.Timeline {
			t.moment(m, r.Faults)
		}
	}
	if more := len(fs) - shown; more > 0 {
		t.line("")
		t.linef("  and %d more", more)
	}
}

func (t *text) finding(f check.Finding) {
	t.line("")
	at := ""
	if f.Time > 0 {
		at = " at " + clock(f.Time) + " s"
	}
	t.line("  " + plain(heading(f)) + at)
	for _, s := range sentences(f.Text) {
		t.para("    ", s)
	}
	if len(f.Ops) > 0 {
		t.para("    ", "operations "+numbers(f.Ops))
	}
}

// numbers lists the first few of ns.
func numbers(ns []int64) string {
	const most = 12
	var b strings.Builder
	for i, n := range ns[:min(most, len(ns))] {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, n)
	}
	if len(ns) > most {
		fmt.Fprintf(&b, " and %d more", len(ns)-most)
	}
	return b.String()
}

func (t *text) missing(missing []string) {
	if len(missing) == 0 {
		return
	}
	t.line("")
	t.line("  What was not tested")
	for _, m := range missing {
		t.para("    ", "- "+m)
	}
}

// end says what the verdict is and what to do next. It comes last, since that is where the eye of
// someone at a terminal is.
func (t *text) end(r *Report) {
	t.line("")
	for _, c := range []struct{ what, command string }{
		{"plan again ", r.Run.Repeat}, {"judge again", r.Run.Recheck},
	} {
		if c.command != "" {
			t.linef("  %s  %s", c.what, plain(c.command))
		}
	}
	if r.Run.Dir != "" {
		t.linef("  report       %s", plain(filepath.Join(r.Run.Dir, "report.html")))
	}
	if r.Interrupted {
		t.line("  The run was interrupted; what there is has been judged.")
	}
	if !r.Complete {
		t.line("  The history is cut short; operations open at its end may or may not have happened.")
	}
	indent := "  " + t.paint(r.headline(), r.headline()) + "  "
	for _, why := range r.why() {
		for _, l := range wrap(plain(why), width-len(r.headline())-4) {
			t.line(indent + l)
			indent = strings.Repeat(" ", len(r.headline())+4)
		}
	}
	if len(r.why()) == 0 {
		t.line(indent)
	}
}
