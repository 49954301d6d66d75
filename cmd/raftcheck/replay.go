package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/cluster/fake"
	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/store"
	"github.com/raftcheck/raftcheck/nemesis"
)

func replayCmd() *cobra.Command {
	var (
		n        int
		image    string
		binary   string
		how      string
		storeDir = config.Default().Store
	)
	cmd := &cobra.Command{
		Use:   "replay RUN|latest",
		Short: "Drive a saved run's plan again, several times: a rate",
		Long: "Drive the plan of a saved run again: the same operations are drawn, and the same " +
			"faults come\nat the same times, their targets found anew. Real processes never do the " +
			"same twice, so what\ncomes out is a rate: how many of n runs broke a promise, and " +
			"between what and what the true\nrate lies with 95 % confidence (Clopper and Pearson).\n\n" +
			"Exit code 1 if any run was invalid, else 255 if raftcheck failed, else 2 if any run " +
			"was\nunknown, else 0.",
		Example: "  raftcheck replay latest -n 20\n  raftcheck replay latest -n 90 --image store:fixed",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("raftcheck replay latest", "replay wants one run or \"latest\"")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if n < 1 || n > maxReplays {
				return usage("-n 20", "-n %d: want 1 to %d", n, maxReplays)
			}
			b, err := behaviour(how)
			if err != nil {
				return usage("", "%w", err)
			}
			r, err := openReplay(storeDir, args[0], b)
			if err != nil {
				return exit{exitUsage, err}
			}
			if binary != "" {
				r.cfg.Image, r.cfg.Binary, r.cfg.Dockerfile = "", binary, ""
			}
			if image != "" && binary != "" {
				return usage("leave one of them out", "--image and --binary contradict each other")
			}
			if image != "" {
				r.cfg.Image, r.cfg.Binary, r.cfg.Dockerfile = image, "", ""
			}
			return r.run(cmd, n)
		},
	}
	cmd.Flags().IntVarP(&n, "runs", "n", 20, "how many times")
	cmd.Flags().StringVar(&image, "image", "", "another build (default: that of the run)")
	cmd.Flags().StringVar(&binary, "binary", "", "another build, a static Linux executable")
	cmd.Flags().StringVar(&storeDir, "store", storeDir, "directory of all runs")
	cmd.Flags().StringVar(&how, "fake", "", "how the fake runtime's store behaves")
	_ = cmd.Flags().MarkHidden("fake") // it exists
	return cmd
}

const maxReplays = 10000

// replay is a saved run that is to be driven again.
type replay struct {
	cfg      config.Config
	parts    parts
	schedule nemesis.Schedule
}

// openReplay reads what a run saved. A run of an earlier version has what it has: what is missing
// in its configuration is as by default.
func openReplay(storeDir, ref string, b fake.Behaviour) (*replay, error) {
	saved, err := store.Open(storeDir, ref)
	if err != nil {
		return nil, err
	}
	defer saved.Close()
	dir := saved.FS()
	if dir == nil {
		return nil, hinted{fmt.Errorf("%s is a history alone, without the plan of its run", ref),
			"name the directory of a run"}
	}
	r := &replay{cfg: config.Default()}
	for name, into := range map[string]any{"config.json": &r.cfg, "schedule.json": &r.schedule} {
		raw, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("the run is not whole: %w", err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			return nil, fmt.Errorf("%s: %w", saved.Path(name), err)
		}
	}
	if slices.Contains(r.cfg.Faults, externalFaults) {
		return nil, hinted{errors.New("the faults of this run were driven from outside; it has no plan"),
			"write what its history shows into a file, and give that to raftcheck test --plan"}
	}
	r.cfg.Store, r.cfg.Plan, r.cfg.Keep = storeDir, "", false
	if err := r.cfg.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", saved.Path("config.json"), err)
	}
	if r.parts, err = assemble(r.cfg, b); err != nil {
		return nil, err
	}
	r.parts.schedule = r.schedule
	return r, nil
}

// tally counts how runs ended.
type tally struct{ valid, invalid, unknown, failed int }

func (t *tally) add(code int) {
	switch code {
	case exitValid:
		t.valid++
	case exitInvalid:
		t.invalid++
	case exitUnknown:
		t.unknown++
	default:
		t.failed++
	}
}

