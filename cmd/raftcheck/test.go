package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness"
	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/fake"
	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/report"
	"github.com/raftcheck/raftcheck/harness/store"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis"
)

// testFlags are the flags of `raftcheck test` that are not part of the configuration.
type testFlags struct {
	json, quiet, verbose bool
	failFast             bool
	behaviour            string
}

func testCmd() *cobra.Command {
	cfg := config.Default()
	var flags testFlags
	cmd := &cobra.Command{
		Use:   "test",
		Short: "One run: bring up, work, break, heal, judge, report",
		Long: "One run: a cluster is brought up, clients work while things are broken, everything is " +
			"healed,\nand what the clients saw is judged.\n\n" + exitCodes,
		Example: "  raftcheck test\n" +
			"  raftcheck test --faults partition,kill --time-limit 1m --seed 7\n" +
			"  raftcheck test --image registry.example/store:nightly --json > report.json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("seed") {
				cfg.Seed = newSeed()
			}
			if cfg.Plan != "" && cmd.Flags().Changed("faults") {
				return usage("leave one of them out", "--plan and --faults contradict each other")
			}
			return runTest(cmd, cfg, flags)
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&cfg.Nodes, "nodes", cfg.Nodes, "size of the cluster")
	f.StringVar(&cfg.Workload, "workload", cfg.Workload, "what clients do; see raftcheck list")
	f.StringSliceVar(&cfg.Faults, "faults", cfg.Faults,
		"what breaks: names, families, standard, all, none, or external: lines on stdin say; "+
			"see raftcheck list")
	f.StringVar(&cfg.Plan, "plan", "", "a file that says which fault comes when (YAML)")
	f.DurationVar(&cfg.TimeLimit, "time-limit", cfg.TimeLimit, "how long clients work")
	f.Float64Var(&cfg.Rate, "rate", cfg.Rate, "operations a second, of all clients together")
	f.Var(loadFlag{&cfg.Load}, "load", "the shape of the load: name=value, by commas: "+
		strings.Join(config.LoadNames(), ", "))
	f.StringVar(&cfg.Concurrency, "concurrency", cfg.Concurrency,
		"clients at once: a number, or a number and n for so many for each node")
	f.Uint64Var(&cfg.Seed, "seed", 0, "draws operations and faults (default: a new one)")
	f.DurationVar(&cfg.FaultInterval, "fault-interval", cfg.FaultInterval,
		"from the beginning of one fault to that of the next")
	f.DurationVar(&cfg.FaultDuration, "fault-duration", cfg.FaultDuration,
		"how long a fault stays, give or take a quarter")
	f.StringVar(&cfg.System, "system", cfg.System,
		"system under test: a name that raftcheck list shows, or a file that says what it is (YAML)")
	f.StringToStringVar(&cfg.SystemOptions, "system-option", nil,
		"an option of the system, NAME=VALUE; may be given more than once")
	f.IntVar(&cfg.Overlap, "overlap", 1, "how many faults may be in force at once")
	f.BoolVar(&cfg.KeepMajority, "keep-majority", false,
		"skip what would leave no majority of the nodes whole")
	f.StringVar(&cfg.Image, "image", "", "node image (default: what the system says, or built from "+
		"the checkout)")
	f.StringVar(&cfg.Binary, "binary", "", "make the node image of this static Linux executable")
	f.StringVar(&cfg.Dockerfile, "dockerfile", "", "make the node image by this Dockerfile; what "+
		"lies beside it is its context")
	f.StringVar(&cfg.Store, "store", cfg.Store, "directory of all runs")
	f.StringVar(&cfg.Runtime, "runtime", cfg.Runtime,
		"where nodes run; see raftcheck list (default: docker, or local\nwhere no engine answers)")
	f.BoolVar(&cfg.Keep, "keep", false, "leave the cluster up; raftcheck cleanup --all removes it")
	f.BoolVar(&flags.failFast, "fail-fast", false, "end the run at the first anomaly")
	f.BoolVar(&flags.json, "json", false, "print the report as JSON, on stdout")
	f.BoolVar(&flags.quiet, "quiet", false, "print nothing but the report")
	f.BoolVarP(&flags.verbose, "verbose", "v", false, "tell on stderr what is done, in detail")
	f.StringVar(&flags.behaviour, "fake", "", "how the fake runtime's store behaves: "+
		strings.Join(behaviours(), ", "))
	_ = f.MarkHidden("fake") // it exists
	return cmd
}

// loadFlag sets what it is told of a load, and leaves the rest as it is.
type loadFlag struct{ *config.Load }

// String implements pflag.Value.
func (f loadFlag) String() string {
	if f.Load == nil {
		return ""
	}
	return f.Load.String()
}

// Type implements pflag.Value.
func (f loadFlag) Type() string { return "shape" }

