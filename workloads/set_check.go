package workloads

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// setChecker follows each element of each set through time. An element is known to be there from
// the end of its add, or from the end of the first read that has it, whichever is first; every read
// that begins later must have it. For keys that are written once that is all that linearizability
// asks, key by key: the judgement is sound and complete.
type setChecker struct{}

// Name implements [check.Checker].
func (setChecker) Name() string { return "set" }

// element is an add with what came of it.
type element struct {
	add   history.Call
	known time.Duration // from when on it must be seen; Never if nothing says so
	value string
	seen  bool // by any read
}

// setRead is a read that succeeded.
type setRead struct {
	call     history.Call
	node     string
	index    int64
	process  history.Process
	elements map[string]int // how often each is in it
}

// setHistory is what happened to one set.
type setHistory struct {
	key      string
	elements []*element
	byValue  map[string]*element
	reads    []*setRead // by their begin
}

// Check implements [check.Checker].
func (c setChecker) Check(ctx context.Context, in *check.Input) check.Result {
	res := check.Result{Property: "no acknowledged element is lost, none appears from nowhere"}
	calls, err := in.History.Calls()
	if err == nil && len(calls) == 0 {
		err = fmt.Errorf("there are no operations to judge")
	}
	var sets []*setHistory
	if err == nil {
		sets, err = decodeSets(in.History, calls)
	}
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	t := setTally{Classes: map[string]int{}}
	for _, s := range sets {
		if ctx.Err() != nil {
			res.Reason = check.OutOfTime(context.Cause(ctx))
			return res
		}
		s.judge(in.History, &t)
	}
	return t.result(res, len(sets))
}

// decodeSets sorts adds and reads by set.
func decodeSets(h *history.History, calls []history.Call) ([]*setHistory, error) {
	byKey := map[string]*setHistory{}
	var sets []*setHistory
	for _, c := range calls {
		op := &h.Ops[c.Invoke]
		s := byKey[op.Key]
		if s == nil {
			s = &setHistory{key: op.Key, byValue: map[string]*element{}}
			byKey[op.Key] = s
			sets = append(sets, s)
		}
		if err := s.add(h, c, op); err != nil {
			return nil, fmt.Errorf("operation %d: %w", op.Index, err)
		}
	}
	for _, s := range sets {
		slices.SortStableFunc(s.reads, func(a, b *setRead) int {
			return cmp.Compare(a.call.From, b.call.From)
		})
	}
	return sets, nil
}

func (s *setHistory) add(h *history.History, c history.Call, op *history.Op) error {
	switch op.F {
	case "add":
		value := string(op.Value)
		if s.byValue[value] != nil {
			return fmt.Errorf("%s is added to %s a second time: elements have to be unique", value,
				op.Key)
		}
		e := &element{add: c, value: value, known: history.Never}
		if c.Outcome == history.Ok {
			e.known = c.To
		}
		s.elements = append(s.elements, e)
		s.byValue[value] = e
	case "read":
		if c.Outcome != history.Ok {
			return nil
		}
		var found []json.RawMessage
		if err := json.Unmarshal(h.Ops[c.Done].Value, &found); err != nil {
			return fmt.Errorf("the answer of a read of %s is no list: %w", op.Key, err)
		}
		r := &setRead{call: c, node: op.Node, index: op.Index, process: op.Process,
			elements: make(map[string]int, len(found))}
		for _, raw := range found {
			r.elements[string(raw)]++
		}
		s.reads = append(s.reads, r)
	default:
		return fmt.Errorf("a set has no function %q", op.F)
	}
	return nil
}

// judge looks at each read and then at each element.
func (s *setHistory) judge(h *history.History, t *setTally) {
	for _, r := range s.reads {
		s.present(r, t)
	}
	for _, e := range s.elements {
		t.Elements++
		if e.add.Outcome == history.Info && e.known == history.Never {
			t.Indeterminate++
		}
		if e.known == history.Never {
			continue
		}
		s.follow(h, e, t)
	}
	t.Reads += len(s.reads)
}

// present judges what a read has.
func (s *setHistory) present(r *setRead, t *setTally) {
	for _, value := range slices.Sorted(maps.Keys(r.elements)) {
		e, times := s.byValue[value], r.elements[value]
		where := fmt.Sprintf("process %v read it on %s (%s)", r.process, r.node, span(r.call))
		switch {
		case e == nil:
			t.found("phantom", s.key, r, "Nobody has ever added %s, but %s.", value, where)
		case e.add.From > r.call.To:
			t.found("phantom", s.key, r, "%s was read before anybody had begun to add it: %s, the "+
				"add began at %s.", value, where, at(e.add.From))
		case e.add.Outcome == history.Fail:
			t.found("refused but done", s.key, r, "The add of %s was refused for certain at %s, "+
				"but %s.", value, at(e.add.To), where)
		default:
			e.known, e.seen = min(e.known, r.call.To), true
		}
		if times > 1 {
			t.found("duplicated", s.key, r, "%s was added once and is there %d times: %s.", value,
				times, where)
		}
	}
}

// follow judges the reads that must have e.
func (s *setHistory) follow(h *history.History, e *element, t *setTally) {
	first, _ := slices.BinarySearchFunc(s.reads, e.known, func(r *setRead, d time.Duration) int {
		if r.call.From > d {
			return 1
		}
		return -1
	})
	after := s.reads[first:]
	var missing []*setRead
	last := map[string]bool{} // by node, whether its last read has it
	for _, r := range after {
		last[r.node] = r.elements[e.value] > 0
		if !last[r.node] {
			missing = append(missing, r)
		}
	}
	switch {
	case len(after) == 0 && !e.seen:
		t.NeverRead++
		t.unread = fmt.Sprintf("%s of %s was acknowledged, and nobody read the set after that",
			e.value, s.key)
	case len(missing) > 0:
		class, text := s.missed(h, e, after, missing, last)
		t.found(class, s.key, missing[0], "%s", text)
	default:
		t.Stable++
	}
}

// missed says what it means that some of the reads after e was there do not have it.
func (s *setHistory) missed(
	h *history.History, e *element, after, missing []*setRead, last map[string]bool,
) (class, text string) {
	op := &h.Ops[e.add.Invoke]
	how := fmt.Sprintf("The add of %s by process %v on %s was acknowledged (%s).", e.value,
		op.Process, op.Node, span(e.add))
	if e.add.Outcome != history.Ok || e.known < e.add.To {
		how = fmt.Sprintf("The add of %s by process %v on %s began at %s, and somebody had read it "+
			"by %s.", e.value, op.Process, op.Node, at(e.add.From), at(e.known))
	}
	var without, with []string
	for node, has := range last {
		if has {
			with = append(with, node)
		} else {
			without = append(without, node)
		}
	}
	slices.Sort(without)
	slices.Sort(with)
	r := missing[0]
	how += fmt.Sprintf(" The read by process %v on %s (%s) does not have it; nor do %d of the %d "+
		"reads since then.", r.process, r.node, span(r.call), len(missing)-1, len(after)-1)
	switch {
	case len(with) == 0:
		return "lost element", how + " On no node does the last read have it."
	case len(without) > 0:
		return "lost on a node", how + fmt.Sprintf(" The last read has it on %s, and not on %s.",
			strings.Join(with, ", "), strings.Join(without, ", "))
	}
	return "stale read", how + " It was seen again later."
}
