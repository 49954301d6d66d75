package nemesis

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/fake"
	"github.com/raftcheck/raftcheck/harness/driver"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/sut"
)

func names(n int) []sut.NodeID {
	var ids []sut.NodeID
	for i := range n {
		ids = append(ids, sut.NodeID(rune('a'+i)))
	}
	return ids
}

func TestInAMajorityRingEveryNodeSeesAMajorityAndNoTwoTheSame(t *testing.T) {
	for n := 4; n <= 9; n++ {
		links := majorityRing(names(n), nil, rand.New(rand.NewPCG(uint64(n), 1)))
		cut := map[link]bool{}
		for _, l := range links {
			cut[l] = true
		}
		views := map[string]bool{}
		for _, a := range names(n) {
			var view []string
			for _, b := range names(n) {
				if cut[link{a, b}] != cut[link{b, a}] {
					t.Errorf("%d nodes: %s and %s are cut one way", n, a, b)
				}
				if !cut[link{b, a}] {
					view = append(view, string(b))
				}
			}
			if len(view) <= n/2 {
				t.Errorf("%d nodes: %s sees %v, no majority", n, a, view)
			}
			views[strings.Join(view, "")] = true
		}
		if len(links) > 0 && len(views) != n {
			t.Errorf("%d nodes: only %d different views", n, len(views))
		}
		if len(links) == 0 {
			t.Errorf("%d nodes: nothing is cut", n)
		}
	}
}

func TestOneWayLeavesTheOtherWayWhole(t *testing.T) {
	for seed := range uint64(8) {
		links := oneWay(names(5), names(1), rand.New(rand.NewPCG(seed, 1)))
		if len(links) != 4 {
			t.Fatalf("%d links are cut, want 4", len(links))
		}
		for _, l := range links {
			if slices.Contains(links, link{l.to, l.from}) {
				t.Errorf("%v is cut both ways", l)
			}
		}
	}
}

func wishes() Wishes {
	all, _ := Select([]string{"standard"}, 5)
	return Wishes{
		Faults: all, Nodes: 5, TimeLimit: 30 * time.Second, Quiet: 1500 * time.Millisecond,
		Interval: 5 * time.Second, Duration: 3 * time.Second,
	}
}

func TestTheSameSeedDrawsTheSamePlan(t *testing.T) {
	a, err := Plan(wishes(), rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Plan(wishes(), rand.New(rand.NewPCG(1, 2)))
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("two plans of one seed differ:\n%s", diff)
	}
	c, _ := Plan(wishes(), rand.New(rand.NewPCG(2, 2)))
	if cmp.Equal(a, c) {
		t.Error("two seeds draw one plan")
	}
}

func TestAPlanHasEveryFaultAndRoomForEach(t *testing.T) {
	for seed := range uint64(200) {
		s, err := Plan(wishes(), rand.New(rand.NewPCG(seed, 2)))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range wishes().Faults {
			if !s.Uses(f.Name()) {
				t.Fatalf("seed %d: no %s in the plan", seed, f.Name())
			}
		}
		for i, step := range s.Steps {
			end := step.At + step.For
			if end > 30*time.Second-wishes().Quiet {
				t.Errorf("seed %d: step %d ends at %v, in the quiet end", seed, step.ID, end)
			}
			if i+1 < len(s.Steps) && end > s.Steps[i+1].At {
				t.Errorf("seed %d: step %d overlaps the next", seed, step.ID)
			}
		}
	}
}

