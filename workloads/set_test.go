package workloads

import (
	"testing"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

func TestAnElementIsFollowedThroughTime(t *testing.T) {
	add := func(value string, from, to int) did {
		return did{f: "add", key: "s", arg: value, from: from, to: to}
	}
	info := did{f: "add", key: "s", arg: "9", from: 1, to: 5, how: history.Info}
	refused := did{f: "add", key: "s", arg: "9", from: 1, to: 5, how: history.Fail}
	read := func(elements string, from, to int, node string) did {
		return did{f: "read", key: "s", answer: "[" + elements + "]", from: from, to: to, node: node}
	}
	judgeAll(t, setChecker{}, []judged{
		{name: "all is seen", want: check.Valid,
			did: []did{add("1", 1, 2), add("2", 1, 3), read("1", 2, 3, "n1"), read("1,2", 4, 5, "n2")}},
		{name: "a read beside the add may miss it", want: check.Valid,
			did: []did{add("1", 1, 5), read("", 4, 6, "n1"), read("1", 7, 8, "n1")}},
		{name: "an add without answer may be seen late", want: check.Valid, did: []did{
			info, add("1", 1, 2), read("1", 6, 7, "n1"), read("1,9", 50, 51, "n1")}},
		{name: "an add without answer may never be seen", want: check.Valid,
			did: []did{info, add("1", 1, 2), read("1", 6, 7, "n1")}},
		{name: "the list may be in any order", want: check.Valid,
			did: []did{add("1", 1, 2), add("2", 1, 2), read("2,1", 6, 7, "n1")}},
		{name: "an acknowledged element is lost", want: check.Invalid,
			classes: []string{"lost element"}, contains: "On no node does the last read have it",
			did: []did{add("1", 1, 2), read("", 3, 4, "n1"), read("", 5, 6, "n2")}},
		{name: "it is lost after it was seen", want: check.Invalid,
			classes: []string{"lost element"},
			did:     []did{add("1", 1, 2), read("1", 3, 4, "n1"), read("", 5, 6, "n1")}},
		{name: "it is lost on one node", want: check.Invalid, classes: []string{"lost on a node"},
			contains: "has it on n2, and not on n1",
			did:      []did{add("1", 1, 2), read("", 3, 4, "n1"), read("1", 5, 6, "n2")}},
		{name: "it was missed once", want: check.Invalid, classes: []string{"stale read"},
			did: []did{add("1", 1, 2), read("", 3, 4, "n1"), read("1", 5, 6, "n1")}},
		{name: "what had no answer vanishes after it was seen", want: check.Invalid,
			classes: []string{"stale read"}, contains: "somebody had read it by",
			did: []did{info, read("9", 6, 7, "n1"), read("", 8, 9, "n1"), read("9", 10, 11, "n1")}},
		{name: "it was seen while its add was under way, and then not", want: check.Invalid,
			classes: []string{"lost on a node"},
			did: []did{add("1", 1, 20), read("1", 2, 3, "n1"), read("", 4, 5, "n2"),
				read("1", 22, 23, "n1")}},
		{name: "it comes from nowhere", want: check.Invalid, classes: []string{"phantom"},
			did: []did{add("1", 1, 2), read("1,5", 3, 4, "n1")}},
		{name: "it is seen before it is added", want: check.Invalid, classes: []string{"phantom"},
			did: []did{read("1", 1, 2, "n1"), add("1", 3, 4), read("1", 5, 6, "n1")}},
		{name: "it was refused and is there", want: check.Invalid,
			classes: []string{"refused but done"},
			did:     []did{refused, add("1", 1, 2), read("1,9", 6, 7, "n1")}},
		{name: "it is there twice", want: check.Invalid, classes: []string{"duplicated"},
			did: []did{add("1", 1, 2), read("1,1", 3, 4, "n1")}},
		{name: "garbage is there", want: check.Invalid, classes: []string{"phantom"},
			did: []did{add("1", 1, 2), read(`1,"7=x"`, 3, 4, "n1")}},
		{name: "nobody looked after it was acknowledged", want: check.Unknown,
			reason: "can not be judged", did: []did{add("1", 1, 5), read("", 4, 6, "n1")}},
		{name: "only failed reads looked", want: check.Unknown, reason: "can not be judged",
			did: []did{add("1", 1, 5), {f: "read", key: "s", from: 6, to: 7, how: history.Fail}}},
		{name: "nothing was done", want: check.Unknown, reason: "no operations"},
		{name: "nothing was added", want: check.Unknown, reason: "no element",
			did: []did{read("", 1, 2, "n1")}},
		{name: "an element is added twice", want: check.Unknown, reason: "have to be unique",
			did: []did{add("1", 1, 5), add("1", 6, 7)}},
	})
}
