package report

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

const (
	// momentCount is how many findings are shown with the operations around them.
	momentCount = 5
	// momentCalls is how many operations a moment shows at most.
	momentCalls = 150
	// momentPad is the least time that is shown before and after the evidence.
	momentPad = 250 * time.Millisecond
	// focusPad is the same for what is shown at first.
	focusPad = 15 * time.Millisecond
	// textLimit is how many characters of an operation's values are shown.
	textLimit = 60
)

// Moment is the part of a history that someone should look at: the operations around a violation.
type Moment struct {
	// Checker and Finding say which finding it shows: a row of the property table, and the place
	// among its findings.
	Checker string `json:"checker"`
	Finding int    `json:"finding"`
	// Key is what the violation is about; empty if it is not about one key.
	Key string `json:"key,omitempty"`
	// From and To bound the time that is shown.
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
	// Calls are the operations that overlap with this time, in order of invocation. Operations on
	// other keys are left out first; Cut is how many were.
	Calls []Call `json:"calls"`
	Cut   int    `json:"cut,omitempty"`
}

// Call is one operation of a client, both its ends together.
type Call struct {
	// Index is that of the invocation in the history, Done that of the completion; -1 if the
	// operation is open at the end.
	Index   int64           `json:"index"`
	Done    int64           `json:"done"`
	Process history.Process `json:"process"`
	Node    string          `json:"node,omitempty"`
	Key     string          `json:"key,omitempty"`
	// Text is the operation in a few characters: "read = 3", "write 4".
	Text    string        `json:"text"`
	Outcome history.Type  `json:"outcome"`
	Error   string        `json:"error,omitempty"`
	From    time.Duration `json:"from_ns"`
	To      time.Duration `json:"to_ns"`
	// Evidence says that the finding names this operation.
	Evidence bool `json:"evidence,omitempty"`
}

// Evidence is when the operations that prove the finding began; From and To if none is shown.
func (m *Moment) Evidence() (from, to time.Duration) {
	first := true
	for _, c := range m.Calls {
		if !c.Evidence {
			continue
		}
		if first {
			from, to, first = c.From, c.From, false
		}
		from, to = min(from, c.From), max(to, c.From)
	}
	if first {
		return m.From, m.To
	}
	return from, to
}

// focus is the part of the moment to look at first: the evidence, and a little more.
func (m *Moment) focus() (from, to time.Duration) {
	from, to = m.To, m.From
	for _, c := range m.Calls {
		if !c.Evidence {
			continue
		}
		from, to = min(from, c.From), max(to, c.From)
		if c.Outcome != history.Info {
			to = max(to, c.To)
		}
	}
	if from >= to {
		return m.From, m.To
	}
	// More room after than before: there stands the label of the last operation.
	before, after := max(focusPad, (to-from)/6), max(focusPad, (to-from)/2)
	return max(from-before, m.From), min(to+after, m.To)
}

// moments finds what to look at: the first findings of broken promises that name operations or a
// time.
func moments(h *history.History, calls []call, rows []check.Result) (ms []Moment) {
	broken := slices.DeleteFunc(slices.Clone(rows), func(row check.Result) bool {
		return row.Validity != check.Invalid
	})
	for _, f := range findings(broken) {
		if len(ms) < momentCount && (len(f.Ops) > 0 || f.Time > 0) {
			ms = append(ms, moment(h, calls, f))
		}
	}
	return ms
}

func moment(h *history.History, calls []call, f finding) Moment {
	evidence := map[int64]bool{}
	for _, i := range f.Ops {
		evidence[i] = true
	}
	isEvidence := func(c call) bool {
		return evidence[h.Ops[c.invoke].Index] || c.done >= 0 && evidence[h.Ops[c.done].Index]
	}
	m := Moment{Checker: f.checker, Finding: f.index, Key: f.Key}
	m.bound(h, calls, f.Time, isEvidence)
	var near []call
	for _, c := range calls {
		if c.to >= m.From && c.from <= m.To || isEvidence(c) {
			near = append(near, c)
		}
	}
	near, m.Cut = nearest(near, (m.From+m.To)/2, func(c call) int {
		switch {
		case isEvidence(c):
			return 0
		case h.Ops[c.invoke].Key == f.Key:
			return 1
		}
		return 2
	})
	for _, c := range near {
		m.Calls = append(m.Calls, show(h, c, isEvidence(c)))
	}
	return m
}

// bound sets the time to show: from the begin of the first evidence to the end of the last, and
// some more. An operation that never ended counts for its begin only.
func (m *Moment) bound(h *history.History, calls []call, at time.Duration,
	isEvidence func(call) bool) {
	first := true
	widen := func(d time.Duration) {
		if first {
			m.From, m.To, first = d, d, false
		}
		m.From, m.To = min(m.From, d), max(m.To, d)
	}
	for _, c := range calls {
		if !isEvidence(c) {
			continue
		}
		widen(c.from)
		if c.outcome != history.Info {
			widen(c.to)
		}
	}
	if first {
		widen(at)
	}
	pad := max(momentPad, (m.To-m.From)/2)
	m.From, m.To = max(m.From-pad, 0), min(m.To+pad, max(lastTime(h), m.To))
}

// nearest keeps the momentCalls calls of least rank and, among equals, nearest to the middle, in
// their former order. It also says how many it left out.
func nearest(calls []call, middle time.Duration, rank func(call) int) ([]call, int) {
	if len(calls) <= momentCalls {
		return calls, 0
	}
	cut := len(calls) - momentCalls
	far := func(c call) time.Duration { return max(c.from-middle, middle-c.from) }
	slices.SortStableFunc(calls, func(a, b call) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(far(a), far(b)))
	})
	calls = calls[:momentCalls]
	slices.SortFunc(calls, func(a, b call) int { return cmp.Compare(a.invoke, b.invoke) })
	return calls, cut
}

func show(h *history.History, c call, evidence bool) Call {
	op := h.Ops[c.invoke]
	s := Call{
		Index: op.Index, Done: -1, Process: op.Process, Node: op.Node, Key: op.Key,
		Outcome: c.outcome, From: c.from, To: c.to, Evidence: evidence,
	}
	var answer json.RawMessage
	if c.done >= 0 {
		done := h.Ops[c.done]
		s.Done, s.Error = done.Index, clip(done.Error)
		s.Node = orElse(s.Node, done.Node)
		if done.Type == history.Ok {
			answer = done.Value
		}
	}
	s.Text = callText(op.F, op.Value, answer)
	return s
}

// callText writes an operation in a few characters. An answer that only repeats the argument is
// left out, and so is a null, unless nothing was given: then it says that nothing was found.
func callText(f string, arg, answer json.RawMessage) string {
	given := len(arg) > 0 && string(arg) != "null"
	if given {
		f += " " + valueText(arg)
	}
	switch {
	case len(answer) == 0, string(answer) == string(arg) && given:
	case string(answer) == "null" && given:
	default:
		f += " = " + valueText(answer)
	}
	return clip(f)
}

// valueText writes a JSON value the way a person would: no quotes around a word, no braces around
// an only field.
func valueText(raw json.RawMessage) string {
	s := string(raw)
	if s == "null" {
		return "nothing"
	}
	var str string
	if json.Unmarshal(raw, &str) == nil {
		return str
	}
	return strings.NewReplacer(`"`, "", `{`, "", `}`, "", `,`, ", ", `:`, ": ").Replace(s)
}

func clip(s string) string {
	if r := []rune(s); len(r) > textLimit {
		return string(r[:textLimit-3]) + "..."
	}
	return s
}
