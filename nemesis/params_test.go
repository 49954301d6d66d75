package nemesis

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

func TestWhatIsWrongInAParameterIsNamedWithItsKey(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"network-slow:delay=200ms:jitter=50ms", ""},
		{"network-slow:delay=soon", `fault network-slow, parameter "delay": "soon": want a duration`},
		{"network-slow:loss=0.5", `parameter "loss": there is no such parameter; there is target, ` +
			"for, delay, jitter"},
		{"network-loss:loss=2", `parameter "loss": "2": want a number from 0 to 1`},
		{"network-loss:loss=NaN", "want a number from 0 to 1"},
		{"partition-oneway:way=deaf", `parameter "way": "deaf": want one of hear, speak`},
		{"clock-leap:offset=-1s", "none before it for a monotonic clock"},
		{"kill:target=n3+leader:for=2s", ""},
		{"kill:target=boss", `parameter "target": "boss" is no role and no node; the roles are leader`},
		{"kill:for=0s", "want a duration from 1ms"},
		{"kill:for", `"for" is no parameter; want name:key=value`},
		{"kill:for=1s:for=2s", "for is set twice"},
		{"process:for=1s", ""},
	} {
		chosen, err := Select([]string{c.spec}, 5)
		switch {
		case c.want == "" && (err != nil || len(chosen) == 0):
			t.Errorf("%s: got %v, %v", c.spec, chosen, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.spec, err, c.want)
		}
	}
}

func TestWhatIsSetOfAFaultIsInItsStepsAndInItsSpec(t *testing.T) {
	const spec = "network-slow:delay=200ms:for=700ms:target=n2"
	chosen, err := Select([]string{spec}, 5)
	if err != nil {
		t.Fatal(err)
	}
	if got := Spec(chosen[0]); got != spec {
		t.Errorf("spec: got %s", got)
	}
	w := wishes()
	w.Faults = chosen
	s, err := Plan(w, rand.New(rand.NewPCG(1, 2)))
	if err != nil {
		t.Fatal(err)
	}
	step := s.Steps[0]
	if step.Target != "n2" || step.For != 700*time.Millisecond || step.Params["delay"] != "200ms" {
		t.Errorf("step: got %+v", step)
	}
}

func TestEveryParameterOfALinkSetsThatAndNothingElse(t *testing.T) {
	f, err := Configure("network-chaos", Params{"delay": "7ms", "loss": "0.25", "reorder": "0"})
	if err != nil {
		t.Fatal(err)
	}
	n := f.(tuned).Fault.(network)
	drawn := n.draw(rand.New(rand.NewPCG(1, 2)))
	got := drawn
	n.set(&got)
	want := cluster.Link{Delay: 7 * time.Millisecond, Jitter: 7 * time.Millisecond, Loss: 0.25,
		Duplicate: drawn.Duplicate}
	if drawn.Jitter < want.Jitter {
		want.Jitter = drawn.Jitter
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the link (-want +got):\n%s", diff)
	}
}

func TestTheWayOfAOneWayPartitionCanBeSet(t *testing.T) {
	f, err := Configure("partition-oneway", Params{"way": "hear"})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range f.(tuned).Fault.(partition).cut(names(3), []sut.NodeID{"a"}, nil) {
		if l.to != "a" {
			t.Errorf("%v is cut, but the target should only not hear", l)
		}
	}
}

func TestABridgeTalksToEveryoneAndTheHalvesToNoOther(t *testing.T) {
	cut := map[link]bool{}
	for _, l := range bridge(names(5), []sut.NodeID{"c"}, rand.New(rand.NewPCG(1, 2))) {
		if l.from == "c" || l.to == "c" {
			t.Errorf("the bridge is cut off: %v", l)
		}
		cut[l] = true
	}
	if len(cut) != 8 { // two nodes against two, both ways
		t.Errorf("%d links are cut, want 8", len(cut))
	}
}

func TestAPlanFileSaysWhereAWrongParameterStands(t *testing.T) {
	for _, c := range []struct{ params, want string }{
		{"{delay: 200ms, target: [n1, leader]}", ""},
		{"{delay: 200ms, speed: 3}", `step 1: [3:25] fault network-slow, parameter "speed"`},
		{"{delay: -1}", `[3:11] fault network-slow, parameter "delay": "-1"`},
		{"{delay: {a: 1}}", "[3:11] parameter \"delay\": want a number, a word or a list"},
		{"fast", "params: want keys and values"},
	} {
		text := "steps:\n- {at: 1s, for: 1s, fault: network-slow,\n params: " + c.params + "}\n"
		_, err := ReadPlan(strings.NewReader(text), time.Minute, 5)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.params, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.params, err, c.want)
		}
	}
}

func TestAPlanThatOverlapsHasAsManyFaultsAtOnceAsIsWishedAndNoMore(t *testing.T) {
	all, err := SelectFor([]string{"all"}, 5, SparesMajority)
	if err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(50) {
		for overlap := 1; overlap <= 4; overlap++ {
			w := wishes()
			w.TimeLimit, w.Overlap, w.Faults, w.KeepMajority = 3*time.Minute, overlap, all, true
			s, err := Plan(w, rand.New(rand.NewPCG(seed, 2)))
			if err != nil {
				t.Fatal(err)
			}
			if got := s.AtOnce(); got > overlap || got < (overlap+1)/2 {
				t.Errorf("overlap %d: %d at once", overlap, got)
			}
			for _, step := range s.Steps {
				if end := step.At + step.For; end > w.TimeLimit-w.Quiet {
					t.Errorf("step %d ends at %v, in the quiet end", step.ID, end)
				}
				if step.Target == All && !strings.HasPrefix(step.Fault, "membership") {
					t.Errorf("%s strikes all, but a majority is to be kept", step.Fault)
				}
			}
			for _, f := range all {
				if !s.Uses(f.Name()) {
					t.Errorf("overlap %d: no %s in the plan", overlap, f.Name())
				}
			}
		}
	}
}
