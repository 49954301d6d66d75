package raft

import (
	"math/rand/v2"
	"testing"
)

// These are mistakes that the simulator found in this core. Each is rare there; here each is
// pinned down.

// A log that a snapshot outran is discarded with the first write. What that write says must not
// change when another snapshot is taken before it is performed.
func TestResetIsNotLentOut(t *testing.T) {
	snap := SnapshotMeta{Index: 5, Term: 3, Config: Config{Voters: []ID{1, 2, 3}}}
	for name, log := range map[string][]Entry{"no log": nil, "a shorter log": entries(1, 1, 1)} {
		n, err := New(0, testOptions(), Restored{
			HardState: HardState{Term: 3}, Snapshot: snap, Entries: log,
		})
		if err != nil {
			t.Fatal(err)
		}
		var first, later Output
		n.Drain(&first)
		n.Step(1, Message{
			Kind: MsgAppend, From: 2, To: 1, Term: 3, Index: 5, LogTerm: 3,
			Entries: entries(6, 3, 3), Commit: 7,
		})
		n.Drain(&later)
		meta, ok := n.MetaAt(7)
		if !ok {
			t.Fatal("nothing to take a snapshot of")
		}
		n.Snapshotted(meta)
		if first.Reset == nil || first.Reset.Index != 5 {
			t.Errorf("%s: the write in progress now says %+v, want the snapshot of 5", name, first.Reset)
		}
	}
}

// While a follower is probed, a late or doubled acknowledgement says nothing new. If it ended the
// probe, each would send a whole window, the answers to which would send more.
func TestDoubledAckDoesNotEndAProbe(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	a.opts.MaxBatchBytes = 1
	a.elect()
	ack := Message{Kind: MsgAppendResp, From: 2, Term: a.Term(), Index: a.Status().Last}
	a.step(ack)
	if _, _, err := a.Propose(a.now, [][]byte{{1}, {2}, {3}, {4}}); err != nil {
		t.Fatal(err)
	}
	a.settle()
	a.step(Message{
		Kind: MsgAppendResp, From: 2, Term: a.Term(), Reject: true, Refused: 2, Index: 1, LogTerm: 1,
	})
	if p := a.peer(2); p.state != stateProbe {
		t.Fatalf("n2 is in state %s after a refusal", progressNames[p.state])
	}
	for range 3 {
		if a.step(ack); a.said(MsgAppend) || a.peer(2).state != stateProbe {
			t.Fatalf("a doubled acknowledgement sent %v", a.sent)
		}
	}
	ack.Index++
	if a.step(ack); a.peer(2).state != stateReplicate {
		t.Error("the answer to the probe did not end it")
	}
}

// A voter that is removed by an entry which is not committed yet may have the longest log: without
// it nobody could be elected. Once it is committed it keeps quiet.
func TestRemovedVoterStandsUntilItsRemovalIsCommitted(t *testing.T) {
	was := Config{Voters: []ID{1, 2}}
	joint := Config{Voters: []ID{2}, Old: []ID{1, 2}}
	log := entries(1, 1, 2, 2)
	log[1].Kind, log[1].Data = EntryConfig, joint.Encode()
	log[2].Kind, log[2].Data = EntryConfig, Config{Voters: []ID{2}}.Encode()
	for applied, want := range map[Index]Role{0: PreCandidate, 2: PreCandidate, 3: Follower} {
		n, err := New(0, Options{ID: 1, Rand: rand.New(rand.NewPCG(1, 1))}, Restored{
			HardState: HardState{Term: 2}, Snapshot: SnapshotMeta{Config: was}, Entries: log,
			Applied: applied,
		})
		if err != nil {
			t.Fatal(err)
		}
		n.Tick(n.Deadline())
		if n.Role() != want {
			t.Errorf("committed up to %d: %s after its timeout, want %s", applied, n.Role(), want)
		}
	}
}

// Probing a newcomer begins at an entry that exists; beyond the end there would be nothing to
// send, and it would learn nothing until the next proposal.
func TestNewcomerIsProbedAtOnce(t *testing.T) {
	a := newAlone(t, 1, 2)
	a.elect()
	a.step(Message{Kind: MsgAppendResp, From: 2, Term: a.Term(), Index: a.Status().Last})
	if err := a.ChangeTo(a.now, Config{Voters: []ID{1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	a.sent = a.sent[:0]
	a.settle()
	for _, m := range a.sent {
		if m.To == 3 && m.Kind == MsgAppend {
			return
		}
	}
	t.Errorf("nothing was sent to n3, only %v", a.sent)
}
