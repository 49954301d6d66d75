package linearizability

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/raftcheck/raftcheck/linearizability/certify"
	"github.com/raftcheck/raftcheck/linearizability/online"
	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/simulate"
)

// moment is a call or an end of an operation. At the same time calls come first.
type moment struct {
	at  int64
	op  int32
	end bool
}

// moments puts calls and ends in order of time. An indeterminate operation ends some time after its
// call.
func moments(ops []register.Op, patience int64) []moment {
	ms := make([]moment, 0, 2*len(ops))
	for i := range ops {
		ret := ops[i].Ret
		if ops[i].Maybe {
			ret = ops[i].Call + patience
		}
		ms = append(ms, moment{ops[i].Call, int32(i), false}, moment{ret, int32(i), true})
	}
	slices.SortStableFunc(ms, func(a, b moment) int {
		switch c := cmp.Compare(a.at, b.at); {
		case c != 0:
			return c
		case a.end == b.end:
			return 0
		case b.end:
			return -1
		}
		return 1
	})
	return ms
}

// feed gives moments to a checker, and returns the place of the first at which there is a
// violation; -1 if there is none.
func feed(ops []register.Op, ms []moment) (int, *online.Checker) {
	c := online.New()
	number := map[register.Value]online.Value{register.Absent: online.Absent}
	written := online.Value(0)
	for _, m := range ms {
		if o := &ops[m.op]; !m.end && o.Mutates() {
			written++
			number[o.B] = written
		}
	}
	value := func(v register.Value) online.Value {
		if n, ok := number[v]; ok {
			return n
		}
		return online.Value(v) + 1<<32 // nobody writes it
	}
	open := make([]*online.Op, len(ops))
	for n, m := range ms {
		o := &ops[m.op]
		if !m.end {
			open[m.op] = c.Begin(o.Kind, value(o.A), value(o.B), o.Call, int64(o.ID))
			continue
		}
		var v *online.Violation
		if o.Maybe {
			v = c.Info(open[m.op], o.Call)
		} else {
			v = c.Ok(open[m.op], value(o.A), o.Call, o.Ret)
		}
		if v != nil {
			return n, c
		}
	}
	return -1, c
}

// known is what was known after the first n moments: what is open may happen, or never.
func known(ops []register.Op, ms []moment, n int) []register.Op {
	var called, ended = map[int32]bool{}, map[int32]bool{}
	for _, m := range ms[:n] {
		called[m.op] = true
		ended[m.op] = ended[m.op] || m.end
	}
	var out []register.Op
	for i := range ops {
		o := ops[i]
		switch {
		case !called[int32(i)]:
			continue
		case !ended[int32(i)]:
			var left bool
			if o, left = weaker(o); !left {
				continue
			}
		}
		out = append(out, o)
	}
	return out
}

// TestOnline holds that the online checker finds a violation at the first moment at which trying
// every order finds that what is known so far is illegal.
func TestOnline(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	violations := 0
	all := slices.DeleteFunc(families(), func(f family) bool { return !f.unique || f.miss > 0 })
	for round := range roundsOf(t) {
		ops := all[round%len(all)].random(rng, 1+rng.IntN(7))
		ms := moments(ops, rng.Int64N(10))
		got, checker := feed(ops, ms)
		if reason := checker.Undecided(); reason != "" {
			t.Fatalf("undecided: %s\n%s", reason, show(ops))
		}
		want := -1
		for n := range ms {
			if !ms[n].end {
				continue
			}
			if illegal, _ := certify.Illegal(known(ops, ms, n+1), 1<<20); illegal {
				want = n
				break
			}
		}
		if got != want {
			t.Fatalf("round %d: violation at moment %d, want %d of %v\n%s",
				round, got, want, ms, show(ops))
		}
		if want >= 0 {
			violations++
		}
	}
	if violations < 100 {
		t.Errorf("only %d violations: this tests nothing", violations)
	}
	t.Logf("%d violations", violations)
}

// TestOnlineLong holds the online checker against the others on long histories.
func TestOnlineLong(t *testing.T) {
	for _, p := range []simulate.Params{
		{Ops: 30_000, Clients: 20, Keys: 1, Reads: .5},
		{Ops: 30_000, Clients: 1, Keys: 1, Reads: .5},
		{Ops: 30_000, Clients: 20, Keys: 1, Reads: .5, Indeterminate: .05},
		{Ops: 30_000, Clients: 20, Keys: 1, Reads: .5, CAS: .3, Indeterminate: .05, Tells: true},
	} {
		for _, stale := range []bool{false, true} {
			p.Stale, p.Seed = stale, 3
			ops := simulate.Run(p)[0]
			ms := moments(ops, 10e6)
			at, checker := feed(ops, ms)
			legal := Decide(t.Context(), ops, DefaultBudget()).Answer == register.Legal
			if legal != (at < 0) {
				t.Errorf("%+v: violation %v at moment %d, but legal is %v", p,
					checker.Violation(), at, legal)
			}
			if at >= 0 {
				before := Decide(t.Context(), known(ops, ms, at), DefaultBudget())
				then := Decide(t.Context(), known(ops, ms, at+1), DefaultBudget())
				if before.Answer != register.Legal || then.Answer != register.Illegal {
					t.Errorf("%+v: at moment %d it is %v, before it was %v", p, at, then.Answer,
						before.Answer)
				}
			}
		}
	}
}
