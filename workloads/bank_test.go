package workloads

import (
	"testing"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// moved is a transfer of 10 from b0 to b1 that found and left what is said.
func moved(id, foundFrom, foundTo, from, to string, begin, end int) did {
	return did{f: "transfer", arg: `{"id":` + id + `,"from":"b0","to":"b1","amount":10}`,
		answer: `[["r","b0",` + foundFrom + `],["r","b1",` + foundTo + `],["w","b0","` + from + ":" +
			id + `"],["w","b1","` + to + ":" + id + `"]]`, from: begin, to: end}
}

func balances(b0, b1 string, from, to int) did {
	return did{f: "read", arg: `[["r","b0",null],["r","b1",null]]`,
		answer: `[["r","b0",` + b0 + `],["r","b1",` + b1 + `]]`, from: from, to: to}
}

func TestABankKeepsItsSum(t *testing.T) {
	judgeAll(t, bankSum{}, []judged{
		{name: "nothing has moved", want: check.Valid, did: []did{balances("null", "null", 1, 2)}},
		{name: "something has moved", want: check.Valid,
			did: []did{balances(`"90:1"`, `"110:1"`, 1, 2)}},
		{name: "half of a transfer is seen", want: check.Invalid, classes: []string{"wrong sum"},
			contains: "190", did: []did{balances(`"90:1"`, "null", 1, 2)}},
		{name: "an account is overdrawn", want: check.Invalid, classes: []string{"overdrawn"},
			did: []did{balances(`"-1:1"`, `"201:1"`, 1, 2)}},
		{name: "an account holds no number", want: check.Invalid, classes: []string{"garbage"},
			did: []did{balances(`"x"`, `"201:1"`, 1, 2)}},
		{name: "nobody looked", want: check.Unknown, reason: "nobody read",
			did: []did{moved("1", "null", "null", "90", "110", 1, 2)}},
	})
}

func TestSnapshotsOfABankAreInOrder(t *testing.T) {
	first := moved("1", "null", "null", "90", "110", 1, 2)
	second := moved("2", `"90:1"`, `"110:1"`, "80", "120", 3, 4)
	open := first
	open.how = history.Info
	never := first
	never.to = 0
	refused := first
	refused.how = history.Fail
	judgeAll(t, bankOrder{}, []judged{
		{name: "one after the other", want: check.Valid,
			did: []did{first, second, balances(`"80:2"`, `"120:2"`, 5, 6)}},
		{name: "without an answer it may happen late", want: check.Valid, did: []did{open,
			balances("null", "null", 3, 4), balances(`"90:1"`, `"110:1"`, 5, 6)}},
		{name: "of what never ended nothing is known", want: check.Valid, did: []did{never,
			balances("null", "null", 3, 4), balances(`"90:1"`, `"110:1"`, 5, 6)}},
		{name: "it happens late, and is gone", want: check.Invalid,
			classes: []string{"G-single-realtime"}, did: []did{open,
				balances(`"90:1"`, `"110:1"`, 3, 4), balances("null", "null", 5, 6)}},
		{name: "an old snapshot", want: check.Invalid, classes: []string{"G-single-realtime"},
			did: []did{first, balances("null", "null", 3, 4)}},
		{name: "half of a transfer is seen", want: check.Invalid, classes: []string{"G-single"},
			did: []did{first, balances(`"90:1"`, "null", 1, 4)}},
		{name: "what was refused is seen", want: check.Invalid, classes: []string{"G1a", "G1a"},
			did: []did{refused, balances(`"90:1"`, `"110:1"`, 3, 4)}},
		{name: "two transfers from the same balances", want: check.Invalid,
			classes: []string{"lost update", "lost update"},
			did:     []did{first, moved("2", "null", "null", "90", "110", 1, 4)}},
		{name: "nobody made it", want: check.Invalid, classes: []string{"phantom", "phantom"},
			did: []did{balances(`"90:7"`, `"110:7"`, 1, 4)}},
		{name: "an account by itself is old", want: check.Invalid,
			classes: []string{"G-single-realtime"},
			did:     []did{first, {f: "balance", key: "b0", answer: "null", from: 3, to: 4}}},
		{name: "an account by itself is right", want: check.Valid,
			did: []did{first, {f: "balance", key: "b0", answer: `"90:1"`, from: 3, to: 4}}},
		{name: "nothing was done", want: check.Unknown, reason: "no transaction", did: nil},
	})
}