// behaviours are what --fake takes.
func behaviours() []string {
	return []string{"local-reads", "early-ack", "diverge", "crash", "twice-applied", "torn-reads"}
}

func behaviour(name string) (fake.Behaviour, error) {
	switch name {
	case "":
		return fake.Behaviour{}, nil
	case "local-reads":
		return fake.Behaviour{LocalReads: true}, nil
	case "early-ack":
		return fake.Behaviour{EarlyAck: true}, nil
	case "diverge":
		return fake.Behaviour{Diverge: true}, nil
	case "twice-applied":
		return fake.Behaviour{TwiceApplied: true}, nil
	case "torn-reads":
		return fake.Behaviour{TornReads: true}, nil
	case "crash":
		return fake.Behaviour{Crash: 100}, nil
	}
	return fake.Behaviour{}, fmt.Errorf("unknown behaviour %q: there is %s",
		name, strings.Join(behaviours(), ", "))
}

// newSeed draws a seed that is short enough to be typed.
func newSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	return binary.LittleEndian.Uint64(b[:]) >> 32
}

// runTest is `raftcheck test`, with its arguments parsed.
func runTest(cmd *cobra.Command, cfg config.Config, flags testFlags) error {
	began := time.Now()
	if err := cfg.Validate(); err != nil {
		return usage("raftcheck test --help", "%w", err)
	}
	how, err := behaviour(flags.behaviour)
	if err != nil {
		return usage("", "%w", err)
	}
	p, err := assemble(cfg, how)
	if err != nil {
		return exit{exitUsage, err}
	}
	t := &tested{cmd: cmd, cfg: cfg, flags: flags, parts: p, began: began, image: cfg.Image}
	rep, err := t.do(cmd.Context())
	if rep != nil {
		if err := show(cmd.OutOrStdout(), rep, flags.json, report.Options{}); err != nil {
			return exit{exitFailure, err}
		}
	}
	return err
}

// do carries the run out, from its directory to its reports. The error holds the exit code; there
// is always one, and a report unless the run never began.
func (t *tested) do(ctx context.Context) (rep *report.Report, err error) {
	id := store.NewID(t.began, t.cfg.Workload, t.cfg.Seed)
	if t.run, err = store.Create(t.cfg.Store, id); err != nil {
		return nil, exit{exitFailure, err}
	}
	defer t.run.Close()
	if t.log, err = t.openLog(); err != nil {
		return nil, exit{exitFailure, err}
	}
	t.chooseRuntime(ctx)
	if err = t.save(); err == nil {
		err = t.carryOut(ctx)
	}
	return t.finish(ctx, err)
}

// tested is one `raftcheck test`.
type tested struct {
	cmd   *cobra.Command
	cfg   config.Config
	flags testFlags
	parts
	run   *store.Run
	began time.Time
	log   *slog.Logger

	recorder *history.Recorder
	watched  *watched // the recorder, with a judge beside it
	outcome  *harness.Outcome
	engine   string // what runs the nodes, for the report
	image    string // of the nodes, built or given
}

// openLog opens raftcheck.log, which gets everything, and tells the person what is asked for.
func (t *tested) openLog() (*slog.Logger, error) {
	f, err := t.run.Append("raftcheck.log")
	if err != nil {
		return nil, err
	}
	level := slog.LevelWarn
	switch {
	case t.flags.quiet:
		level = slog.LevelError
	case t.flags.verbose:
		level = slog.LevelDebug
	}
	return slog.New(slog.NewMultiHandler(
		slog.NewJSONHandler(f, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewTextHandler(t.cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}),
	)), nil
}

// save writes down what is about to be done.
func (t *tested) save() error {
	t.cfg.SystemSpec = t.ref.Spec // the file may be another tomorrow
	if err := t.run.WriteJSON("config.json", t.cfg); err != nil {
		return err
	}
	return t.run.WriteJSON("schedule.json", t.schedule)
}

// carryOut brings up what the run needs and lets it happen. The history is closed when it returns.
func (t *tested) carryOut(ctx context.Context) (err error) {
	live := newLive(t.cmd.ErrOrStderr(), t.flags.quiet, t.cfg.TimeLimit)
	defer live.stop()
	live.say("run %s, seed %d", t.run.ID(), t.cfg.Seed)
	closeRuntime, err := t.openRuntime(ctx, live)
	if err != nil {
		return err
	}
	defer closeRuntime()
	live.say("bringing up %d nodes (%s)", t.cfg.Nodes, t.runtime.Name())
	logs := t.run.Path("nodes")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return err
	}
	t.outcome, err = harness.Run(ctx, t.test(logs, live))
	if t.recorder != nil {
		err = errors.Join(err, t.recorder.Close())
	}
	if down := <-t.outcome.TornDown; down != nil {
		t.log.Error("take the cluster down", "error", down)
		live.say("could not remove everything: %v; raftcheck cleanup tries again", down)
	}
	return err
}

