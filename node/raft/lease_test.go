package raft

import (
	"math/rand/v2"
	"testing"
)

// leaseholder is the leader of three with lease reads, whose newest round of heartbeats left just
// now and was answered by n2.
func leaseholder(t *testing.T) *alone {
	t.Helper()
	a := newAlone(t, 1, 2, 3)
	a.opts.LeaseReads, a.opts.MaxDriftPPM = true, 100_000
	a.elect()
	a.step(Message{Kind: MsgAppendResp, From: 2, Term: a.Term(), Index: a.Status().Last})
	a.now = a.Deadline()
	a.Tick(a.now)
	a.settle()
	return a
}

func (a *alone) answerRound() {
	a.t.Helper()
	a.step(Message{Kind: MsgHeartbeatResp, From: 2, Term: a.Term(), Context: a.reads.round})
}

func TestLeaseCountsFromDepartureAndAllowsForDrift(t *testing.T) {
	a := leaseholder(t)
	left := a.now
	if a.hasLease() {
		t.Error("a lease before anybody answered")
	}
	a.now += 40 * millisecond
	a.answerRound()
	// 300 ms · 0.9/1.1 = 245 ms from when the heartbeats left.
	for _, c := range []struct {
		after Time
		want  bool
	}{{41, true}, {244, true}, {247, false}, {290, false}} {
		a.Node.now = left + c.after*millisecond
		if got := a.hasLease(); got != c.want {
			t.Errorf("%d ms after the heartbeats left: lease %t, want %t", c.after, got, c.want)
		}
	}
}

func TestLeaseAnswersAtOnce(t *testing.T) {
	a := leaseholder(t)
	a.answerRound()
	if err := a.Read(a.now, 42); err != nil {
		t.Fatal(err)
	}
	a.Drain(&a.out)
	if len(a.out.Reads) != 1 || a.out.Reads[0].ID != 42 || a.out.Reads[0].Err != nil {
		t.Errorf("reads %v, want 42 answered", a.out.Reads)
	}
}

// A target that was told to campaign may be elected against the others' patience, even after the
// transfer was given up.
func TestTransferEndsLeasesForTheTerm(t *testing.T) {
	a := leaseholder(t)
	a.answerRound()
	if err := a.Transfer(a.now, 2); err != nil {
		t.Fatal(err)
	}
	a.settle()
	if !a.said(MsgTimeoutNow) || a.hasLease() {
		t.Fatalf("told %t, lease %t", a.said(MsgTimeoutNow), a.hasLease())
	}
	a.lead.transfer = transfer{}
	a.now = a.Deadline()
	a.Tick(a.now)
	a.answerRound()
	if a.hasLease() {
		t.Error("the lease came back in the same term")
	}
}

// canVote asks for a vote in a higher term and reports whether it is granted.
func canVote(a *alone) bool {
	a.step(Message{Kind: MsgVote, From: 3, Term: a.Term() + 5, Index: 99, LogTerm: a.Term() + 4})
	return a.said(MsgVoteResp) && a.hard.Vote == 3
}

func TestPatienceOutlivesARestart(t *testing.T) {
	for lease, want := range map[bool]bool{true: false, false: true} {
		opts := Options{ID: 1, Rand: rand.New(rand.NewPCG(7, 7)), LeaseReads: lease}
		n, err := New(1e9, opts, Restored{
			HardState: HardState{Term: 3}, Snapshot: SnapshotMeta{Config: Config{Voters: []ID{1, 2, 3}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		a := &alone{Node: n, t: t, now: 1e9}
		a.settle()
		if got := canVote(a); got != want {
			t.Errorf("lease reads %t: votes right after a restart: %t, want %t", lease, got, want)
		}
		a.now += 300 * millisecond
		if !canVote(a) {
			t.Errorf("lease reads %t: does not vote an election timeout later", lease)
		}
	}
}

func TestPatienceOutlivesTheTerm(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	a.step(Message{Kind: MsgHeartbeat, From: 2, Term: 3})
	a.step(Message{Kind: MsgVoteResp, From: 3, Term: 4, Reject: true}) // an old request's late answer
	if a.Term() != 4 || a.Leader() != 0 {
		t.Fatalf("term %d, leader %s", a.Term(), a.Leader())
	}
	if canVote(a) {
		t.Error("votes although it heard from a leader just now")
	}
}
