package workloads

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

func TestACounterCountsWhatWasAskedFor(t *testing.T) {
	add := func(n string, from, to int) did {
		return did{f: "add", key: "c", answer: n, from: from, to: to}
	}
	open := func(from int) did {
		return did{f: "add", key: "c", from: from, to: from + 1, how: history.Info}
	}
	read := func(n string, from, to int) did {
		return did{f: "read", key: "c", answer: n, from: from, to: to}
	}
	judgeAll(t, counterChecker{}, []judged{
		{name: "one after the other", want: check.Valid,
			did: []did{read("0", 0, 1), add("1", 2, 3), add("2", 4, 5), read("2", 6, 7)}},
		{name: "a read beside an increment may see it or not", want: check.Valid,
			did: []did{add("1", 2, 9), read("0", 3, 4), read("1", 5, 6)}},
		{name: "without an answer it may count late", want: check.Valid,
			did: []did{open(1), add("1", 3, 4), read("1", 5, 6), read("2", 7, 8)}},
		{name: "without an answer it may never count", want: check.Valid,
			did: []did{open(1), add("1", 3, 4), read("1", 5, 6)}},
		{name: "sent again, the answer is the same", want: check.Valid, did: []did{
			{f: "add-once", key: "c", answer: `{"value":1}`, from: 1, to: 2}, read("1", 3, 4)}},
		{name: "sent again, it counts anew", want: check.Invalid,
			classes: []string{"applied twice", "applied twice or from nowhere"}, did: []did{
				{f: "add-once", key: "c", answer: `{"value":1,"again":2}`, from: 1, to: 2},
				read("2", 3, 4)}},
		{name: "it counted twice", want: check.Invalid,
			classes: []string{"applied twice or from nowhere"},
			did:     []did{add("1", 1, 2), read("2", 3, 4)}},
		{name: "what was open can not count before it began", want: check.Invalid,
			classes: []string{"applied twice or from nowhere"},
			did:     []did{add("2", 1, 2), open(3), read("2", 5, 6)}},
		{name: "one of two is lost", want: check.Invalid, classes: []string{"applied over"},
			did: []did{add("1", 1, 2), add("1", 3, 4)}},
		{name: "an old value is read", want: check.Invalid, classes: []string{"out of order"},
			did: []did{add("1", 1, 2), read("0", 3, 4)}},
		{name: "it goes back", want: check.Invalid, classes: []string{"out of order"},
			did: []did{add("1", 1, 9), read("1", 3, 4), read("0", 5, 6)}},
		{name: "it is read before it is counted", want: check.Invalid,
			classes: []string{"out of order"}, did: []did{read("1", 1, 2), add("1", 3, 4)}},
		{name: "it is no number", want: check.Invalid, classes: []string{"garbage"},
			did: []did{add("1", 1, 2), read(`"x"`, 3, 4)}},
		{name: "it is below nothing", want: check.Invalid, classes: []string{"phantom value"},
			did: []did{add("1", 1, 2), read("-1", 1, 4)}},
		{name: "nothing was counted", want: check.Unknown, reason: "nothing was counted",
			did: []did{read("0", 1, 2)}},
	})
}

// countable tries every order.
func countable(all []did, placed []bool, value int) bool {
	done := true
	for i, d := range all {
		done = done && (placed[i] || d.how == history.Info)
	}
	if done {
		return true
	}
	for i, d := range all {
		if placed[i] {
			continue
		}
		first := true
		for j, e := range all {
			first = first && (placed[j] || e.how == history.Info || e.to >= d.from)
		}
		next := value
		if d.f == "add" {
			next++
		}
		if !first || d.how != history.Info && d.answer != strconv.Itoa(next) {
			continue
		}
		placed[i] = true
		if countable(all, placed, next) {
			return true
		}
		placed[i] = false
	}
	return false
}

func TestTheBoundsOfACounterAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	n, bad := 5000, 0
	for range n {
		var all []did
		value := 0
		for i := range 2 + rng.IntN(5) {
			d := did{f: "read", key: "c", from: max(0, 5*i-rng.IntN(12))}
			d.to = max(5*i, d.from) + 1 + rng.IntN(12)
			if rng.IntN(2) == 0 {
				d.f = "add"
				if rng.IntN(4) == 0 {
					d.how = history.Info
				}
				if d.how != history.Info || rng.IntN(2) == 0 {
					value++
				}
			}
			d.answer = strconv.Itoa(value)
			if rng.IntN(12) == 0 {
				d.answer = strconv.Itoa(max(0, value+rng.IntN(3)-1))
			}
			all = append(all, d)
		}
		all = append(all, did{f: "add", key: "c", answer: strconv.Itoa(value + 1), from: 90, to: 91})
		in := &check.Input{History: historyOf(all...)}
		res := counterChecker{}.Check(t.Context(), in)
		want := check.Valid
		if !countable(all, make([]bool, len(all)), 0) {
			want = check.Invalid
			bad++
		}
		if res.Validity != want {
			t.Fatalf("got %v, want %v: %s\n%v", res.Validity, want, fmt.Sprintf("%+v", all),
				res.Findings)
		}
	}
	if bad < n/20 || bad > n*9/10 {
		t.Errorf("%d of %d histories are wrong: that is no test", bad, n)
	}
}
