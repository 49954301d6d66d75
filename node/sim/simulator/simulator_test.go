package simulator

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestSeeds runs some hundred seeds; each must keep every invariant, and together they must have
// seen all that they are for.
func TestSeeds(t *testing.T) {
	seeds := uint64(300)
	if testing.Short() {
		seeds = 50
	}
	var total Stats
	for seed := range seeds {
		res := Run(seed+1, nil)
		if res.Violation != nil {
			t.Errorf("%s\nrepeat it: go run ./node/sim -seed %d -v", res.Violation, seed+1)
		}
		total.Add(&res.Stats)
	}
	t.Logf("%+v", total)
	for what, n := range map[string]int{
		"elections": total.Elections, "commits": total.Commits, "writes": total.Writes,
		"reads": total.Reads, "undecided operations": total.Undecided, "crashes": total.Crashes,
		"partitions": total.Partitions, "pauses": total.Pauses, "snapshots": total.Snapshots,
		"installed snapshots": total.Installs, "membership changes": total.Configs,
	} {
		if n < 100 {
			t.Errorf("only %d %s in %d seeds: the simulation tests too little", n, what, seeds)
		}
	}
}

// TestRealStorage runs seeds in which the nodes keep their data with raftnode's own log, snapshots
// and state machine, on disks that fail, forget and tear.
func TestRealStorage(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 12
	}
	var total Stats
	for i := range seeds {
		seed := (i + 1) * realEvery
		res := Run(seed, nil)
		if res.Violation != nil {
			t.Errorf("%s\nrepeat it: go run ./node/sim -seed %d -v", res.Violation, seed)
		}
		total.Add(&res.Stats)
	}
	t.Logf("%+v", total)
	if total.Real != int(seeds) || total.DiskErrors < 5 || total.Crashes < 100 ||
		total.Installs < 10 {
		t.Errorf("the simulation tests too little of the storage: %+v", total)
	}
}

// TestSameSeedSameRun: all that happens has the same digest the second time, and writing it down
// changes nothing.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed <= 12; seed++ {
		var log bytes.Buffer
		first, second := Run(seed, nil), Run(seed, &log)
		if first.Digest != second.Digest || first.Stats != second.Stats {
			t.Errorf("seed %d: %016x %+v, then %016x %+v",
				seed, first.Digest, first.Stats, second.Digest, second.Stats)
		}
		if log.Len() == 0 {
			t.Errorf("seed %d: nothing was written down", seed)
		}
	}
	if a, b := Run(1, nil), Run(2, nil); a.Digest == b.Digest {
		t.Error("two seeds gave the same run")
	}
}

// BenchmarkHealthy measures a second of a healthy cluster with 100 operations a second.
func BenchmarkHealthy(b *testing.B) {
	plan := Benchmark(3, 100, second)
	for b.Loop() {
		if res := RunPlan(plan, rand.New(rand.NewPCG(1, 1)), nil); res.Violation != nil {
			b.Fatal(res.Violation)
		}
	}
}