// code is the exit code of several runs: a broken promise outranks our own failure, which outranks
// not knowing.
func (t *tally) code() int {
	switch {
	case t.invalid > 0:
		return exitInvalid
	case t.failed > 0:
		return exitFailure
	case t.unknown > 0:
		return exitUnknown
	}
	return exitValid
}

// run drives the plan n times and prints the rate.
func (r *replay) run(cmd *cobra.Command, n int) error {
	var sum tally
	out := cmd.OutOrStdout()
	for i := range n {
		t := &tested{cmd: cmd, cfg: r.cfg, flags: testFlags{quiet: true}, parts: r.parts,
			began: time.Now(), image: r.cfg.Image}
		rep, err := t.do(cmd.Context())
		e, ok := errors.AsType[exit](err)
		if !ok {
			return exit{exitFailure, err}
		}
		if e.code == exitInterrupted {
			fmt.Fprintf(out, "interrupted after %d of %d runs\n", i, n)
			sum.print(cmd)
			return e
		}
		sum.add(e.code)
		why := fmt.Sprint(e.err)
		if rep != nil {
			why = rep.Why
		}
		fmt.Fprintf(out, "%3d of %d  %-8s %s  %s\n", i+1, n, word(e.code), t.run.Dir(), why)
	}
	sum.print(cmd)
	return exit{sum.code(), nil}
}

// word is how an exit code is called.
func word(code int) string {
	switch code {
	case exitValid:
		return check.Valid.String()
	case exitInvalid:
		return "INVALID"
	case exitUnknown:
		return "UNKNOWN"
	}
	return "FAILED"
}

// print prints the rate, and what it would take to call the bug fixed. Runs that did not decide
// count for nothing.
func (t *tally) print(cmd *cobra.Command) {
	out := cmd.OutOrStdout()
	n := t.valid + t.invalid
	fmt.Fprintf(out, "\n%d of %d runs broke a promise", t.invalid, n)
	if t.unknown+t.failed > 0 {
		fmt.Fprintf(out, " (%d unknown, %d failed, not counted)", t.unknown, t.failed)
	}
	fmt.Fprintln(out)
	if n == 0 {
		return
	}
	low, high := clopperPearson(t.invalid, n)
	fmt.Fprintf(out, "rate %.0f %%; with 95 %% confidence between %.1f and %.1f %%\n",
		100*float64(t.invalid)/float64(n), 100*low, 100*high)
	if t.invalid > 0 {
		fmt.Fprintf(out, "to call it fixed with 95 %% confidence: %d runs without a failure\n",
			cleanRuns(low))
	}
}

// cleanRuns is how many runs in a row without a failure there must be, until a rate of p or more
// would have shown with 95 % probability: (1-p)^n ≤ 0.05.
func cleanRuns(p float64) int {
	if p >= 1 {
		return 1
	}
	return int(math.Ceil(math.Log(0.05) / math.Log1p(-p)))
}

// clopperPearson is the exact interval, of 95 % confidence, for the rate of something that happened
// k times of n (Clopper and Pearson, Biometrika 1934): the rates at which k or more, and k or
// fewer, would be seen with a probability of 2.5 %.
func clopperPearson(k, n int) (low, high float64) {
	const tail = 0.025
	low, high = 0, 1
	if k > 0 {
		low = bisect(func(p float64) bool { return 1-binomialCDF(k-1, n, p) < tail })
	}
	if k < n {
		high = bisect(func(p float64) bool { return binomialCDF(k, n, p) > tail })
	}
	return low, high
}

// bisect finds where below turns from true to false between 0 and 1.
func bisect(below func(float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 60 {
		if mid := (low + high) / 2; below(mid) {
			low = mid
		} else {
			high = mid
		}
	}
	return low
}

// binomialCDF is the probability of k or fewer of n.
func binomialCDF(k, n int, p float64) float64 {
	sum := 0.0
	all, _ := math.Lgamma(float64(n + 1))
	for i := range k + 1 {
		a, _ := math.Lgamma(float64(i + 1))
		b, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(all - a - b + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}
