package workloads

import (
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

func TestAQueueKeepsItsElementsAndTheirOrder(t *testing.T) {
	in := func(v string, from, to int) did {
		return did{f: "enqueue", key: "q", arg: v, from: from, to: to}
	}
	out := func(v string, from, to int) did {
		return did{f: "dequeue", key: "q", answer: v, from: from, to: to}
	}
	open := func(d did) did { d.how = history.Info; return d }
	list := func(v string, from, to int) did {
		return did{f: "list", key: "q", answer: "[" + v + "]", from: from, to: to}
	}
	judgeAll(t, queueChecker{}, []judged{
		{name: "first in, first out", want: check.Valid, did: []did{in("1", 1, 2), in("2", 3, 4),
			out("1", 5, 6), list("2", 7, 8), out("2", 9, 10), out("null", 11, 12)}},
		{name: "two at once come in any order", want: check.Valid,
			did: []did{in("1", 1, 4), in("2", 3, 5), out("2", 6, 7), out("1", 8, 9)}},
		{name: "without an answer it may be there", want: check.Valid,
			did: []did{open(in("1", 1, 2)), out("null", 3, 4), out("1", 5, 6)}},
		{name: "without an answer it may be taken", want: check.Valid,
			did: []did{in("1", 1, 2), open(out("1", 3, 4)), in("2", 5, 6), out("2", 7, 8)}},
		{name: "without an answer it may not be taken", want: check.Valid,
			did: []did{in("1", 1, 2), open(out("1", 3, 4)), in("2", 5, 6), out("1", 7, 8)}},
		{name: "one overtakes another", want: check.Invalid, classes: []string{"out of order"},
			did: []did{in("1", 1, 2), in("2", 3, 4), out("2", 5, 6), out("1", 7, 8)}},
		{name: "one is passed over", want: check.Invalid, classes: []string{"lost element"},
			did: []did{in("1", 1, 2), in("2", 3, 4), out("2", 5, 6)}},
		{name: "one is not listed", want: check.Invalid, classes: []string{"lost element"},
			did: []did{in("1", 1, 2), in("2", 3, 4), out("1", 5, 6), list("", 7, 8)}},
		{name: "one comes twice", want: check.Invalid, classes: []string{"dequeued twice"},
			did: []did{in("1", 1, 2), out("1", 5, 6), out("1", 7, 8)}},
		{name: "one comes from nowhere", want: check.Invalid, classes: []string{"phantom"},
			did: []did{in("1", 1, 2), out("1", 3, 4), out("7", 5, 6)}},
		{name: "one comes too early", want: check.Invalid, classes: []string{"phantom"},
			did: []did{in("2", 1, 2), out("2", 3, 4), out("1", 1, 2), in("1", 3, 4)}},
		{name: "it is said to be empty", want: check.Invalid, classes: []string{"empty"},
			did: []did{in("1", 1, 2), out("null", 3, 4), out("1", 5, 6)}},
		{name: "it is never empty", want: check.Invalid, classes: []string{"empty"}, did: []did{
			in("1", 1, 2), in("2", 3, 4), out("1", 5, 6), out("null", 3, 7), out("2", 8, 9)}},
		{name: "one is listed that is gone", want: check.Invalid, classes: []string{"not gone"},
			did: []did{in("1", 1, 2), out("1", 5, 6), list("1", 7, 8)}},
		{name: "one is listed twice", want: check.Invalid, classes: []string{"duplicated"},
			did: []did{in("1", 1, 2), in("2", 3, 4), out("1", 5, 6), list("2,2", 7, 8)}},
		{name: "they are listed in another order", want: check.Invalid,
			classes: []string{"out of order"}, did: []did{in("0", 0, 1), out("0", 1, 2),
				in("1", 1, 2), in("2", 3, 4), list("2,1", 7, 8)}},
		{name: "nothing was dequeued", want: check.Unknown, reason: "nothing was",
			did: []did{in("1", 1, 2)}},
	})
}

// queueable tries every order.
func queueable(all []did, placed []bool, queue []string) bool {
	done := true
	for i, d := range all {
		done = done && (placed[i] || d.how == history.Info)
	}
	if done {
		return true
	}
	for i, d := range all {
		first := !placed[i]
		for j, e := range all {
			first = first && (placed[j] || e.how == history.Info || e.to >= d.from)
		}
		next := queue
		switch {
		case !first:
			continue
		case d.f == "enqueue":
			next = append(queue[:len(queue):len(queue)], d.arg)
		case d.answer == "null":
			first = len(queue) == 0
		default:
			first = len(queue) > 0 && queue[0] == d.answer
			if first {
				next = queue[1:]
			}
		}
		if !first {
			continue
		}
		placed[i] = true
		if queueable(all, placed, next) {
			return true
		}
		placed[i] = false
	}
	return false
}

func TestWhatAQueueCanNotDoIsFoundAndNothingElse(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	n, bad := 20_000, 0
	for range n {
		all := []did{{f: "enqueue", key: "q", arg: "90", from: 0, to: 1},
			{f: "dequeue", key: "q", answer: "90", from: 2, to: 3}}
		var queue []string
		for i := range 2 + rng.IntN(5) {
			d := did{f: "dequeue", key: "q", answer: "null", from: 10 + max(0, 5*i-rng.IntN(14))}
			d.to = max(10+5*i, d.from) + 1 + rng.IntN(14)
			if rng.IntN(6) == 0 {
				d.how = history.Info
			}
			happens := d.how != history.Info || rng.IntN(2) == 0
			switch {
			case rng.IntN(2) == 0:
				d.f, d.arg = "enqueue", strconv.Itoa(i+1)
				d.answer = ""
				if happens {
					queue = append(queue, d.arg)
				}
			case len(queue) > 0:
				d.answer = queue[0]
				if happens {
					queue = queue[1:]
				}
			}
			if d.f == "dequeue" && rng.IntN(10) == 0 {
				d.answer = []string{"null", "1", "2", "3"}[rng.IntN(4)]
			}
			if d.f == "dequeue" && d.answer == "null" {
				d.how = history.Ok // a read that failed is left out
			}
			all = append(all, d)
		}
		res := queueChecker{}.Check(t.Context(), &check.Input{History: historyOf(all...)})
		want := check.Valid
		if !queueable(all, make([]bool, len(all)), nil) {
			want = check.Invalid
			bad++
		}
		if res.Validity != want {
			t.Fatalf("got %v (%v), want %v: %+v", res.Validity, res.Findings, want, all)
		}
	}
	if bad < n/20 || bad > n*9/10 {
		t.Errorf("%d of %d histories are wrong: that is no test", bad, n)
	}
}
