// Package report tells people and machines what came of a run: in the terminal, as a page, as JUnit
// XML for a build server, as JSON for scripts.
//
// [Build] draws everything that is told out of a run's configuration, history and verdict; the
// Write methods only render it. The same input gives the same bytes, so that a report made again
// from a saved run can be compared with the first one. Nothing here judges: the verdict is told as
// it was given.
package report

import (
	"cmp"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// Schema is the version of the form of report.json. Fields are added without changing it; it
// changes when one is removed or means something else. See docs/REPORT_JSON.md.
const Schema = 1

// Run says how a run was made. What is left empty is taken from the header of the history; what is
// not known even there is not shown.
type Run struct {
	// ID is the run's name in the store.
	ID string `json:"id"`
	// Started is when it began, on the clock on the wall.
	Started time.Time `json:"started,omitzero"`
	// System, Workload, Runtime and Faults are what the flags of those names took.
	System   string   `json:"system,omitempty"`
	Workload string   `json:"workload,omitempty"`
	Runtime  string   `json:"runtime,omitempty"`
	Faults   []string `json:"faults,omitempty"`
	// Image is the node image, with its id if known.
	Image string `json:"image,omitempty"`
	// Nodes are the members, by name.
	Nodes []string `json:"nodes,omitempty"`
	// Seed draws the workload's choices and the plan.
	Seed uint64 `json:"seed"`
	// TimeLimit is how long clients worked under faults.
	TimeLimit time.Duration `json:"time_limit_ns,omitempty"`
	// Rate is how many operations a second were asked for; zero if there was no limit.
	Rate float64 `json:"rate_hz,omitempty"`
	// Concurrency is how many clients worked at once.
	Concurrency int `json:"concurrency,omitempty"`
	// Versions tells what took part: "raftcheck", "go", "engine", "kernel".
	Versions map[string]string `json:"versions,omitempty"`
	// Repeat is the command that makes the same plan run again; Recheck judges the history again.
	Repeat  string `json:"repeat,omitempty"`
	Recheck string `json:"recheck,omitempty"`
	// Dir is where the run is kept.
	Dir string `json:"dir,omitempty"`
	// Plan is the schedule that the seed drew, as it was saved.
	Plan json.RawMessage `json:"plan,omitempty"`
}

// Input is all that a report is made of.
type Input struct {
	Run     Run
	History *history.History
	// Verdict and Why are the overall verdict and its reason; Results are its rows.
	Verdict check.Validity
	Why     string
	Results []check.Result
	// Interrupted says that somebody ended the run before its time.
	Interrupted bool
	// Failure is what went wrong with the harness itself, if anything did. It is neither a pass nor
	// proof of anything.
	Failure string
	// Dir is the run directory (node logs under nodes/), or nil.
	Dir fs.FS
}

// Report is what is told of a run. Its exported fields are report.json.
type Report struct {
	Schema int `json:"schema"`
	// Verdict is the overall verdict, and Why says in words what led to it.
	Verdict check.Validity `json:"verdict"`
	Why     string         `json:"why,omitempty"`
	// Failure is what went wrong with the harness itself.
	Failure string `json:"failure,omitempty"`
	// Interrupted says that somebody ended the run before its time, Complete that the history ends
	// as its writer meant it to.
	Interrupted bool `json:"interrupted"`
	Complete    bool `json:"complete"`
	Run         Run  `json:"run"`
	// Properties is the property table: one row for each promise.
	Properties []check.Result `json:"properties"`
	// Missing lists what the run set out to test and did not.
	Missing []string `json:"missing,omitempty"`
	Figures Figures  `json:"figures"`
	// Faults lists each fault of the run in order of its time.
	Faults []Fault `json:"faults"`
	// Leaders lists who led in which term, as far as it was seen.
	Leaders []Leader `json:"leaders,omitempty"`
	// Moments are the parts of the history around the first violations.
	Moments []Moment `json:"moments,omitempty"`

	series series
	logs   []nodeLog
}

// coverage is the name of the checker whose findings say what was not tested.
const coverage = "coverage"

// Build draws a report out of a run. It keeps nothing of the input but its small parts.
func Build(in Input) *Report {
	h := in.History
	if h == nil {
		h = &history.History{}
	}
	r := &Report{
		Schema: Schema, Verdict: in.Verdict, Why: in.Why, Failure: in.Failure,
		Interrupted: in.Interrupted, Complete: h.Complete, Run: in.Run.fill(h.Header),
		Properties: nonNil(in.Results),
	}
	for _, res := range in.Results {
		if res.Checker != coverage || res.Validity == check.Valid {
			continue
		}
		for _, f := range res.Findings {
			r.Missing = append(r.Missing, f.Text)
		}
	}
	calls := pair(h)
	r.Faults = nonNil(faults(h))
	r.Leaders = leaders(h)
	r.Figures = figures(h, calls, r.Faults)
	r.Figures.Terms, r.Figures.LeaderChanges = elections(r.Leaders)
	r.Moments = moments(h, calls, in.Results)
	r.series = newSeries(h, calls)
	r.logs = readLogs(in.Dir, r.Run.Nodes)
	return r
}

// fill takes what is not known from the header of the history, so that a history that came alone
// tells as much as it can.
func (run Run) fill(h history.Header) Run {
	run.ID = orElse(run.ID, h.Run)
	run.System = orElse(run.System, h.System)
	run.Workload = orElse(run.Workload, h.Workload)
	run.Seed = cmp.Or(run.Seed, h.Seed)
	if run.Started.IsZero() {
		run.Started = h.Started
	}
	if len(run.Nodes) == 0 {
		run.Nodes = h.Nodes
	}
	if len(run.Faults) == 0 {
		run.Faults = h.Faults
	}
	if run.Image == "" && len(h.Images) > 0 {
		images := slices.Sorted(maps.Values(h.Images))
		run.Image = strings.Join(slices.Compact(images), ", ")
	}
	if len(run.Versions) == 0 && h.Raftcheck != "" {
		run.Versions = map[string]string{"raftcheck": h.Raftcheck}
	}
	return run
}

// WriteJSON writes report.json.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
