package workloads

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// took is a hold with what was found and written of the lock, and of what it guards with a token.
func took(id, token int, lock, fenced string, from, to int) did {
	text := func(s string) string {
		if s == "" {
			return "null"
		}
		return `"` + s + `"`
	}
	return did{f: "hold", key: "lock0", arg: fmt.Sprint(id), from: from, to: to,
		answer: fmt.Sprintf(`{"token":%d,"lock":{"found":%s,"wrote":"%d:%d:99","outcome":"written"},`+
			`"fenced":{"found":%s,"wrote":"%d:%d","outcome":"written"},"released":{"found":`+
			`"%d:%d:99","wrote":"%d:%d:0","outcome":"written"}}`, token, text(lock), token, id,
			text(fenced), token, id, token, id, token, id)}
}

func TestATokenProtectsWhatALockGuards(t *testing.T) {
	first, second := took(1, 1, "", "", 1, 2), took(2, 2, "1:1:0", "1:1", 3, 4)
	read := func(key, value string, from, to int) did {
		return did{f: "read", key: key, answer: `"` + value + `"`, from: from, to: to}
	}
	open := did{f: "hold", key: "lock0", arg: "7", from: 1, to: 2, how: history.Info}
	judgeAll(t, lockChecker{}, []judged{
		{name: "one after the other", want: check.Valid,
			did: []did{first, second, read("lock0", "2:2:0", 5, 6), read("fenced0", "2:2", 5, 6)}},
		{name: "nobody knows who took it", want: check.Valid,
			did: []did{open, took(2, 2, "1:7:99", "", 3, 4)}},
		{name: "one token for two", want: check.Invalid,
			classes: []string{"one token for two", "lost update", "lost update"},
			did:     []did{first, took(2, 1, "", "", 1, 4)}},
		{name: "an old token is accepted", want: check.Invalid,
			classes: []string{"old token accepted"},
			did:     []did{first, took(2, 2, "1:1:0", "3:3", 1, 9), took(3, 3, "2:2:0", "1:1", 1, 9)}},
		{name: "a lock is forgotten", want: check.Invalid, classes: []string{"G-single-realtime"},
			did: []did{first, second, read("lock0", "1:1:0", 5, 6)}},
		{name: "nobody ever took it", want: check.Invalid, classes: []string{"phantom"},
			did: []did{first, read("lock0", "5:5:5", 5, 6)}},
		{name: "no lock was taken", want: check.Unknown, reason: "no lock",
			did: []did{{f: "read", key: "lock0", answer: "null", from: 1, to: 2}}},
	})
}

func TestWritesWithoutATokenAreCountedAndNotJudged(t *testing.T) {
	d := did{f: "hold", key: "lock0", arg: "1", from: 1, to: 2, answer: `{"token":1,"lock":` +
		`{"found":null,"wrote":"1:1:99","outcome":"written"},"fenced":{"found":"2:2",` +
		`"outcome":"refused"},"open":{"found":"2:2","wrote":"1:1","outcome":"written"},` +
		`"lapsed":true}`}
	res := lockChecker{}.Check(t.Context(), &check.Input{History: historyOf(d)})
	want := `{"holds":1,"lapsed":1,"refused_by_token":1,"unprotected_overwrites":1}`
	if res.Validity != check.Valid || string(res.Details) != want {
		t.Errorf("got %v, %s", res.Validity, res.Details)
	}
}

func TestAHolderThatIsAwayTooLongIsKeptFromWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMapStore()
		late := make(chan history.Op)
		go func() {
			late <- Lock{}.Do(t.Context(), store, history.Op{F: "hold", Key: "lock0", Value: []byte("10")})
		}()
		synctest.Wait() // it holds the lock and is away
		now := history.Op{F: "hold", Key: "lock0", Value: []byte("1")}
		if op := (Lock{}).Do(t.Context(), store, now); op.Type != history.Fail {
			t.Errorf("a lock that is held was taken: %+v", op)
		}
		<-time.After(lease + 1)
		if op := (Lock{}).Do(t.Context(), store, now); op.Type != history.Ok {
			t.Errorf("a lock that has lapsed was not taken: %+v", op)
		}
		h, ok := decodeHeld((<-late).Value)
		if !ok || !h.Lapsed || h.Fenced.Outcome != "refused" || h.Open.Outcome != "written" {
			t.Errorf("the late holder: %+v", h)
		}
	})
}
