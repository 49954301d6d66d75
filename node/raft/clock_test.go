package raft

import "testing"

// TestAClockThatJumps: going back it stands still, for the core; going forward it costs a leader
// its office when no quorum was heard from since, and never more than that.
func TestAClockThatJumps(t *testing.T) {
	a := leaseholder(t)
	a.answerRound()
	term, deadline := a.Term(), a.Deadline()
	for _, back := range []Time{a.now - 1, a.now - 3600*1000*millisecond, -1} {
		a.Tick(back)
		if a.Node.now < a.now || a.Role() != Leader || a.Deadline() != deadline {
			t.Fatalf("after a jump back to %d: time %d, %d, deadline %d",
				back, a.Node.now, a.Role(), a.Deadline())
		}
	}
	a.now += 3600 * 1000 * millisecond
	if a.Tick(a.now); a.Role() == Leader {
		t.Error("it leads on, although it heard from nobody for an hour")
	}
	if a.hasLease() {
		t.Error("a lease after an hour")
	}
	if a.Term() != term {
		t.Errorf("term %d, not %d: nobody was asked for a vote", a.Term(), term)
	}
}
