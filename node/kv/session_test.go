package kv

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func inc(session, seq, ack uint64) Command {
	return Command{Op: OpIncrement, Key: "n", Delta: 1,
		Session: Session{ID: session, Seq: seq, Ack: ack}}
}

func TestRetriesAreCarriedOutOnce(t *testing.T) {
	m := New()
	id := apply(m, Command{Op: OpOpenSession}).Version
	first := apply(m, inc(id, 1, 0))
	for range 3 {
		if d := cmp.Diff(first, apply(m, inc(id, 1, 0))); d != "" {
			t.Errorf("a retry is answered differently: %s", d)
		}
	}
	// Requests may overtake each other.
	third := apply(m, inc(id, 3, 0))
	second := apply(m, inc(id, 2, 0))
	if first.Value != "1" || third.Value != "2" || second.Value != "3" {
		t.Errorf("values %s, %s, %s", first.Value, third.Value, second.Value)
	}
	if r := apply(m, inc(id, 3, 3)); r.Value != "2" {
		t.Errorf("retry of the third: %+v", r)
	}
	if r := apply(m, inc(id, 2, 0)); r.Code != CodeSeqExpired {
		t.Errorf("what was acknowledged came again: %+v", r)
	}
	if item, _ := m.Get("n"); item.Value != "3" {
		t.Errorf("the counter is at %s", item.Value)
	}
}

func TestUnknownAndClosedSessions(t *testing.T) {
	m := New()
	if r := apply(m, inc(7, 1, 0)); r.Code != CodeSessionUnknown {
		t.Errorf("never opened: %+v", r)
	}
	id := apply(m, Command{Op: OpOpenSession}).Version
	apply(m, Command{Op: OpCloseSession, Session: Session{ID: id}})
	if r := apply(m, inc(id, 1, 0)); r.Code != CodeSessionUnknown {
		t.Errorf("closed: %+v", r)
	}
	if m.Len() != 0 || m.Digest() != 0 {
		t.Errorf("something is left: %d keys, digest %x", m.Len(), m.Digest())
	}
}

func TestTheSessionUsedLongestAgoGoes(t *testing.T) {
	m := New()
	var ids []uint64
	for range MaxSessions {
		ids = append(ids, apply(m, Command{Op: OpOpenSession}).Version)
	}
	apply(m, Command{Op: OpKeepSession, Session: Session{ID: ids[0]}})
	apply(m, Command{Op: OpOpenSession})
	if m.Sessions() != MaxSessions {
		t.Errorf("%d sessions", m.Sessions())
	}
	if r := apply(m, inc(ids[1], 1, 0)); r.Code != CodeSessionUnknown {
		t.Errorf("the one that was not used: %+v", r)
	}
	if r := apply(m, inc(ids[0], 1, 0)); r.Code != "" {
		t.Errorf("the one that was used: %+v", r)
	}
}

func TestRepliesAreBounded(t *testing.T) {
	m := New()
	id := apply(m, Command{Op: OpOpenSession}).Version
	for seq := range uint64(MaxReplies + 1) {
		apply(m, inc(id, seq+1, 0))
	}
	if r := apply(m, inc(id, 1, 0)); r.Code != CodeSeqExpired {
		t.Errorf("the oldest: %+v", r)
	}
	if r := apply(m, inc(id, 2, 0)); r.Value != "2" {
		t.Errorf("the oldest but one: %+v", r)
	}
}

func TestTransactions(t *testing.T) {
	put := func(k, v string) Step { return Step{Op: OpPut, Key: k, Value: v} }
	run := func(m *Machine, x Txn) Result { return apply(m, Command{Op: OpTxn, Txn: &x}) }
	m := New()
	x := Txn{
		Compare: []Compare{{Key: "a", Target: TargetAbsent}},
		Then:    []Step{put("a", "1"), put("b", "1"), {Op: OpGet, Key: "a"}},
		Else:    []Step{{Op: OpGet, Key: "b"}},
	}
	want := Result{Done: true, Steps: []Result{{Done: true, Version: 1}, {Done: true, Version: 1},
		{Done: true, Found: true, Value: "1", Version: 1}}}
	if d := cmp.Diff(want, run(m, x)); d != "" {
		t.Errorf("first: %s", d)
	}
	want = Result{Steps: []Result{{Done: true, Found: true, Value: "1", Version: 1}}}
	if d := cmp.Diff(want, run(m, x)); d != "" {
		t.Errorf("second: %s", d)
	}
	before := encode(m)
	digest := m.Digest()
	bad := Txn{Then: []Step{put("a", "x"), {Op: OpDelete, Key: "b"}, put("c", "1"), put("c", "2"),
		{Op: OpIncrement, Key: "a", Delta: 1}}}
	if r := run(m, bad); r.Code != CodeNotANumber {
		t.Errorf("bad: %+v", r)
	}
	if m.Digest() != digest || m.Len() != 2 {
		t.Errorf("a transaction that failed left something behind: %s, before %s", encode(m), before)
	}
}

func TestIncrement(t *testing.T) {
	m := New()
	step := func(delta int64) Result {
		return apply(m, Command{Op: OpIncrement, Key: "n", Delta: delta})
	}
	if r := step(-3); r.Value != "-3" {
		t.Errorf("from nothing: %+v", r)
	}
	if r := step(1<<63 - 1); r.Value != fmt.Sprint(int64(1<<63-1)-3) {
		t.Errorf("large: %+v", r)
	}
	if r := step(4); r.Code != CodeNotANumber {
		t.Errorf("past 64 bits: %+v", r)
	}
	apply(m, Command{Op: OpPut, Key: "n", Value: "x"})
	if r := step(1); r.Code != CodeNotANumber {
		t.Errorf("no number: %+v", r)
	}
}

func TestList(t *testing.T) {
	m := New()
	for i := range 200 {
		apply(m, Command{Op: OpPut, Key: fmt.Sprintf("a/%03d", i), Value: "v"})
		apply(m, Command{Op: OpPut, Key: fmt.Sprintf("b/%03d", i), Value: "v"})
	}
	list, more := m.List("b/", "b/150", 10)
	if len(list) != 10 || !more || list[0].Key != "b/150" || list[9].Key != "b/159" {
		t.Errorf("got %v, %v", list, more)
	}
	if list, more = m.List("a/", "", 1000); len(list) != 200 || more {
		t.Errorf("got %d, %v", len(list), more)
	}
	if list, more = m.List("c", "", 10); len(list) != 0 || more {
		t.Errorf("got %v, %v", list, more)
	}
}
