package workloads

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// watchChecker holds what watchers were told against each other and against the writes. Each change
// has a version of its own, so that all that any watcher was told and all that any write was
// answered make one sequence; a watcher must have been told a part of it without a gap, from the
// version that it named on. How soon it is told is not judged, but a change that nobody was told of
// in the end makes it Unknown.
type watchChecker struct{}

// Name implements [check.Checker].
func (watchChecker) Name() string { return "watch" }

// stream is what one watcher was told.
type stream struct {
	watching
	call history.Call
	op   *history.Op
}

// written is a write.
type written struct {
	call    history.Call
	op      *history.Op
	version uint64 // 0 if it was not answered
}

// watchJudge collects what is wrong.
type watchJudge struct {
	streams  []*stream
	reads    []*stream           // of one event each
	byValue  map[string]*written // by key, a line feed and value
	writes   []*written
	at       map[uint64]event // by version, what is known of it
	classes  map[string]int
	findings []check.Finding
	events   int
}

func (j *watchJudge) found(class string, s *stream, key, format string, args ...any) {
	if j.classes[class]++; j.classes[class] <= maxFindings {
		j.findings = append(j.findings, check.Finding{Class: class, Key: key, Node: s.op.Node,
			Time: s.call.From, Ops: []int64{s.op.Index}, Text: fmt.Sprintf(format, args...)})
	}
}

