package linearizability

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/raftcheck/raftcheck/linearizability/certify"
	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/search"
	"github.com/raftcheck/raftcheck/linearizability/zone"
)

// roundsOf is how many histories are drawn: RAFTCHECK_ROUNDS, or few enough for every test run.
func roundsOf(tb testing.TB) int {
	tb.Helper()
	if s := os.Getenv("RAFTCHECK_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			tb.Fatalf("RAFTCHECK_ROUNDS: %v", err)
		}
		return n
	}
	if testing.Short() {
		return 6_000
	}
	return 60_000
}

// engine is a way to decide. It may be undecided, but never wrong.
type engine struct {
	name   string
	decide func(ops []register.Op) register.Decision
	always bool // it decides every small history
}

func engines(tb testing.TB) []engine {
	return []engine{
		{"zones", zone.Decide, false},
		{"search", func(ops []register.Op) register.Decision {
			return search.Decide(tb.Context(), ops, DefaultBudget())
		}, true},
		{"porcupine", func(ops []register.Op) register.Decision {
			return byPorcupine(tb.Context(), ops, DefaultBudget())
		}, true},
		{"ladder", func(ops []register.Op) register.Decision {
			return Decide(tb.Context(), ops, DefaultBudget()).Decision
		}, true},
	}
}

// TestDifferential holds all engines against trying every order, and replays what they claim.
func TestDifferential(t *testing.T) {
	rounds := roundsOf(t)
	all := families()
	es := engines(t)
	decided := make([]int, len(es))
	legal := 0
	rng := rand.New(rand.NewPCG(77, 1001))
	for round := range rounds {
		f := all[round%len(all)]
		ops := f.random(rng, 1+rng.IntN(9))
		bad, ok := certify.Illegal(ops, 1<<20)
		if !ok {
			t.Fatalf("trying every order of %v gave up", ops)
		}
		want := register.Legal
		if bad {
			want = register.Illegal
		} else {
			legal++
		}
		for i, e := range es {
			d := e.decide(ops)
			if d.Answer == register.Undecided {
				if e.always {
					t.Fatalf("%s: undecided (%s)\n%s", e.name, d.Reason, show(ops))
				}
				continue
			}
			decided[i]++
			if d.Answer != want {
				t.Fatalf("round %d: %s says %v, trying every order says %v (core %v)\n%s",
					round, e.name, d.Answer, want, d.Core, show(ops))
			}
			if d.Answer == register.Legal {
				if err := certify.Legal(ops, d.Order); err != nil {
					t.Fatalf("%s: the order %v is none: %v\n%s", e.name, d.Order, err, show(ops))
				}
			}
		}
	}
	t.Logf("%d histories, %d legal", rounds, legal)
	for i, e := range es {
		t.Logf("%s decided %d", e.name, decided[i])
		if decided[i] < rounds/10 {
			t.Errorf("%s decided next to nothing: this tests nothing", e.name)
		}
	}
}

func show(ops []register.Op) string {
	var s string
	for i := range ops {
		s += strconv.Itoa(i) + ": " + ops[i].String() + " [" +
			strconv.FormatInt(ops[i].Call, 10) + "," + strconv.FormatInt(ops[i].Ret, 10) + "]\n"
	}
	return s
}
