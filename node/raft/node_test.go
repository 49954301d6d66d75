package raft

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// alone makes a node with a disk that writes at once, whose effects the test looks at.
type alone struct {
	*Node
	t    *testing.T
	now  Time
	sent []Message
	out  Output
}

func newAlone(t *testing.T, voters ...ID) *alone {
	t.Helper()
	n, err := New(0, Options{ID: 1, Rand: rand.New(rand.NewPCG(7, 7))},
		Restored{Snapshot: SnapshotMeta{Config: Config{Voters: voters}}})
	if err != nil {
		t.Fatal(err)
	}
	a := &alone{Node: n, t: t}
	a.settle()
	return a
}

// settle carries out all effects; messages are kept in sent.
func (a *alone) settle() {
	for a.Drain(&a.out) {
		for _, m := range a.out.Send {
			a.sent = append(a.sent, m.Message)
		}
		if a.out.Ticket != 0 {
			a.Persisted(a.out.Ticket)
		}
	}
}

func (a *alone) step(m Message) {
	a.t.Helper()
	a.sent = a.sent[:0]
	m.To = 1
	a.Step(a.now, m)
	a.settle()
}

// elect makes the node leader of the next term, with the vote of n2.
func (a *alone) elect() {
	a.t.Helper()
	a.now = a.Deadline()
	a.Tick(a.now)
	a.settle()
	a.step(Message{Kind: MsgPreVoteResp, From: 2, Term: a.Term() + 1})
	a.step(Message{Kind: MsgVoteResp, From: 2, Term: a.Term()})
	if a.Role() != Leader {
		a.t.Fatalf("%s after n2's vote", a.Role())
	}
}

func (a *alone) said(kind MessageKind) bool {
	return slices.ContainsFunc(a.sent, func(m Message) bool { return m.Kind == kind })
}

func TestElectionTimeoutsDiffer(t *testing.T) {
	seen := map[Time]bool{}
	for seed := range uint64(50) {
		n, err := New(0, Options{ID: 1, Rand: rand.New(rand.NewPCG(seed, 1))}, Restored{})
		if err != nil {
			t.Fatal(err)
		}
		at := n.Deadline()
		if at < 300*millisecond || at >= 600*millisecond {
			t.Errorf("timeout %d outside one to two election timeouts", at)
		}
		seen[at] = true
	}
	if len(seen) < 45 {
		t.Errorf("only %d different timeouts of 50: candidates would split the vote", len(seen))
	}
}

func TestLeaderWithoutQuorumStepsDown(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	a.elect()
	for end := a.now + 700*millisecond; a.now < end; a.now = a.Deadline() {
		a.Tick(a.now)
		a.settle()
	}
	if a.Role() == Leader {
		t.Error("leads on although nobody answers")
	}
}

// A pre-vote that is granted when the node follows a leader, or leads, is void.
func TestLatePreVotesAreVoid(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	a.now = a.Deadline()
	a.Tick(a.now)
	a.settle()
	a.step(Message{Kind: MsgHeartbeat, From: 2, Term: 1})
	for _, from := range []ID{2, 3} {
		a.step(Message{Kind: MsgPreVoteResp, From: from, Term: 2})
	}
	if a.Role() != Follower || a.Term() != 1 {
		t.Errorf("%s of term %d after late pre-votes, want follower of term 1", a.Role(), a.Term())
	}
}

// An order to campaign holds in its own term only, and only for who has the leader's last entry.
func TestLateTimeoutNowIsVoid(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	a.step(Message{Kind: MsgHeartbeat, From: 2, Term: 3})
	for name, m := range map[string]Message{
		"an older term":      {Kind: MsgTimeoutNow, From: 2, Term: 2},
		"an entry it lacks":  {Kind: MsgTimeoutNow, From: 2, Term: 3, Index: 1, LogTerm: 1},
		"a differing entry":  {Kind: MsgTimeoutNow, From: 2, Term: 3, Index: 0, LogTerm: 2},
		"another's election": {Kind: MsgVoteResp, From: 2, Term: 3},
	} {
		a.step(m)
		if a.Role() != Follower || a.Term() != 3 {
			t.Fatalf("%s: %s of term %d", name, a.Role(), a.Term())
		}
	}
	a.step(Message{Kind: MsgTimeoutNow, From: 2, Term: 3})
	if a.Role() != Candidate || !a.said(MsgVote) {
		t.Errorf("%s after a valid order, want candidate", a.Role())
	}
}

func TestRefusalsAppendNothing(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	refused := func(name string, want error) {
		t.Helper()
		before := a.Status().Last
		_, _, err := a.Propose(a.now, [][]byte{make([]byte, 64)})
		if !errors.Is(err, want) || err != nil && a.Status().Last != before {
			t.Errorf("%s: %v and %d new entries, want %v", name, err, a.Status().Last-before, want)
		}
	}
	refused("a follower", ErrNotLeader)
	a.elect()
	a.opts.MaxUncommittedBytes = 100
	refused("a full leader", nil)
	refused("a full leader", ErrOverloaded)
	a.step(Message{Kind: MsgAppendResp, From: 2, Term: a.Term(), Index: a.Status().Last})
	refused("after a commit", nil)
}