// Check implements [check.Checker].
func (watchChecker) Check(_ context.Context, in *check.Input) check.Result {
	res := check.Result{Property: "every watcher sees every change once, in order"}
	calls, err := in.History.Calls()
	j := &watchJudge{byValue: map[string]*written{}, at: map[uint64]event{},
		classes: map[string]int{}}
	if err == nil {
		err = j.decode(in.History, calls)
	}
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	for _, s := range j.streams {
		j.told(s)
	}
	for _, s := range j.reads {
		j.read(s)
	}
	versions := make([]uint64, 0, len(j.at))
	for v := range j.at {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	newest := uint64(0)
	for _, s := range j.streams {
		j.gaps(s, versions)
		if n := len(s.Events); n > 0 {
			newest = max(newest, s.Events[n-1].version)
		}
	}
	j.inTime()
	late := 0
	for _, w := range j.writes {
		if w.version > newest {
			late++
		}
	}
	res.Summary = fmt.Sprintf("%d watchers were told %d events of %d writes", len(j.streams), j.events,
		len(j.writes))
	res.Details = figures(map[string]any{"watchers": len(j.streams), "events": j.events,
		"writes": len(j.writes), "never_told": late, "violations": j.classes})
	res.Findings = j.findings
	switch {
	case len(j.findings) > 0:
		res.Validity, res.Reason = check.Invalid, classCounts(j.classes)
	case j.events == 0:
		res.Reason = "no watcher was told anything"
	case late > 0:
		res.Reason = fmt.Sprintf("nobody was told of the last %d writes", late)
	default:
		res.Validity = check.Valid
	}
	return res
}

func (j *watchJudge) decode(h *history.History, calls []history.Call) error {
	for _, c := range calls {
		op := &h.Ops[c.Invoke]
		switch op.F {
		case "write":
			w := &written{call: c, op: op}
			name := op.Key + "\n" + string(op.Value)
			if j.byValue[name] != nil {
				return fmt.Errorf("operation %d: %s is written a second time", op.Index, op.Value)
			}
			j.byValue[name], j.writes = w, append(j.writes, w)
			if c.Outcome != history.Ok {
				continue
			}
			var answer struct{ Version uint64 }
			if err := json.Unmarshal(h.Ops[c.Done].Value, &answer); err != nil || answer.Version == 0 {
				return fmt.Errorf("operation %d: a write that answers no version", op.Index)
			}
			w.version = answer.Version
			j.at[w.version] = event{op.Key, op.Value, w.version}
		case "read":
			var e event
			if c.Outcome != history.Ok {
				continue
			}
			if err := json.Unmarshal(h.Ops[c.Done].Value, &e); err != nil {
				return fmt.Errorf("operation %d: %w", op.Index, err)
			}
			j.reads = append(j.reads, &stream{watching: watching{Events: []event{e}}, call: c, op: op})
		case "watch":
			if c.Outcome != history.Ok {
				continue
			}
			s := &stream{call: c, op: op}
			if err := json.Unmarshal(h.Ops[c.Done].Value, &s.watching); err != nil {
				return fmt.Errorf("operation %d: %w", op.Index, err)
			}
			j.streams = append(j.streams, s)
			j.events += len(s.Events)
		default:
			return fmt.Errorf("operation %d: there is no function %q of watches", op.Index, op.F)
		}
	}
	return nil
}

// told judges each event that a watcher was told, and their order.
func (j *watchJudge) told(s *stream) {
	last := s.After
	for _, e := range s.Events {
		switch {
		case e.version == last && last != s.After:
			j.found("told twice", s, e.key, "The watcher by process %v on %s was told version %d "+
				"twice.", s.op.Process, s.op.Node, e.version)
		case e.version <= s.After:
			j.found("too old", s, e.key, "The watcher by process %v on %s asked for what is newer than "+
				"version %d, and was told %d.", s.op.Process, s.op.Node, s.After, e.version)
		case e.version < last:
			j.found("out of order", s, e.key, "The watcher by process %v on %s was told version %d "+
				"after %d.", s.op.Process, s.op.Node, e.version, last)
		}
		last = max(last, e.version)
		j.believe(s, e)
	}
}

// read judges what was found under a key: a change like any other, and not older than a write that
// had ended before.
func (j *watchJudge) read(s *stream) {
	e := s.Events[0]
	if string(e.value) != "null" {
		j.believe(s, e)
	}
	for _, w := range j.writes {
		if w.op.Key == e.key && w.version > e.version && w.call.To < s.call.From {
			j.found("stale read", s, e.key, "Process %v on %s read version %d (%s), and version %d had "+
				"been acknowledged (%s).", s.op.Process, s.op.Node, e.version, span(s.call), w.version,
				span(w.call))
			return
		}
	}
}

// believe holds an event against the write that made it and against what others were told.
func (j *watchJudge) believe(s *stream, e event) {
	w := j.byValue[e.key+"\n"+string(e.value)]
	switch {
	case w == nil || w.call.From > s.call.To:
		j.found("phantom", s, e.key, "The watcher by process %v on %s was told (%s) that %s became %s, "+
			"which nobody had written.", s.op.Process, s.op.Node, span(s.call), e.key, e.value)
		return
	case w.call.Outcome == history.Fail:
		j.found("phantom", s, e.key, "The watcher by process %v on %s was told that %s became %s, "+
			"which was refused.", s.op.Process, s.op.Node, e.key, e.value)
		return
	case w.version == 0:
		w.version = e.version // it was not answered, but it happened
	case w.version != e.version:
		j.found("two versions", s, e.key, "The write of %s to %s has version %d, and the watcher by "+
			"process %v on %s was told %d.", e.value, e.key, w.version, s.op.Process, s.op.Node,
			e.version)
	}
	old, known := j.at[e.version]
	if known && (old.key != e.key || string(old.value) != string(e.value)) {
		j.found("two changes", s, e.key, "Version %d is that %s became %s, and the watcher by process "+
			"%v on %s was told that %s became %s.", e.version, old.key, old.value, s.op.Process,
			s.op.Node, e.key, e.value)
		return
	}
	j.at[e.version] = e
}

// gaps looks for what a watcher was not told between the version that it named and the last that it
// was told.
func (j *watchJudge) gaps(s *stream, versions []uint64) {
	if len(s.Events) == 0 {
		return
	}
	told := make(map[uint64]bool, len(s.Events))
	last := uint64(0)
	for _, e := range s.Events {
		told[e.version] = true
		last = max(last, e.version)
	}
	from, _ := slices.BinarySearch(versions, s.After+1)
	for _, v := range versions[from:] {
		if v > last {
			return
		}
		if !told[v] {
			e := j.at[v]
			j.found("gap", s, e.key, "The watcher by process %v on %s was told what happened after "+
				"version %d, up to %d, but not version %d: that %s became %s.", s.op.Process, s.op.Node,
				s.After, last, v, e.key, e.value)
			return
		}
	}
}

// inTime looks for a write that ended before another began, and has the larger version.
func (j *watchJudge) inTime() {
	known := slices.DeleteFunc(slices.Clone(j.writes), func(w *written) bool {
		return w.version == 0 || w.call.Outcome == history.Fail
	})
	slices.SortFunc(known, func(a, b *written) int { return cmp.Compare(a.version, b.version) })
	var latest *written // of those with a lesser version, the one that began last
	for _, w := range known {
		if latest != nil && w.call.To < latest.call.From {
			j.found("versions out of order", &stream{call: latest.call, op: latest.op}, latest.op.Key,
				"The write of %s to %s (%s) has version %d, and that of %s to %s, which began after it "+
					"had ended (%s), has version %d.", w.op.Value, w.op.Key, span(w.call), w.version,
				latest.op.Value, latest.op.Key, span(latest.call), latest.version)
		}
		if latest == nil || w.call.From > latest.call.From {
			latest = w
		}
	}
}
