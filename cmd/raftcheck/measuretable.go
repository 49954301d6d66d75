package main

import (
	_ "embed"
	"fmt"
	"io"
	"runtime"
	"time"
)

// faultsIntro stands before the tables of docs/FAULTS.md.
//
//go:embed faults.md
var faultsIntro string

// writeTables writes what was measured as a page in Markdown.
func writeTables(
	w io.Writer, all []measurement, times int, budget time.Duration, kernel, load string,
) {
	fmt.Fprintf(w, "<!-- Made by `raftcheck doctor --measure %d --markdown`. Do not edit; the text "+
		"is in cmd/raftcheck/faults.md. -->\n\n%s\n", times, faultsIntro)
	fmt.Fprintf(w, "## Measured\n\nOn %d processors, kernel %s, %s/%s, on %s. Median of %d; of fewer "+
		"where that would\nhave taken more than %v, see *tries*. The load average of the machine "+
		"was %s: other work took its\nshare of the processors.\n\n", runtime.NumCPU(), kernel,
		runtime.GOOS, runtime.GOARCH, time.Now().UTC().Format(time.DateOnly), times, budget, load)
	writeSteps(w, all)
	writeFaults(w, all)
}

// writeSteps writes a row for each step, and a column for each runtime.
func writeSteps(w io.Writer, all []measurement) {
	fmt.Fprintf(w, "### What faults are made of\n\n| step | prototype |")
	for _, m := range all {
		fmt.Fprintf(w, " %s |", m.runtime)
	}
	fmt.Fprint(w, "\n|---|---|")
	for range all {
		fmt.Fprint(w, "---:|")
	}
	fmt.Fprintf(w, "\n| boot of five nodes (median of %d) | local 0.06–0.29 s, Docker 2.9 s |",
		bootTimes)
	for _, m := range all {
		fmt.Fprintf(w, " %s |", short(m.boot.median()))
	}
	fmt.Fprintln(w)
	for i := range all[0].steps {
		fmt.Fprintf(w, "| %s | %s |", all[0].steps[i].name, all[0].steps[i].prototype)
		for _, m := range all {
			switch {
			case i >= len(m.steps):
				fmt.Fprint(w, " |")
			case m.steps[i].err != nil:
				fmt.Fprintf(w, " not here: %s |", oneLine(m.steps[i].err.Error()))
			default:
				fmt.Fprintf(w, " %s |", short(m.steps[i].took.median()))
			}
		}
		fmt.Fprintln(w)
	}
	if len(all) == 2 && all[1].boot.median() > 0 {
		fmt.Fprintf(w, "\nFive nodes boot %.0f times as fast on `%s` as on `%s`.\n",
			float64(all[0].boot.median())/float64(all[1].boot.median()), all[1].runtime,
			all[0].runtime)
	}
	fmt.Fprintln(w)
}

// writeFaults writes a row for each fault on each runtime.
func writeFaults(w io.Writer, all []measurement) {
	fmt.Fprint(w, "### Every fault on every runtime\n\nThe times hold the wait for the evidence: a "+
		"cut, say, is in force at once, and counts as\ninstalled when a packet was dropped. A heal "+
		"that starts nodes again holds their start.\n\n"+
		"| fault | runtime | outcome | tries | apply | heal | evidence, of the last |\n"+
		"|---|---|---|---:|---:|---:|---|\n")
	for i := range all[0].faults {
		for _, m := range all {
			if i >= len(m.faults) {
				continue
			}
			f := m.faults[i]
			evidence := ""
			if f.evidence != "" {
				evidence = "`" + oneLine(f.evidence) + "`"
			}
			fmt.Fprintf(w, "| %s | %s | %s | %d | %s | %s | %s |\n", f.Name(), m.runtime, f.outcome(),
				len(f.apply), short(f.apply.median()), short(f.heal.median()), evidence)
		}
	}
}

// short is a duration with three digits; nothing for none.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
