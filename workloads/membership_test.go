package workloads

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// changeMembers adds a change of the membership, in milliseconds, to a history.
func changeMembers(h *history.History, name string, from, to int) {
	for _, typ := range []history.Type{history.Invoke, history.Info} {
		op := history.Op{Process: history.Nemesis, Type: typ, F: name,
			Time:  time.Duration(from) * time.Millisecond,
			Value: []byte(`{"step":` + string('0'+rune(from/1000)) + `,"action":"inject"}`)}
		if typ == history.Info {
			op.Time = time.Duration(to) * time.Millisecond
			op.Value = []byte(strings.Replace(string(op.Value), `"inject"`,
				`"inject","outcome":"installed"`, 1))
		}
		h.Ops = append(h.Ops, op)
	}
}

func TestWhatAChangeOfTheMembersCostsIsMeasured(t *testing.T) {
	var all []did
	for at := 0; at < 9000; at += 100 {
		d := did{f: "read", key: "k", from: at, to: at + 10}
		if at >= 3000 && at < 3500 { // while members change, nothing works for half a second
			d.how = history.Fail
		}
		if at >= 5000 && at < 6000 { // and later it is slow
			d.to = at + 50
		}
		all = append(all, d)
	}
	h := historyOf(all...)
	changeMembers(h, "membership-add", 3000, 3200)
	changeMembers(h, "membership-replace", 5000, 5300)
	res := rotation{}.Check(t.Context(), &check.Input{History: h})
	if res.Validity != check.Valid {
		t.Fatalf("got %v: %s", res.Validity, res.Reason)
	}
	var got struct{ Changes []cost }
	if err := json.Unmarshal(res.Details, &got); err != nil || len(got.Changes) != 3 {
		t.Fatalf("%v: %s", err, res.Details)
	}
	add, replace, rest := got.Changes[0], got.Changes[1], got.Changes[2]
	if add.Gap != 600*time.Millisecond || add.Other != 5 || add.P99 != 10*time.Millisecond {
		t.Errorf("add: %+v", add)
	}
	if replace.P50 != 50*time.Millisecond || replace.Other != 0 {
		t.Errorf("replace: %+v", replace)
	}
	if rest.P99 != 10*time.Millisecond || rest.Other != 0 {
		t.Errorf("the rest: %+v", rest)
	}
}

func TestWithoutAChangeOfTheMembersNothingIsSaidOfIt(t *testing.T) {
	h := historyOf(did{f: "read", key: "k", from: 1, to: 2})
	res := rotation{}.Check(t.Context(), &check.Input{History: h})
	if res.Validity != check.Unknown || !strings.Contains(res.Reason, "--faults membership") {
		t.Errorf("got %v: %s", res.Validity, res.Reason)
	}
}
