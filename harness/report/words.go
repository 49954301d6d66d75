package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
)

// plain makes s fit for a terminal: ASCII only, on one line, and without anything that a terminal
// would obey. A value that a store gave back is not to be trusted with the screen of a person.
func plain(s string) string {
	s = strings.NewReplacer("→", "->", "…", "...", "–", "-", "×", "x", "’", "'", "≥", ">=",
		"≤", "<=", "·", "-", "\n", " ", "\t", " ").Replace(s)
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			q := strconv.QuoteToASCII(s)
			return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
		}
	}
	return s
}

// wrap breaks s between words into lines of at most width characters; a longer word stands alone.
func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// sentences cuts s where a sentence ends and another one begins, for a line each. A list of what
// happened is read from top to bottom.
func sentences(s string) (all []string) {
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		for at := 0; at+2 < len(line); at++ {
			if strings.HasPrefix(line[at:], ". ") && line[at+2] >= 'A' && line[at+2] <= 'Z' {
				all = append(all, line[:at+1])
				line, at = line[at+2:], 0
			}
		}
		if line != "" {
			all = append(all, line)
		}
	}
	return all
}

// human writes a duration with three figures and a unit that fits.
func human(d time.Duration) string {
	switch abs := max(d, -d); {
	case abs == 0:
		return "0"
	case abs < time.Millisecond:
		return strconv.FormatFloat(float64(d)/1e3, 'f', 0, 64) + " us"
	case abs < 100*time.Millisecond:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 1, 64) + " ms"
	case abs < time.Second:
		return strconv.FormatFloat(float64(d)/1e6, 'f', 0, 64) + " ms"
	case abs < 100*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 2, 64) + " s"
	}
	return d.Round(time.Second).String()
}

// clock writes a moment of the run in seconds.
func clock(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }

// word is the verdict as it stands in the property table: whatever is not as it should be is in
// capitals, so that the eye finds it without colour.
func word(v check.Validity) string {
	switch v {
	case check.Invalid, check.Unknown:
		return strings.ToUpper(v.String())
	case check.NotObservable:
		return "not seen"
	}
	return v.String()
}

// headline is the verdict as a whole, in one word.
func (r *Report) headline() string {
	switch {
	case r.Verdict == check.Invalid:
		return "INVALID"
	case r.Failure != "":
		return "HARNESS FAILURE"
	case r.Verdict == check.Valid:
		return "VALID"
	}
	return "UNKNOWN"
}

// why lists what led to the verdict: a line for each promise that decided it, or what was said of
// the verdict as a whole.
func (r *Report) why() []string {
	if r.Failure != "" && r.Verdict != check.Invalid {
		return []string{r.Failure}
	}
	if r.Verdict == check.Valid {
		return []string{orElse(r.Why,
			"Every promise that could be observed was put to the test and kept.")}
	}
	var all []string
	for _, res := range r.Properties {
		if res.Validity == r.Verdict {
			all = append(all, orElse(res.Property, res.Checker)+": "+orElse(res.Reason, res.Summary))
		}
	}
	if len(all) == 0 && r.Why != "" {
		all = append(all, r.Why)
	}
	return all
}

// about says in one line what was run.
func (r *Report) about() string {
	var parts []string
	if r.Run.Workload != "" {
		parts = append(parts, r.Run.Workload)
	}
	if r.Run.System != "" {
		parts = append(parts, "on "+r.Run.System)
	}
	s := strings.Join(parts, " ")
	for _, p := range []string{
		some(len(r.Run.Nodes), "%d "+plural(len(r.Run.Nodes), "node")),
		some(int(r.Run.TimeLimit/time.Second), "%d s of work under faults"),
		fmt.Sprintf("seed %d", r.Run.Seed),
	} {
		if p != "" && s != "" {
			s += ", "
		}
		s += p
	}
	return s
}

func plural(n int, one string) string {
	if n == 1 {
		return one
	}
	return one + "s"
}

func some(n int, format string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}

// stableByTime sorts s by time and keeps the order of what happened at the same time.
func stableByTime[T any](s []T, at func(T) time.Duration) {
	slices.SortStableFunc(s, func(a, b T) int { return cmp.Compare(at(a), at(b)) })
}

func list(names []string) string { return strings.Join(names, ", ") }

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
