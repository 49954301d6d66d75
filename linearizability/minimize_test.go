package linearizability

import (
	"math/rand/v2"
	"testing"

	"github.com/raftcheck/raftcheck/linearizability/certify"
	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/simulate"
)

// TestMinimizedIsIllegal holds that what is left of an illegal history is illegal still, and that
// nothing of it can be weakened any more.
func TestMinimizedIsIllegal(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 8))
	all := families()
	minimized := 0
	for round := range 4000 {
		ops := all[round%len(all)].random(rng, 2+rng.IntN(9))
		d := Decide(t.Context(), ops, DefaultBudget())
		if d.Answer != register.Illegal {
			continue
		}
		minimized++
		core := Minimize(t.Context(), ops, d.Core)
		if !confirm(core) {
			t.Fatalf("%s\nwas illegal, but is not when it is made small:\n%s", show(ops), show(core))
		}
		for i := range core {
			if core[i].Maybe {
				continue
			}
			if less := weakenRange(core, i, i+1); confirm(less) {
				t.Fatalf("operation %d is not needed in\n%s", i, show(core))
			}
		}
	}
	if minimized < 500 {
		t.Errorf("only %d were illegal: this tests nothing", minimized)
	}
}

// TestPlantedStaleRead plants a stale read in long histories that are right. It is found, what is
// shown holds it, and is small.
func TestPlantedStaleRead(t *testing.T) {
	for _, p := range []simulate.Params{
		{Ops: 20_000, Clients: 20, Keys: 1, Reads: .5, Indeterminate: .01},
		{Ops: 20_000, Clients: 5, Keys: 1, Reads: .5, CAS: .3, Indeterminate: .05, Tells: true},
		{Ops: 20_000, Clients: 10, Keys: 1, Reads: .5, CAS: .3},
	} {
		for seed := range uint64(5) {
			p.Seed, p.Stale = seed+1, false
			right := simulate.Run(p)[0]
			if d := Decide(t.Context(), right, DefaultBudget()); d.Answer != register.Legal {
				t.Fatalf("%+v: nothing was planted, and it is %v", p, d.Answer)
			}
			p.Stale = true
			ops := simulate.Run(p)[0]
			planted := -1
			for i := range ops {
				if ops[i] != right[i] {
					planted = i
				}
			}
			d := Decide(t.Context(), ops, DefaultBudget())
			if d.Answer != register.Illegal {
				t.Errorf("%+v: operation %d was planted, and it is %v", p, planted, d.Answer)
				continue
			}
			core := Minimize(t.Context(), ops, d.Core)
			if illegal, decided := certify.Illegal(core, 1<<20); !illegal || !decided {
				t.Errorf("%+v: what is shown is no violation:\n%s", p, show(core))
			}
			named := false
			for i := range core {
				named = named || core[i].ID == int32(planted)
			}
			if !named || len(core) > 5 {
				t.Errorf("%+v: want operation %d and no more than 5 of them, got\n%s", p, planted,
					show(core))
			}
		}
	}
}
