package workloads

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// judge judges one queue, see [queueChecker].
func (j *queueJudge) judge() {
	for _, r := range j.lists {
		j.list(r)
	}
	j.items = slices.DeleteFunc(j.items, func(it *item) bool { return !it.counts() })
	for _, it := range j.items {
		if it.sure { // it was in the queue before it was taken
			it.in.To = min(it.in.To, it.out.To)
			it.out.From = max(it.out.From, it.in.From)
		}
	}
	j.overtaken()
	j.emptied()
}

// overtaken looks for elements that were dequeued before others that had certainly been enqueued
// before them. Of those whose enqueue ended before that of an element began, the one whose dequeue
// began last is the witness, if there is one.
func (j *queueJudge) overtaken() {
	byIn := slices.Clone(j.items)
	slices.SortStableFunc(byIn, func(a, b *item) int { return cmp.Compare(a.in.To, b.in.To) })
	last := make([]*item, len(byIn)) // of those up to here, the one that was there longest
	for i, it := range byIn {
		last[i] = it
		if i > 0 && last[i-1].until() >= it.until() {
			last[i] = last[i-1]
		}
	}
	for _, b := range j.items {
		if !b.sure {
			continue
		}
		n := sort.Search(len(byIn), func(i int) bool { return byIn[i].in.To >= b.in.From })
		if n == 0 || last[n-1].until() <= b.out.To {
			continue
		}
		a := last[n-1]
		fate := "is still there, or gone"
		class := "lost element"
		if a.took {
			fate, class = "was dequeued "+span(a.out), "out of order"
		}
		j.found(class, b.node, b.out.From, []int64{a.indexIn, b.indexIn, b.indexOt},
			"%s was enqueued (%s) before %s was (%s). But %s was dequeued first (%s), and %s %s.",
			a.value, span(a.in), b.value, span(b.in), b.value, span(b.out), a.value, fate)
	}
}

// emptied looks for dequeues that found nothing while at each moment some element was certainly
// there. It was between the end of its enqueue and the begin of its dequeue, both excluded.
func (j *queueJudge) emptied() {
	type full struct{ from, to time.Duration }
	var all []full
	for _, it := range j.items {
		if it.in.To < it.until() {
			all = append(all, full{it.in.To, it.until()})
		}
	}
	slices.SortFunc(all, func(a, b full) int { return cmp.Compare(a.from, b.from) })
	var merged []full
	for _, f := range all {
		if n := len(merged); n > 0 && f.from < merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, f.to)
		} else {
			merged = append(merged, f)
		}
	}
	for _, e := range j.empties {
		n := sort.Search(len(merged), func(i int) bool { return merged[i].from >= e.call.From })
		if n > 0 && e.call.To < merged[n-1].to {
			j.found("empty", e.op.Node, e.call.From, []int64{e.op.Index}, "Process %v was told by %s "+
				"that the queue was empty (%s). At each moment then an element was certainly in it.",
				e.op.Process, e.op.Node, span(e.call))
		}
	}
}

// list judges what is said to be left.
func (j *queueJudge) list(r queueRead) {
	at := map[string]bool{}
	ops := []int64{r.op.Index}
	for _, v := range r.values {
		it := j.byValue[v]
		switch {
		case it == nil, it.in.From > r.call.To, it.in.Outcome == history.Fail:
			j.found("phantom", r.op.Node, r.call.From, ops, "%s lists %s (%s), which nobody had "+
				"enqueued.", r.op.Node, v, span(r.call))
			continue
		case at[v]:
			j.found("duplicated", r.op.Node, r.call.From, ops, "%s lists %s twice (%s).", r.op.Node, v,
				span(r.call))
		case it.sure && it.out.To < r.call.From:
			j.found("not gone", r.op.Node, r.call.From, ops, "%s lists %s (%s), which had been "+
				"dequeued (%s).", r.op.Node, v, span(r.call), span(it.out))
		}
		at[v] = true
		it.in.To = min(it.in.To, r.call.To)
	}
	for _, it := range j.items {
		if it.in.Outcome == history.Ok && it.in.To < r.call.From && !at[it.value] &&
			(!it.took || it.out.From > r.call.To) {
			j.found("lost element", r.op.Node, r.call.From, append(ops, it.indexIn), "%s was enqueued "+
				"(%s) and nobody has dequeued it, but %s does not list it (%s).", it.value, span(it.in),
				r.op.Node, span(r.call))
		}
	}
	j.listOrder(r)
}

// listOrder compares the order of a list with that of the enqueues.
func (j *queueJudge) listOrder(r queueRead) {
	var first *item // of those behind, the one whose enqueue ended first
	for _, v := range slices.Backward(r.values) {
		it := j.byValue[v]
		if it == nil {
			continue
		}
		if first != nil && first.in.To < it.in.From {
			j.found("out of order", r.op.Node, r.call.From, []int64{r.op.Index, it.indexIn,
				first.indexIn}, "%s lists %s before %s, which had been enqueued (%s) before it (%s).",
				r.op.Node, v, first.value, span(first.in), span(it.in))
			return
		}
		if first == nil || it.in.To < first.in.To {
			first = it
		}
	}
}