// breaksDisks says whether a fault needs disks that can be broken.
func breaksDisks(faults []nemesis.Fault) bool {
	return slices.ContainsFunc(faults, func(f nemesis.Fault) bool { return f.Family() == "disk" })
}

func (t *tested) test(logs string, live *live) *harness.Test {
	cfg := t.cfg
	events := &nemesis.Events{}
	ops, final := operations(cfg, t.workload, t.system)
	test := &harness.Test{
		Runtime: t.runtime,
		Spec: cluster.Spec{
			Run: t.clusterID(), System: t.system, Image: t.image, Nodes: cfg.Nodes,
			Spares: t.spares(),
			LogDir: logs, Lines: events.Feed, Keep: cfg.Keep, Disk: breaksDisks(t.faults),
		},
		Clients: func(
			ctx context.Context, c cluster.Cluster, now func() time.Duration,
		) (harness.Clients, error) {
			return clients(ctx, c, cfg, t.parts, now)
		},
		Begin: func(nodes []sut.Node) (harness.Recorder, error) {
			h, err := header(cfg, t.parts, t.run, t.image, nodes)
			if err != nil {
				return nil, err
			}
			if t.recorder, err = history.Create(t.run.HistoryPath(), h); err != nil {
				return nil, err
			}
			live.say("working for %v; first operation %v after the command",
				cfg.TimeLimit, time.Since(t.began).Round(time.Millisecond))
			t.watched = watch(t.recorder, t.workload.Model(), live.anomaly)
			return t.watched, nil
		},
		Operations: generator.Unless(
			func() bool { return t.flags.failFast && t.watched.found != nil },
			ops),
		Final:     final,
		TimeLimit: cfg.TimeLimit, Concurrency: t.parts.clients,
		Roaming:   harness.Roaming(cfg.Load.Clients),
		BootLimit: cfg.BootLimit, RecoverLimit: cfg.RecoveryLimit,
		Progress: live.progress, Log: t.log,
	}
	if len(t.schedule.Steps) > 0 || t.external {
		test.FaultsAtOnce = t.schedule.AtOnce()
		if t.external {
			test.FaultsAtOnce = config.MaxNodes
		}
		test.Nemesis = func(at harness.Site) (harness.Nemesis, error) {
			return t.nemesisOf(at, events)
		}
	}
	return test
}

// spares is how many nodes stand by to become members.
func (t *tested) spares() int {
	if _, ok := t.system.(sut.Membership); !ok {
		return 0
	}
	if t.external {
		return t.cfg.Nodes // nobody knows what will be asked for
	}
	return t.schedule.Spares(t.cfg.Nodes)
}

// clusterID names the run on the machine. Runs of different stores may begin in the same second
// with the same seed; one must not take the other's cluster for its own.
func (t *tested) clusterID() string { return t.run.ID() + "-" + strconv.Itoa(os.Getpid()) }

// finish judges what there is, writes the reports, and turns all of it into an exit code. failed is
// what went wrong with the run itself.
func (t *tested) finish(ctx context.Context, failed error) (*report.Report, error) {
	interrupted := ctx.Err() != nil
	ctx = context.WithoutCancel(ctx)
	if t.recorder == nil {
		return nil, t.neverBegan(failed, interrupted)
	}
	j, err := judgeRun(ctx, t.run, asked{limit: t.cfg.CheckLimit})
	if err != nil {
		return nil, exit{exitFailure, errors.Join(failed, err)}
	}
	j.interrupted = interrupted
	if failed != nil {
		j.failure = failed.Error()
	}
	rep := j.report(t.describe(j))
	if err := t.run.Write("verdict.json", j.verdict.WriteJSON); err != nil {
		return rep, exit{exitFailure, err}
	}
	if err := writeReports(t.run, rep); err != nil {
		return rep, exit{exitFailure, err}
	}
	if err := t.run.MarkLatest(); err != nil {
		t.log.Warn("mark the run as the latest", "error", err)
	}
	switch {
	case interrupted:
		return rep, exit{exitInterrupted, nil}
	case failed != nil && j.verdict.Validity != check.Invalid: // what is broken stays broken
		return rep, exit{exitFailure, failed}
	}
	return rep, exit{exitOf(j.verdict.Validity), failed}
}

// neverBegan ends a run that has no history. Its directory goes, unless it holds what the nodes
// said when they did not come up.
func (t *tested) neverBegan(failed error, interrupted bool) error {
	if interrupted {
		failed = errors.New("interrupted before the first operation")
	}
	code := exitFailure
	if interrupted {
		code = exitInterrupted
	}
	if boot, ok := errors.AsType[*harness.BootError](failed); ok {
		return exit{code, hinted{failed, boot.Hint() + "; all logs are in " + t.run.Path("nodes")}}
	}
	if err := t.run.Discard(); err != nil {
		t.log.Warn("remove the run that never began", "error", err)
	}
	return exit{code, failed}
}
