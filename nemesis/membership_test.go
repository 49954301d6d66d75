package nemesis

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// begun makes a nemesis of steps and injects them all.
func begun(t *testing.T, env *Env, steps ...Step) *Nemesis {
	t.Helper()
	n, err := New(env, Schedule{Steps: steps}, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n.todo = slices.DeleteFunc(n.todo, func(a action) bool { return a.heal })
	for _, s := range steps {
		if v := act(t, n); v.Outcome != Installed {
			t.Fatalf("%s: %+v", s.Fault, v)
		}
	}
	return n
}

func TestTheMajorityIsThatOfThePresentMembers(t *testing.T) {
	env := up(t, 3)
	n := begun(t, env, Step{ID: 1, Fault: "membership-swap", Target: All},
		Step{ID: 2, Fault: "kill", Target: "n1"}, Step{ID: 3, Fault: "kill", Target: "n2"})
	if got, want := env.ids(), []sut.NodeID{"n4", "n5", "n6"}; !slices.Equal(got, want) {
		t.Fatalf("members: got %v, want %v", got, want)
	}
	if !env.majorityWhole() {
		t.Error("two nodes are dead that are no members, and no majority is called whole")
	}
	n.Heal(t.Context())
	for _, id := range []sut.NodeID{"n1", "n2", "n3"} {
		if st, _ := env.Cluster.Host(id).State(t.Context()); st != cluster.Gone {
			t.Errorf("%s has left, and is %s after the heal", id, st)
		}
	}
}

func TestANodeThatLostItsDiskNeverComesBack(t *testing.T) {
	env := up(t, 3)
	n := begun(t, env, Step{ID: 1, Fault: "membership-replace", Target: "n2"})
	n.Heal(t.Context())
	if got, want := env.ids(), []sut.NodeID{"n1", "n3", "n4"}; !slices.Equal(got, want) {
		t.Fatalf("members: got %v, want %v", got, want)
	}
	if _, err := env.newcomers(3, false); !Skipped(err) {
		t.Errorf("n5 and n6 are left, and three newcomers are found: %v", err)
	}
}

// doubtful is an Admin whose changes take effect and are answered as if nobody knew.
type doubtful struct {
	Admin
	effect bool
}

func (d *doubtful) SetMembers(ctx context.Context, via sut.NodeID, want []sut.NodeID) error {
	if d.effect {
		_ = d.Admin.SetMembers(ctx, via, want)
	}
	return errors.New("lost")
}

func TestAChangeOfWhichNobodyKnewIsSettledByTheHeal(t *testing.T) {
	for _, effect := range []bool{false, true} {
		env := up(t, 3)
		doubt := &doubtful{Admin: env.Admin, effect: effect}
		env.Admin = doubt
		n, err := New(env, Schedule{Steps: []Step{{ID: 1, Fault: "membership-add", Target: All}}},
			0, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		op, _ := n.Next(time.Hour, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		n.Do(ctx, op)
		if sets := env.members.configurations(env); len(sets) != 2 {
			t.Fatalf("a change is in doubt, and the members are %v", sets)
		}
		doubt.effect, env.Admin = true, doubt.Admin // it is answered again
		n.Heal(t.Context())
		if got := len(env.members.configurations(env)); got != 1 {
			t.Errorf("effect %v: after the heal it is still in doubt", effect)
		}
		want := []sut.NodeID{"n1", "n2", "n3"} // what was added is gone again
		if got := env.ids(); !slices.Equal(got, want) {
			t.Errorf("effect %v: members: got %v, want %v", effect, got, want)
		}
	}
}

func TestWhatAFaultAsksOfANodeIsWrittenDownWithItsOutcome(t *testing.T) {
	env := up(t, 3)
	var notes []MemberOp
	env.Note = func(f string, _ sut.NodeID, value any) { notes = append(notes, value.(MemberOp)) }
	begun(t, env, Step{ID: 1, Fault: "membership-remove", Target: "n2"})
	if len(notes) != 2 || notes[0].Type != "invoke" || notes[1].Type != "ok" ||
		!slices.Equal(notes[1].Members, []sut.NodeID{"n1", "n3"}) {
		t.Errorf("got %+v", notes)
	}
}

func TestAFaultThatWouldTakeTheMajorityIsSkippedWhereThePlanWantsOne(t *testing.T) {
	env := up(t, 5)
	n := begun(t, env, Step{ID: 1, Fault: "kill", Target: "n1", KeepMajority: true},
		Step{ID: 2, Fault: "pause", Target: "n2", KeepMajority: true})
	for i, fault := range []string{"kill", "partition-halves", "clock-jump", "network-slow", "cpu",
		"kill-loop", "partition-clients"} {
		third := Step{ID: 3 + i, Fault: fault, Target: "n3", KeepMajority: true}
		n.steps[third.ID], n.faults[third.ID] = third, mustConfigure(t, fault)
		n.todo = append(n.todo, action{step: third})
		if v := act(t, n); v.Outcome != SkippedFault || v.Majority == nil || !*v.Majority {
			t.Errorf("%s: got %+v", fault, v)
		}
	}
}

func mustConfigure(t *testing.T, name string) Fault {
	t.Helper()
	f, err := Configure(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestWhatTwoFaultsBreakIsWholeWhenBothAreHealed(t *testing.T) {
	env := up(t, 5)
	n, err := New(env, Schedule{Steps: []Step{
		{ID: 1, Fault: "pause", Target: "n2", For: 3}, {ID: 2, Fault: "kill", Target: "n2", At: 1, For: 1},
		{ID: 3, Fault: "partition-leader", Target: "n3", At: 4, For: 4},
		{ID: 4, Fault: "partition-oneway", Target: "n3", At: 5, For: 1},
	}}, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	state := func() cluster.State {
		st, _ := env.Cluster.Host("n2").State(t.Context())
		return st
	}
	for i, want := range []cluster.State{
		cluster.Stopped, cluster.Gone, cluster.Gone, cluster.Running,
	} {
		if act(t, n); state() != want {
			t.Errorf("after action %d n2 is %s, want %s", i, state(), want)
		}
	}
	act(t, n)
	all := len(env.links.broken())
	act(t, n)
	act(t, n)
	if got := len(env.links.broken()); got != all || got == 0 {
		t.Errorf("the second partition is healed, and %d links are cut; %d were", got, all)
	}
	if act(t, n); len(env.links.broken()) != 0 {
		t.Error("both partitions are healed, and links are cut")
	}
}
