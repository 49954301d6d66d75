package workloads

import (
	"fmt"
	"testing"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

func TestAWatcherIsToldEveryChangeOnceAndInOrder(t *testing.T) {
	write := func(value string, version, from, to int) did {
		return did{f: "write", key: "w1", arg: value, from: from, to: to,
			answer: fmt.Sprintf(`{"version":%d}`, version)}
	}
	watch := func(after int, events string, from, to int) did {
		return did{f: "watch", arg: fmt.Sprintf(`{"after":%d}`, after), from: from, to: to,
			answer: fmt.Sprintf(`{"after":%d,"events":[%s]}`, after, events)}
	}
	one, two, three := `["w1",1,5]`, `["w1",2,6]`, `["w1",3,7]`
	writes := []did{write("1", 5, 1, 2), write("2", 6, 3, 4), write("3", 7, 5, 6)}
	with := func(more ...did) []did { return append(writes[:3:3], more...) }
	open := did{f: "write", key: "w1", arg: "9", from: 1, to: 2, how: history.Info}
	refused := open
	refused.how = history.Fail
	judgeAll(t, watchChecker{}, []judged{
		{name: "all in order", want: check.Valid,
			did: with(watch(0, one+","+two+","+three, 1, 20), watch(5, two+","+three, 1, 20))},
		{name: "one hears only the beginning", want: check.Valid,
			did: with(watch(0, one, 1, 3), watch(5, two+","+three, 1, 20))},
		{name: "a write without an answer is told", want: check.Valid,
			did: with(open, watch(0, one+","+two+","+three+`,["w1",9,8]`, 1, 20))},
		{name: "a watcher that broke heard what it heard", want: check.Valid,
			did: with(watch(0, one+","+two+","+three, 1, 20), did{f: "watch", arg: `{"after":5}`,
				answer: `{"after":5,"broken":"EOF"}`, from: 1, to: 9})},
		{name: "one is left out", want: check.Invalid, classes: []string{"gap"},
			contains: "not version 6", did: with(watch(0, one+","+three, 1, 20))},
		{name: "the first is left out", want: check.Invalid, classes: []string{"gap"},
			did: with(watch(0, two+","+three, 1, 20))},
		{name: "what only another watcher heard is left out", want: check.Invalid,
			classes: []string{"gap"}, did: with(open,
				watch(0, one+","+two+","+three+`,["w1",9,8]`, 1, 20),
				write("4", 10, 21, 22), watch(7, `["w1",4,10]`, 21, 30))},
		{name: "one comes twice", want: check.Invalid, classes: []string{"told twice"},
			did: with(watch(0, one+","+one+","+two+","+three, 1, 20))},
		{name: "one comes late", want: check.Invalid, classes: []string{"out of order"},
			did: with(watch(0, one+","+three+","+two, 1, 20))},
		{name: "one is too old", want: check.Invalid, classes: []string{"too old"},
			did: with(watch(6, two+","+three, 1, 20))},
		{name: "one was never written", want: check.Invalid, classes: []string{"phantom"},
			did: with(watch(0, one+","+two+","+three+`,["w1",77,8]`, 1, 20))},
		{name: "one was refused", want: check.Invalid, classes: []string{"phantom"},
			did: with(refused, watch(0, one+","+two+","+three+`,["w1",9,8]`, 1, 20))},
		{name: "two changes have one version", want: check.Invalid,
			classes: []string{"two changes"}, did: with(open, watch(0, `["w1",9,5],`+two+","+three,
				1, 20))},
		{name: "one change has two versions", want: check.Invalid,
			classes: []string{"gap", "two versions"},
			did:     with(watch(0, one+","+two+`,["w1",3,8]`, 1, 20))},
		{name: "versions do not go with time", want: check.Invalid,
			classes: []string{"versions out of order"}, did: []did{write("1", 6, 1, 2),
				write("2", 5, 3, 4), watch(0, `["w1",2,5],["w1",1,6]`, 1, 20)}},
		{name: "a read finds the newest", want: check.Valid, did: with(
			watch(0, one+","+two+","+three, 1, 20),
			did{f: "read", key: "w1", answer: three, from: 7, to: 8})},
		{name: "a read finds an old one", want: check.Invalid, classes: []string{"stale read"},
			did: with(watch(0, one+","+two+","+three, 1, 20),
				did{f: "read", key: "w1", answer: two, from: 7, to: 8})},
		{name: "a read finds what was never written", want: check.Invalid,
			classes: []string{"phantom"}, did: with(watch(0, one+","+two+","+three, 1, 20),
				did{f: "read", key: "w1", answer: `["w1",77,8]`, from: 7, to: 8})},
		{name: "the last is never told", want: check.Unknown, reason: "nobody was told",
			did: with(watch(0, one+","+two, 1, 20))},
		{name: "nothing was told", want: check.Unknown, reason: "no watcher",
			did: with(watch(0, "", 1, 20))},
	})
}