func TestTransferFencesProposals(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	a.elect()
	for to, want := range map[ID]error{1: ErrNotVoter, 9: ErrNotVoter} {
		if err := a.Transfer(a.now, to); !errors.Is(err, want) {
			t.Errorf("transfer to %s: %v, want %v", to, err, want)
		}
	}
	if err := a.Transfer(a.now, 2); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Propose(a.now, [][]byte{nil}); !errors.Is(err, ErrTransferring) {
		t.Errorf("proposal during a transfer: %v", err)
	}
	if err := a.ChangeTo(a.now, Config{Voters: []ID{1}}); !errors.Is(err, ErrTransferring) {
		t.Errorf("change during a transfer: %v", err)
	}
}

func TestChangeRefusesBadTargets(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	ok := Config{Voters: []ID{1, 2}}
	if err := a.ChangeTo(a.now, ok); !errors.Is(err, ErrNotLeader) {
		t.Errorf("change on a follower: %v", err)
	}
	a.elect()
	if err := a.ChangeTo(a.now, ok); !errors.Is(err, ErrConfigBusy) {
		t.Errorf("change before the first commit of the term: %v", err)
	}
	a.step(Message{Kind: MsgAppendResp, From: 2, Term: a.Term(), Index: a.Status().Last})
	for _, bad := range []Config{
		{}, {Learners: []ID{1}}, {Voters: []ID{1}, Old: []ID{2}},
		{Voters: []ID{1, 2}, Learners: []ID{2}}, {Voters: []ID{0, 1}},
	} {
		if err := a.ChangeTo(a.now, bad); !errors.Is(err, ErrBadConfig) {
			t.Errorf("change to %s: %v", bad, err)
		}
	}
	if err := a.ChangeTo(a.now, ok); err != nil {
		t.Errorf("change to %s: %v", ok, err)
	}
	a.settle()
	if err := a.ChangeTo(a.now, ok); !errors.Is(err, ErrConfigBusy) {
		t.Errorf("a second change before the first is done: %v", err)
	}
}

// A follower's answers to its former life's questions must not pass for new ones.
func TestReadContextsDifferBetweenLives(t *testing.T) {
	contexts := map[uint64]bool{}
	for life := range uint64(20) {
		n, err := New(0, Options{ID: 1, Rand: rand.New(rand.NewPCG(life, 9))}, Restored{})
		if err != nil {
			t.Fatal(err)
		}
		n.Step(1, Message{Kind: MsgHeartbeat, From: 2, To: 1, Term: 1})
		if err := n.Read(1, 5); err != nil {
			t.Fatal(err)
		}
		var out Output
		n.Drain(&out)
		for _, m := range out.Send {
			if m.Kind == MsgReadIndex {
				contexts[m.Context] = true
			}
		}
	}
	if len(contexts) != 20 {
		t.Errorf("%d different contexts in 20 lives", len(contexts))
	}
}

// Learners hear heartbeats and answer them, but their word confirms no read.
func TestLearnersConfirmNothing(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	a.elect()
	last := a.Status().Last
	a.step(Message{Kind: MsgAppendResp, From: 2, Term: a.Term(), Index: last})
	target := Config{Voters: []ID{1, 2, 3}, Learners: []ID{4, 5, 6}}
	if err := a.ChangeTo(a.now, target); err != nil {
		t.Fatal(err)
	}
	a.settle()
	a.step(Message{Kind: MsgAppendResp, From: 2, Term: a.Term(), Index: last + 1})
	if err := a.Read(a.now, 77); err != nil {
		t.Fatal(err)
	}
	a.settle()
	answered := false
	for _, from := range []ID{4, 5, 6, 2} {
		if answered {
			t.Fatalf("the read was answered before a second voter confirmed it")
		}
		a.Step(a.now, Message{
			Kind: MsgHeartbeatResp, From: from, To: 1, Term: a.Term(), Context: a.reads.round,
		})
		a.Drain(&a.out)
		answered = len(a.out.Reads) > 0
	}
	if !answered {
		t.Error("the read was not answered although two voters confirmed it")
	}
}

// Whatever arrives, a follower neither dies of it nor takes it in.
func TestMalformedAppendsAreDropped(t *testing.T) {
	a := newAlone(t, 1, 2, 3)
	a.step(Message{Kind: MsgAppend, From: 2, Term: 5, Entries: entries(1, 5, 5)})
	for name, es := range map[string][]Entry{
		"a gap before them":      entries(4, 5),
		"a gap among them":       append(entries(3, 5), entries(5, 5)...),
		"terms that go down":     entries(3, 5, 4),
		"terms of the future":    entries(3, 6),
		"the same index again":   append(entries(3, 5), entries(3, 5)...),
		"an index before theirs": entries(2, 5),
	} {
		a.step(Message{Kind: MsgAppend, From: 2, Term: 5, Index: 2, LogTerm: 5, Entries: es})
		if last := a.Status().Last; last != 2 || len(a.sent) > 0 {
			t.Errorf("%s: log to %d, said %v", name, last, a.sent)
		}
	}
}
