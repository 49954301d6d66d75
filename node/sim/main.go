// Command sim explores the raft core in simulated clusters, one seed after another.
//
//	go run ./node/sim -seeds 1000         explore seeds 1 to 1000
//	go run ./node/sim -seed 17 -v         repeat seed 17, and print everything that happens
//	go run ./node/sim -for 15m -seeds 1000000 -workers 2
//	go run ./node/sim -bench              measure how much faster than the clock it runs
//
// It exits with 0 if all invariants held, 1 if one was violated, and 254 for bad arguments.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/sim/simulator"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("sim", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var (
		seed    = flags.Uint64("seed", 0, "repeat this one seed")
		seeds   = flags.Uint64("seeds", 100, "how many seeds to explore")
		from    = flags.Uint64("from", 1, "the first of them")
		workers = flags.Int("workers", 1, "how many runs at the same time")
		budget  = flags.Duration("for", 0, "stop after this time, for example 15m; 0 for no limit")
		all     = flags.Bool("all", false, "go on after a violation")
		verbose = flags.Bool("v", false, "with -seed: print everything that happens")
		bench   = flags.Bool("bench", false, "measure the speed of a healthy cluster under load")
	)
	if err := flags.Parse(args); err != nil {
		return 254
	}
	switch {
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "sim: unexpected argument %q\nhint: sim -seeds 1000\n", flags.Arg(0))
		return 254
	case *bench:
		return benchmark(stdout)
	case *seed != 0:
		return repeat(stdout, *seed, *verbose)
	}
	debug.SetGCPercent(400) // runs are short-lived: a larger heap saves a fifth of the time
	return explore(stdout, search{*from, *seeds, max(1, *workers), *budget, *all})
}

// repeat runs one seed and tells all about it.
func repeat(out io.Writer, seed uint64, verbose bool) int {
	var log io.Writer
	if verbose {
		log = out
	}
	res := simulator.Run(seed, log)
	fmt.Fprintf(out, "seed %d: %s\n%+v\ndigest %016x\n", seed, res.Plan, res.Stats, res.Digest)
	if res.Violation != nil {
		fmt.Fprintf(out, "VIOLATED %s\n", res.Violation)
		return 1
	}
	fmt.Fprintln(out, "all invariants held")
	return 0
}

// search says which seeds to explore, and when to stop.
type search struct {
	from, count uint64
	workers     int
	budget      time.Duration
	all         bool // do not stop at a violation
}

// over reports whether enough was done.
func (s *search) over(start time.Time, failed uint64) bool {
	return !s.all && failed > 0 || s.budget > 0 && time.Since(start) > s.budget
}

// explore runs seeds from … from+count-1.
func explore(out io.Writer, s search) int {
	var (
		next   atomic.Uint64
		failed atomic.Uint64
		virt   atomic.Int64
		mu     sync.Mutex
		wg     sync.WaitGroup
		total  simulator.Stats
		ran    int
		start  = time.Now()
	)
	for range s.workers {
		wg.Go(func() {
			for !s.over(start, failed.Load()) {
				i := next.Add(1) - 1
				if i >= s.count {
					return
				}
				res := simulator.Run(s.from+i, nil)
				virt.Add(int64(res.Plan.Duration + res.Plan.Settle))
				mu.Lock()
				ran++
				total.Add(&res.Stats)
				if res.Violation != nil {
					failed.Add(1)
					fmt.Fprintf(out, "VIOLATED seed %d: %s\n    repeat it: go run ./node/sim -seed %d -v\n",
						s.from+i, res.Violation, s.from+i)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	fmt.Fprintf(out, "%d seeds, %d violated, %s of virtual time in %s (%.0f times the clock)\n%+v\n",
		ran, failed.Load(), time.Duration(virt.Load()).Round(time.Second), took.Round(time.Millisecond),
		float64(virt.Load())/float64(took), total)
	if failed.Load() > 0 {
		return 1
	}
	return 0
}

// benchmark measures virtual seconds per second, for three and five nodes.
func benchmark(out io.Writer) int {
	for _, nodes := range []int{3, 5} {
		for _, ops := range []int{10, 100, 1000} {
			plan := simulator.Benchmark(nodes, ops, raft.Time(100*time.Second))
			start := time.Now()
			res := simulator.RunPlan(plan, rand.New(rand.NewPCG(1, 1)), nil)
			took := time.Since(start)
			if res.Violation != nil {
				fmt.Fprintf(out, "VIOLATED %s\n", res.Violation)
				return 1
			}
			done := res.Stats.Writes + res.Stats.Reads
			virtual := time.Duration(plan.Duration + plan.Settle)
			fmt.Fprintf(out, "%d nodes, %.0f ops/s: %.0f times the clock, %.0f ns per event\n",
				nodes, float64(done)/virtual.Seconds(), float64(virtual)/float64(took),
				float64(took)/float64(res.Stats.Events))
		}
	}
	return 0
}