func TestATimeLimitTooShortForTheFaultsIsRefusedWithWhatWouldDo(t *testing.T) {
	w := wishes()
	w.TimeLimit = 5 * time.Second
	_, err := Plan(w, rand.New(rand.NewPCG(1, 2)))
	short, ok := errors.AsType[*TooShortError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	w.TimeLimit = short.Need
	if _, err := Plan(w, rand.New(rand.NewPCG(1, 2))); err != nil {
		t.Errorf("with %v it is refused too: %v", short.Need, err)
	}
}

func TestSelectTakesNamesFamiliesAndGroups(t *testing.T) {
	for _, c := range []struct {
		names []string
		nodes int
		want  string // a part of the error, or the faults
	}{
		{[]string{"none"}, 5, ""},
		{[]string{"kill", "pause", "kill"}, 5, "kill pause"},
		{[]string{"process"}, 5, "pause kill kill-all kill-loop freeze pause-slow"},
		{[]string{"partition"}, 3,
			"partition-leader partition-halves partition-majority partition-bridge partition-oneway " +
				"partition-data partition-clients"},
		{[]string{"standard"}, 1, "pause kill"},
		{[]string{"flood"}, 5, `unknown fault "flood": there is partition-leader`},
		{[]string{"none", "kill"}, 5, `"none" does not go with others`},
	} {
		chosen, err := Select(c.names, c.nodes)
		var got []string
		for _, f := range chosen {
			got = append(got, f.Name())
		}
		text := strings.Join(got, " ")
		if err != nil {
			text = err.Error()
		}
		right := err == nil && text == c.want ||
			err != nil && c.want != "" && strings.Contains(text, c.want)
		if !right {
			t.Errorf("%v of %d nodes: got %q, want %q", c.names, c.nodes, text, c.want)
		}
	}
}

// up brings a fake cluster up.
func up(t *testing.T, n int) *Env {
	t.Helper()
	store := fake.New(fake.Behaviour{})
	events := &Events{}
	c, err := store.Up(t.Context(), cluster.Spec{Nodes: n, Spares: n, System: store,
		Lines: events.Feed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Down(context.Background()) })
	all := append(c.Nodes(), c.(cluster.Reserve).Spares()...)
	admin := driver.NewLocal(store, all, nil, time.Second, nil)
	return &Env{Cluster: c, System: store, Admin: admin, Events: events}
}

func TestEveryFaultIsInstalledVerifiedAndHealed(t *testing.T) {
	for _, f := range Faults() {
		for _, target := range f.Targets() {
			t.Run(f.Name()+" "+string(target), func(t *testing.T) {
				env := up(t, 5)
				s := Schedule{Steps: []Step{{ID: 1, Fault: f.Name(), Target: target, Seed: 3}}}
				n, err := New(env, s, 0, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				in := act(t, n)
				if f.Family() == "disk" { // the store in memory has none
					if in.Outcome != SkippedFault || in.Reason == "" {
						t.Errorf("injected: %+v", in)
					}
				} else if in.Outcome != Installed || len(in.Nodes) == 0 || in.Evidence == nil {
					t.Errorf("injected: %+v", in)
				}
				out := act(t, n)
				if out.Outcome != Healed || out.Majority == nil || !*out.Majority {
					t.Errorf("healed: %+v", out)
				}
				for _, id := range env.ids() {
					if err := expect(t.Context(), env, id, cluster.Running); err != nil {
						t.Error(err)
					}
				}
				if len(env.links.broken()) > 0 {
					t.Errorf("links are still cut: %v", env.links.broken())
				}
			})
		}
	}
}

// act lets the nemesis do the next thing.
func act(t *testing.T, n *Nemesis) Value {
	t.Helper()
	op, st := n.Next(time.Hour, 0)
	if st != generator.Ready {
		t.Fatalf("state %v, want an operation", st)
	}
	done := n.Do(t.Context(), op)
	n.Update(done)
	var v Value
	if err := json.Unmarshal(done.Value, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAFaultThatCanNotFindItsTargetIsSkippedWithTheReason(t *testing.T) {
	env := up(t, 3)
	s := Schedule{Steps: []Step{{ID: 1, Fault: "kill", Target: "n9"}}}
	n, err := New(env, s, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if v := act(t, n); v.Outcome != SkippedFault || !strings.Contains(v.Reason, "n9") {
		t.Errorf("got %+v", v)
	}
}

func TestHealMendsEverythingFromAnyState(t *testing.T) {
	env := up(t, 5)
	s := Schedule{Steps: []Step{
		{ID: 1, Fault: "kill", Target: "n2"}, {ID: 2, Fault: "pause", Target: "n3"},
		{ID: 3, Fault: "partition-ring", Target: All},
	}}
	n, err := New(env, s, 0, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range s.Steps {
		act(t, n)
		n.todo = slices.DeleteFunc(n.todo, func(a action) bool { return a.heal })
	}
	if env.majorityWhole() {
		t.Error("two nodes are down and the rest is on a ring, but a majority is called whole")
	}
	for range 2 {
		var v Value
		done := n.Heal(t.Context())
		if err := json.Unmarshal(done.Value, &v); err != nil || v.Outcome != Healed {
			t.Fatalf("heal: %s, %v", done.Value, err)
		}
	}
	for _, id := range env.ids() {
		if err := expect(t.Context(), env, id, cluster.Running); err != nil {
			t.Error(err)
		}
	}
	if !env.majorityWhole() || len(n.Active()) > 0 {
		t.Errorf("after the heal: whole %v, active %v", env.majorityWhole(), n.Active())
	}
}
