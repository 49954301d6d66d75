package generator

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/history"
)

func rng() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

func read() history.Op { return history.Op{F: "read"} }

func TestStaggerKeepsTheRateOnAverage(t *testing.T) {
	const rate, ops = 1000.0, 20000
	g := Stagger(rate, rng(), Func(read))
	var now time.Duration
	for range ops {
		op, st := g.Next(now, 0)
		for st == Wait {
			now = op.Time
			op, st = g.Next(now, 0)
		}
	}
	got := ops / now.Seconds()
	if got < 0.95*rate || got > 1.05*rate {
		t.Errorf("%.0f operations a second, want %.0f", got, rate)
	}
}

func TestStaggerDoesNotMakeUpForALongStall(t *testing.T) {
	g := Stagger(1000, rng(), Func(read))
	g.Next(0, 0)
	burst := 0
	for {
		if _, st := g.Next(10*time.Second, 0); st == Wait {
			break
		}
		burst++
	}
	if burst > 200 {
		t.Errorf("%d operations at once after a stall of 10 s, want about 100", burst)
	}
}

func TestUntilEndsAtItsTimeAndWakesUpForIt(t *testing.T) {
	g := Until(time.Second, Stagger(0.001, rng(), Func(read)))
	g.Next(0, 0)
	op, st := g.Next(1, 0)
	if st != Wait || op.Time != time.Second {
		t.Errorf("before the end: %v until %v, want to wait until 1s", st, op.Time)
	}
	if _, st := g.Next(time.Second, 0); st != Done {
		t.Errorf("at the end: state %v, want done", st)
	}
}

func TestLimitEndsAfterSoManyOperations(t *testing.T) {
	g := Limit(3, Func(read))
	n := 0
	for {
		if _, st := g.Next(0, 0); st == Done {
			break
		}
		n++
	}
	if n != 3 {
		t.Errorf("%d operations, want 3", n)
	}
	if _, st := None().Next(0, 0); st != Done {
		t.Error("None offers an operation")
	}
}

func TestEachUntilOkTriesAgainWhatFailedAndOnlyThat(t *testing.T) {
	a := history.Op{F: "read", Key: "a", Node: "n1"}
	b := history.Op{F: "read", Key: "b", Node: "n1"}
	g := EachUntilOk([]history.Op{a, b}, time.Minute, time.Second)
	var keys []string
	next := func(now time.Duration) (history.Op, State) {
		op, st := g.Next(now, 0)
		if st == Ready {
			keys = append(keys, op.Key)
		}
		return op, st
	}
	first, _ := next(0)
	second, _ := next(0)
	if _, st := next(0); st != Wait {
		t.Fatalf("while both are under way: state %v, want to wait", st)
	}
	first.Type, second.Type = history.Fail, history.Ok
	g.Update(first)
	g.Update(second)
	if op, st := next(0); st != Wait || op.Time != time.Second {
		t.Fatalf("after a failure: %v until %v, want to wait for 1s", st, op.Time)
	}
	third, _ := next(time.Second)
	third.Type = history.Ok
	g.Update(third)
	if _, st := next(time.Second); st != Done {
		t.Errorf("when all have succeeded: state %v, want done", st)
	}
	if diff := cmp.Diff([]string{"a", "b", "a"}, keys); diff != "" {
		t.Errorf("keys read (-want +got):\n%s", diff)
	}
}

func TestWithoutLeavesOutWhatIsNamedAndNothingElse(t *testing.T) {
	n := 0
	g := Without(func(op history.Op) bool { return op.F == "odd" }, Limit(6, Func(func() history.Op {
		n++
		return history.Op{F: []string{"even", "odd"}[n%2], Key: strconv.Itoa(n)}
	})))
	var got []string
	for {
		op, st := g.Next(0, 0)
		if st != Ready {
			break
		}
		got = append(got, op.Key)
	}
	if want := []string{"2", "4", "6"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
