package main

import (
	"math"
	"testing"
)

// The figures are those of published tables of the Clopper-Pearson interval.
func TestClopperPearsonGivesThePublishedIntervals(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 10, 0, 0.3085}, {10, 10, 0.6915, 1}, {1, 20, 0.0013, 0.2487}, {5, 20, 0.0866, 0.4910},
		{3, 3, 0.2924, 1}, {0, 90, 0, 0.0402}, {81, 263, 0.2527, 0.3676},
	} {
		low, high := clopperPearson(c.k, c.n)
		if math.Abs(low-c.low) > 0.0002 || math.Abs(high-c.high) > 0.0002 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", c.k, c.n, low, high, c.low, c.high)
		}
	}
}

func TestHowManyCleanRunsItTakes(t *testing.T) {
	for p, want := range map[float64]int{0.05: 59, 0.5: 5, 1: 1} {
		if got := cleanRuns(p); got != want {
			t.Errorf("rate %v: %d runs, want %d", p, got, want)
		}
	}
}

func TestTheWorstOfSeveralRunsIsTheExitCode(t *testing.T) {
	for _, c := range []struct {
		codes []int
		want  int
	}{
		{[]int{0, 0}, exitValid}, {[]int{0, 2}, exitUnknown}, {[]int{2, 255, 0}, exitFailure},
		{[]int{255, 1, 2}, exitInvalid},
	} {
		var sum tally
		for _, code := range c.codes {
			sum.add(code)
		}
		if got := sum.code(); got != c.want {
			t.Errorf("%v: %d, want %d", c.codes, got, c.want)
		}
	}
}
