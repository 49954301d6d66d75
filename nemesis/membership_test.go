package nemesis

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/history"
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
		{ID: 1, Fault: "pause", Target: "n2", For: 3},
		{ID: 2, Fault: "kill", Target: "n2", At: 1, For: 1},
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

func TestAStepFiresOnItsEventAtTheNodeThatSaidSo(t *testing.T) {
	env := up(t, 5)
	s, err := ReadPlan(strings.NewReader(`
steps:
  - {at: 0s, for: 8s, fault: pause, on: first_commit, within: 5s}
  - {at: 10ms, for: 8s, fault: partition-leader}
`), 10*time.Second, 5)
	if err != nil {
		t.Fatal(err)
	}
	if s.Steps[0].Target != Struck || s.Steps[0].Within != 5*time.Second {
		t.Errorf("got %+v", s.Steps[0])
	}
	n, err := New(env, s, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	waits, _ := n.Next(time.Hour, 0)
	done := make(chan history.Op)
	go func() { done <- n.Do(t.Context(), waits) }()
	for env.Events.listening.Load() == 0 {
		runtime.Gosched()
	}
	if v := act(t, n); v.Outcome != Installed {
		t.Fatalf("got %+v", v)
	}
	var v Value
	if err := json.Unmarshal((<-done).Value, &v); err != nil {
		t.Fatal(err)
	}
	if v.Outcome != Installed || !slices.Equal(v.Nodes, []sut.NodeID{"n2"}) {
		t.Errorf("n2 led next: got %+v", v)
	}
	if at, ok := v.Evidence.(map[string]any)["begun_after_us"].(float64); !ok || at > 1e6 {
		t.Errorf("evidence: got %v", v.Evidence)
	}
}

func TestEventsThatAreSeenFromSeveralLines(t *testing.T) {
	var e Events
	for _, c := range []struct{ line, want string }{
		{`{"ev":"become_leader","term":3}`, "become_leader"},
		{`{"ev":"commit","term":2}`, "commit"},
		{`{"ev":"commit","term":3}`, "commit first_commit"},
		{`{"ev":"commit","term":3}`, "commit"},
		{`{"ev":"become_follower","term":4}`, "become_follower stepped_down"},
		{`{"ev":"become_follower","term":5}`, "become_follower"},
		{`{"ev":"recv","detail":"snapshot"}`, "recv installing"},
		{`{"ev":"recv","detail":"vote"}`, "recv"},
	} {
		var s said
		if err := json.Unmarshal([]byte(c.line), &s); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(e.understand("n1", s), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.line, got, c.want)
		}
	}
}

func TestWhatIsWrongInAStepThatFiresOnAnEvent(t *testing.T) {
	for _, c := range []struct{ step, want string }{
		{"fault: kill, on: election", `on "election": there is no such event; there is become_leader`},
		{"fault: kill, target: event", "the target event go with on"},
		{"fault: kill, on: config, within: 1h", `within "1h": want a duration of at most 20s`},
	} {
		text := "steps:\n  - {at: 1s, for: 1s, " + c.step + "}\n"
		_, err := ReadPlan(strings.NewReader(text), time.Minute, 5)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.step, err, c.want)
		}
	}
}

func TestAChangeWhoseNodesWereChosenTooEarlyIsSkipped(t *testing.T) {
	env := up(t, 3)
	come, err := env.newcomers(1, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := env.change(t.Context(), come, nil); err != nil {
		t.Fatal(err)
	}
	if err := env.change(t.Context(), come, []sut.NodeID{"n1"}); !Skipped(err) {
		t.Errorf("it is a member already: got %v", err)
	}
	if err := env.change(t.Context(), nil, []sut.NodeID{"n6"}); !Skipped(err) {
		t.Errorf("it is no member: got %v", err)
	}
}
