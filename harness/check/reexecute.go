package check

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// reexecution feeds the log that the nodes applied to a model of the store: it must give the answer
// that each client got, at a place in the log that respects real time. It is linear in the log and
// the history, but for sorting, and knows the functions read, write and cas.
type reexecution struct{}

func (reexecution) Name() string { return "re-execution" }

func (c reexecution) Check(_ context.Context, in *Input) Result {
	r := Result{Checker: c.Name(), Property: "the log, executed again, gives every client's answer"}
	traces, err := readTraces(in)
	if err != nil {
		r.Validity, r.Reason = NotObservable, err.Error()
		return r
	}
	all, _ := mergeApplied(traces)
	if len(all) == 0 {
		r.Validity, r.Reason = NotObservable, "the nodes do not tell what they apply"
		return r
	}
	m, reason := replay(all)
	if reason != "" {
		r.Validity, r.Reason = NotObservable, reason
		return r
	}
	calls, err := in.History.Calls()
	if err != nil {
		r.Reason = err.Error()
		return r
	}
	m.judge(in.History, calls)
	r.Summary = fmt.Sprintf("%s against %s", count(m.judged, "operation"),
		count(len(all), "applied entry"))
	switch {
	case len(m.findings) > 0:
		r.Validity, r.Reason = Invalid, m.findings[0].Text
		r.Findings = m.findings[:min(len(m.findings), maxTraceFindings)]
	case m.skipped > 0 || m.judged == 0:
		r.Validity = NotObservable
		r.Reason = fmt.Sprintf("%s are of a kind that is not re-executed; %s",
			count(m.skipped, "operation"), r.Summary)
	default:
		r.Validity = Valid
	}
	return r
}

// written is a value under a key, in the history and in the log. Values are unique by key.
type written struct{ key, value string }

// span is where in the log a value stood: from the entry at from until before the one at to.
type span struct{ from, to uint64 }

// model is the store after the log, and all that it was on the way.
type model struct {
	spans   map[written]span // to is 0 for what stands at the end
	first   map[string]uint64
	entries map[written]applied // every write and cas, also those that did not swap
	twice   map[written]uint64
	end     uint64
	// latest is when the last operation began that is in the log. The trace may lack what came
	// after, if the run was cut short.
	latest time.Duration

	judged, skipped int
	findings        []Finding
}

// replay executes the log. The reason says why it can not be done.
func replay(all map[uint64]applied) (m *model, reason string) {
	m = &model{
		spans: map[written]span{}, first: map[string]uint64{}, entries: map[written]applied{},
		twice: map[written]uint64{},
	}
	now := map[string]string{}
	next := uint64(1)
	for _, index := range slices.Sorted(maps.Keys(all)) {
		e := all[index]
		if index != next {
			return nil, fmt.Sprintf("index %d is in no trace of what was applied", next)
		}
		next++
		switch e.Op {
		case "none", "get":
			continue
		case "put", "cas":
		default:
			return nil, fmt.Sprintf("index %d holds a command that is not re-executed: %s", index,
				e.Op)
		}
		if e.Session > 0 {
			return nil, fmt.Sprintf("index %d belongs to a session, which is not re-executed", index)
		}
		w := written{e.Key, e.Value}
		old, found := now[e.Key]
		if _, known := m.entries[w]; known {
			m.twice[w] = index
		} else {
			m.entries[w] = e
		}
		if e.Op == "cas" && (found != (e.Old != nil) || found && old != *e.Old) {
			continue
		}
		if found {
			was := written{e.Key, old}
			m.spans[was] = span{m.spans[was].from, index}
		} else {
			m.first[e.Key] = index
		}
		m.spans[w] = span{from: index}
		now[e.Key] = e.Value
	}
	m.end = next - 1
	return m, ""
}

// judge goes through the history in the order of time. floor is the place in the log that some
// operation had reached when it was answered: whatever begins later stands behind it.
func (m *model) judge(h *history.History, calls []history.Call) {
	ends := slices.Clone(calls)
	slices.SortStableFunc(ends, func(a, b history.Call) int { return cmp.Compare(a.To, b.To) })
	var floor uint64
	by, done := history.Call{Invoke: -1}, 0
	m.seeEnd(h, calls)
	reached := map[int]uint64{} // by invocation: where an answered operation stands
	order := slices.Clone(calls)
	slices.SortStableFunc(order, func(a, b history.Call) int { return cmp.Compare(a.From, b.From) })
	for _, c := range order {
		for done < len(ends) && ends[done].To < c.From {
			if at := reached[ends[done].Invoke]; at > floor {
				floor, by = at, ends[done]
			}
			done++
		}
		if at := m.one(h, c, floor, by); at > 0 {
			reached[c.Invoke] = at
		}
	}
}

