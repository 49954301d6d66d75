package agent

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

// TestClockLine compares with numbers of any size.
func TestClockLine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		l := clockLine{base: rng.Int64N(1 << 61), shown: rng.Int64N(1 << 61),
			mult: 1 + rng.Uint64N(maxRate*oneRate), before: rng.Uint64N(maxRate * oneRate)}
		now := l.base + rng.Int64N(int64(1000*time.Hour)) - int64(time.Hour)
		mult := l.mult
		if now < l.base {
			mult = l.before
		}
		want := new(big.Int).Mul(big.NewInt(now-l.base), new(big.Int).SetUint64(mult))
		want.Rsh(want, 32) // towards minus infinity, as in the machine
		want.Add(want, big.NewInt(l.shown))
		if got := l.at(now); !want.IsInt64() || got != want.Int64() {
			t.Fatalf("%+v at %d: got %d, want %v", l, now, got, want)
		}
	}
}

// TestBendNeverGoesBack changes the rate again and again. A change comes into force at any moment
// until the bend.
func TestBendNeverGoesBack(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var l clockLine
	now, last := int64(time.Hour), int64(time.Hour)
	for range 1000 {
		next := l.bend(now, time.Duration(rng.Int64N(1000)), rng.Float64()*10+0.001)
		inForce := now + rng.Int64N(int64(bendAhead))
		for now < next.base || rng.IntN(10) > 0 {
			if now >= inForce {
				l = next
			}
			if got := l.at(now); got < last-1 { // lines are cut off to whole nanoseconds
				t.Fatalf("%+v at %d: got %d after %d", l, now, got, last)
			} else {
				last = max(got, last)
			}
			now += rng.Int64N(int64(bendAhead) / 10)
		}
		l = next
	}
	if (clockLine{}).bend(5, 0, 1) != (clockLine{}) || setLine(5, 0, 0) != (clockLine{}) {
		t.Error("a clock that nobody touched has a line")
	}
}
