package workloads

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// queueChecker judges first-in-first-out queues of unique elements. A queue is linearizable if and
// only if none of four things is seen (Henzinger, Sezgin and Vafeiadis, Aspect-oriented
// linearizability proofs, CONCUR 2013): an element is dequeued that nobody enqueued, or before; one
// is dequeued twice; one overtakes another that was certainly enqueued before it; a queue is said
// to be empty while at each moment some element was certainly in it.
//
// An enqueue without an answer counts if its element was seen, and otherwise never happened. A
// dequeue without an answer names what it would have taken: that it took it, at whatever time, is
// never a contradiction where that it did not is none.
//
// The list of what is left is judged by what it must and must not hold, and by its order against
// what was enqueued one after the other. That much is sound; it is not complete.
type queueChecker struct{}

// Name implements [check.Checker].
func (queueChecker) Name() string { return "queue" }

// item is an element's life.
type item struct {
	value            string
	in, out          history.Call
	added, took      bool // what in and out hold
	sure             bool // an answered dequeue took it
	indexIn, indexOt int64
	node             string // of the dequeue
}

// until is when the element may have left the queue: it was certainly in it from the end of its
// enqueue until then.
func (it *item) until() time.Duration {
	if it.took {
		return it.out.From
	}
	return history.Never
}

// queueHistory is what happened to one queue.
type queueHistory struct {
	key     string
	items   []*item
	byValue map[string]*item
	empties []queueRead
	lists   []queueRead
}

// queueRead is a dequeue that found nothing, or a list of what is left.
type queueRead struct {
	call   history.Call
	op     *history.Op
	values []string
}

// Check implements [check.Checker].
func (c queueChecker) Check(_ context.Context, in *check.Input) check.Result {
	res := check.Result{Property: "nothing is lost in a queue, nothing comes twice or out of order"}
	calls, err := in.History.Calls()
	var all []*queueHistory
	j := &queueJudge{classes: map[string]int{}}
	if err == nil {
		all, err = j.decode(in.History, calls)
	}
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	for _, q := range all {
		j.queueHistory = q
		j.judge()
	}
	slices.SortStableFunc(j.findings, func(a, b check.Finding) int {
		return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.Text, b.Text))
	})
	res.Findings = j.findings
	res.Summary = fmt.Sprintf("%d enqueued, %d dequeued, %d times empty, on %d queues", j.in, j.out,
		j.empty, len(all))
	res.Details = figures(map[string]any{"enqueued": j.in, "dequeued": j.out, "empty": j.empty,
		"violations": j.classes})
	switch {
	case len(j.findings) > 0:
		res.Validity, res.Reason = check.Invalid, classCounts(j.classes)
	case j.out == 0:
		res.Reason = "nothing was dequeued"
	default:
		res.Validity = check.Valid
	}
	return res
}

// queueJudge collects what is wrong with the queue that it is at.
type queueJudge struct {
	*queueHistory
	in, out, empty int
	classes        map[string]int
	findings       []check.Finding
}

func (j *queueJudge) found(class, node string, at time.Duration, ops []int64, format string,
	args ...any) {
	if j.classes[class]++; j.classes[class] <= maxFindings {
		j.findings = append(j.findings, check.Finding{Class: class, Key: j.key, Node: node, Time: at,
			Ops: ops, Text: fmt.Sprintf(format, args...)})
	}
}

// decode sorts the operations by queue; enqueues first, since what they add is looked up.
func (j *queueJudge) decode(h *history.History, calls []history.Call) ([]*queueHistory, error) {
	byKey := map[string]*queueHistory{}
	var all []*queueHistory
	for _, adding := range []bool{true, false} {
		for _, c := range calls {
			op := &h.Ops[c.Invoke]
			q := byKey[op.Key]
			if q == nil {
				q = &queueHistory{key: op.Key, byValue: map[string]*item{}}
				byKey[op.Key] = q
				all = append(all, q)
			}
			j.queueHistory = q
			if (op.F == "enqueue") != adding {
				continue
			}
			if err := j.take(h, c, op); err != nil {
				return nil, fmt.Errorf("operation %d: %w", op.Index, err)
			}
		}
	}
	return all, nil
}

func (j *queueJudge) take(h *history.History, c history.Call, op *history.Op) error {
	value := string(op.Value)
	if c.Done >= 0 {
		value = string(h.Ops[c.Done].Value)
	}
	switch {
	case op.F == "enqueue":
		value = string(op.Value)
		if j.byValue[value] != nil {
			return fmt.Errorf("%s is enqueued a second time: elements have to be unique", value)
		}
		it := &item{value: value, in: c, added: true, indexIn: op.Index}
		j.items, j.byValue[value] = append(j.items, it), it
		if c.Outcome == history.Ok {
			j.in++
		}
	case op.F == "list" && c.Outcome == history.Ok:
		var raw []json.RawMessage
		if err := json.Unmarshal([]byte(value), &raw); err != nil {
			return fmt.Errorf("the answer of a list is none: %w", err)
		}
		r := queueRead{call: c, op: op}
		for _, v := range raw {
			r.values = append(r.values, string(v))
		}
		j.lists = append(j.lists, r)
	case op.F == "dequeue" && c.Outcome == history.Ok && value == "null":
		j.empty++
		j.empties = append(j.empties, queueRead{call: c, op: op})
	case op.F == "dequeue" && c.Outcome != history.Fail && value != "" && value != "null":
		j.dequeued(c, op, value)
	case op.F != "list" && op.F != "dequeue":
		return fmt.Errorf("a queue has no function %q", op.F)
	}
	return nil
}

// dequeued notes who took an element, or may have.
func (j *queueJudge) dequeued(c history.Call, op *history.Op, value string) {
	sure := c.Outcome == history.Ok
	if sure {
		j.out++
	}
	it := j.byValue[value]
	switch {
	case it == nil && !sure:
		return
	case it == nil, it.in.From > c.To, it.in.Outcome == history.Fail && sure:
		j.found("phantom", op.Node, c.From, []int64{op.Index}, "Process %v got %s from %s (%s), which "+
			"nobody had enqueued.", op.Process, value, op.Node, span(c))
		return
	case sure && it.sure:
		j.found("dequeued twice", op.Node, c.From, []int64{it.indexOt, op.Index}, "%s was dequeued %s "+
			"and again, by process %v on %s, %s.", value, span(it.out), op.Process, op.Node, span(c))
		return
	case it.sure, it.took && !sure && it.out.From <= c.From:
		return // what had no answer did not take it, or not first
	}
	it.out, it.took, it.sure, it.indexOt, it.node = c, true, sure, op.Index, op.Node
}

// counts says whether the element is known to have been enqueued.
func (it *item) counts() bool {
	return it.in.Outcome == history.Ok || it.in.Outcome == history.Info && it.sure
}