// seeEnd finds how far the trace reaches into the history.
func (m *model) seeEnd(h *history.History, calls []history.Call) {
	for _, c := range calls {
		op := &h.Ops[c.Invoke]
		value := string(op.Value)
		var pair [2]json.RawMessage
		if op.F == "cas" && json.Unmarshal(op.Value, &pair) == nil {
			value = string(pair[1])
		}
		if _, logged := m.entries[written{op.Key, value}]; logged {
			m.latest = max(m.latest, c.From)
		}
	}
}

// one judges an operation that began when the log had reached floor. It returns where it stands; 0
// if that is unknown.
func (m *model) one(h *history.History, c history.Call, floor uint64, by history.Call) uint64 {
	op := &h.Ops[c.Invoke]
	switch op.F {
	case "read":
		if c.Outcome != history.Ok {
			return 0
		}
		m.judged++
		return m.read(op, &h.Ops[c.Done], floor, by, h)
	case "write":
		m.judged++
		return m.write(h, c, op, string(op.Value), floor, by)
	case "cas":
		var pair [2]json.RawMessage
		if json.Unmarshal(op.Value, &pair) != nil {
			m.skipped++
			return 0
		}
		m.judged++
		at := m.write(h, c, op, string(pair[1]), floor, by)
		if at > 0 && c.Outcome == history.Ok {
			m.swapped(op, &h.Ops[c.Done], string(pair[1]), at)
		}
		return at
	}
	m.skipped++
	return 0
}

// found adds evidence.
func (m *model) found(class string, op *history.Op, format string, args ...any) {
	m.findings = append(m.findings, Finding{
		Class: class, Key: op.Key, Node: op.Node, Time: op.Time, Ops: []int64{op.Index},
		Text: fmt.Sprintf("%s of key %s, begun at %s at node %s, ", op.F, op.Key, at(op.Time),
			op.Node) + fmt.Sprintf(format, args...),
	})
}

// write judges a write or a cas: it stands in the log once if it was answered, never if it failed.
func (m *model) write(h *history.History, c history.Call, op *history.Op, value string,
	floor uint64, by history.Call,
) uint64 {
	e, logged := m.entries[written{op.Key, value}]
	again, twice := m.twice[written{op.Key, value}]
	switch {
	case twice:
		m.found("executed twice", op, "with value %s, is in the log at index %d and at index %d.",
			value, e.Index, again)
	case !logged && c.Outcome == history.Ok && c.To < m.latest:
		m.found("acknowledged but not in the log", op, "with value %s, was acknowledged, and no "+
			"entry of the log up to index %d holds it.", value, m.end)
	case logged && c.Outcome == history.Fail:
		m.found("failed but in the log", op, "with value %s, was said to have failed, and is in "+
			"the log at index %d.", value, e.Index)
	case logged && e.Index <= floor:
		m.found("against real time", op, "with value %s, is in the log at index %d, though %s had "+
			"seen index %d before.", value, e.Index, m.words(h, by), floor)
	}
	return e.Index
}

func (m *model) words(h *history.History, c history.Call) string {
	if c.Invoke < 0 {
		return "nobody"
	}
	op := &h.Ops[c.Invoke]
	return fmt.Sprintf("a %s of key %s that ended at %s", op.F, op.Key, at(c.To))
}

// swapped holds the answer of a cas against what happened in the log.
func (m *model) swapped(op, done *history.Op, value string, index uint64) {
	var answer struct {
		Swapped bool `json:"swapped"`
	}
	if json.Unmarshal(done.Value, &answer) != nil {
		return
	}
	if s, did := m.spans[written{op.Key, value}]; answer.Swapped != (did && s.from == index) {
		m.found("another answer than the log's", op, "was answered %s, which is not what the entry "+
			"at index %d gives.", done.Value, index)
	}
}

// read judges a read: what it saw must have stood there at or after floor.
func (m *model) read(op, done *history.Op, floor uint64, by history.Call,
	h *history.History,
) uint64 {
	value := string(done.Value)
	s, known := m.spans[written{op.Key, value}]
	if value == "null" || value == "" {
		s, known = span{to: m.first[op.Key]}, true
	}
	switch {
	case !known:
		m.found("phantom value", op, "saw %s, which the log never put there.", value)
		return 0
	case s.to > 0 && s.to <= floor:
		m.found("stale read", op, "saw %s, which stood there from index %d until index %d, though "+
			"%s had seen index %d before.", value, s.from, s.to-1, m.words(h, by), floor)
		return 0
	}
	return max(s.from, floor)
}
