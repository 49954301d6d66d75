package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness"
	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/fake"
	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/driver"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/store"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/linearizability"
	"github.com/raftcheck/raftcheck/nemesis"
	"github.com/raftcheck/raftcheck/workloads"
)

// This file is where the rooms meet: names become things, and things are handed to each other.

type runtimeName struct{ name, doc string }

func runtimeNames() []runtimeName {
	return []runtimeName{
		{"docker", "a container for each node, on the Docker engine of the environment"},
		{"local", "Linux namespaces, without Docker; taken by itself where no engine answers"},
		{"fake", "a store in memory that needs nothing; to try raftcheck itself"},
	}
}

// parts are the things that a configuration names.
type parts struct {
	ref      sut.Ref
	system   sut.System
	workload workloads.Workload
	runtime  cluster.Runtime
	faults   []nemesis.Fault
	schedule nemesis.Schedule
	external bool // faults are driven by lines on standard input
	clients  int
}

// assemble finds what cfg names. Every error is one of the arguments. The fake runtime behaves as
// behaviour says.
func assemble(cfg config.Config, behaviour fake.Behaviour) (p parts, err error) {
	if p.workload, err = workloads.Named(cfg.Workload); err != nil {
		return p, hinted{err, "raftcheck list"}
	}
	if p.clients, err = cfg.Clients(); err != nil {
		return p, err
	}
	switch cfg.Runtime {
	case "fake":
		both := fake.New(behaviour)
		p.system, p.runtime = both, both
		return plan(cfg, p)
	case "", "docker", "local":
	default:
		return p, hinted{fmt.Errorf("unknown runtime %q: there is docker, local, fake", cfg.Runtime),
			"raftcheck list"}
	}
	if p.ref, p.system, err = chooseSystem(cfg); err != nil {
		return p, err
	}
	return plan(cfg, p) // the runtime needs an engine, see openRuntime
}

// fits says whether the workload can be run on the system.
func fits(p parts) error {
	if err := workloads.Fits(p.workload, p.system); err != nil {
		return hinted{err, "it can be put to " + strings.Join(workloads.FitFor(p.system), ", ")}
	}
	return nil
}

// plan draws the fault plan, or reads it from the file that cfg names.
func plan(cfg config.Config, p parts) (_ parts, err error) {
	if err := fits(p); err != nil {
		return p, err
	}
	suits := func(f nemesis.Fault) error {
		if cfg.KeepMajority {
			if err := nemesis.SparesMajority(f); err != nil {
				return err
			}
		}
		if f.Family() == "disk" && (cfg.Runtime == "local" || cfg.Runtime == "fake") {
			return fmt.Errorf("%s needs a disk that can be broken, which the %s runtime has not",
				f.Name(), cfg.Runtime)
		}
		return nemesis.Suits(f, p.system)
	}
	if cfg.Plan != "" {
		p.faults, p.schedule, err = readPlan(cfg)
		for _, f := range p.faults {
			if err := suits(f); err != nil {
				return p, err
			}
		}
		return p, err
	}
	if slices.Contains(cfg.Faults, externalFaults) {
		if p.external = len(cfg.Faults) == 1; !p.external {
			return p, hinted{errors.New(`the fault "external" does not go with others`),
				"whoever drives the faults can inject any of them"}
		}
		return p, nil
	}
	if p.faults, err = nemesis.SelectFor(cfg.Faults, cfg.Nodes, suits); err != nil {
		return p, hinted{err, "raftcheck list"}
	}
	p.schedule, err = nemesis.Plan(nemesis.Wishes{
		Faults: p.faults, Nodes: cfg.Nodes, TimeLimit: cfg.TimeLimit, Quiet: cfg.Quiet,
		Interval: cfg.FaultInterval, Duration: cfg.FaultDuration,
		Overlap: cfg.Overlap, KeepMajority: cfg.KeepMajority,
	}, source(cfg.Seed, "faults"))
	return p, err
}

// externalFaults is what --faults takes for faults that are driven from outside.
const externalFaults = "external"

// nemesisOf makes the nemesis of a run.
func (t *tested) nemesisOf(at harness.Site, events *nemesis.Events) (harness.Nemesis, error) {
	env := &nemesis.Env{Cluster: at.Cluster, System: t.system, Admin: at.Clients,
		Events: events, Note: at.Note}
	n, err := nemesis.New(env, t.schedule, at.Start, t.log)
	if err == nil && t.external {
		n.Drive(t.cmd.InOrStdin(), t.cmd.ErrOrStderr())
	}
	return n, err
}

// readPlan reads a plan that somebody wrote. The faults in it are those that the run asks for.
func readPlan(cfg config.Config) ([]nemesis.Fault, nemesis.Schedule, error) {
	f, err := os.Open(cfg.Plan)
	if err != nil {
		return nil, nemesis.Schedule{}, err
	}
	defer f.Close()
	s, err := nemesis.ReadPlan(f, cfg.TimeLimit, cfg.Nodes)
	if err != nil {
		return nil, s, hinted{fmt.Errorf("%s: %w", cfg.Plan, err), "raftcheck list shows the faults"}
	}
	faults := slices.DeleteFunc(nemesis.Faults(), func(f nemesis.Fault) bool {
		return !s.Uses(f.Name())
	})
	return faults, s, nil
}

// operations makes what clients do in a run: what the workload wants, but for what the system can
// not do.
//
// Final says what is read at the end.
func operations(
	cfg config.Config, w workloads.Workload, s sut.System,
) (paced generator.Generator, final func() []history.Op) {
	l := cfg.Load
	ops := w.Operations(source(cfg.Seed, "operations"), workloads.Load{
		Keys: l.Keys, Skew: l.Skew, Reads: l.Reads, ValueBytes: l.ValueBytes,
	})
	paced = ops
	if limited, ok := s.(sut.Limited); ok {
		paced = generator.Without(func(op history.Op) bool { return limited.Lacks(op.F) }, ops)
	}
	pace := source(cfg.Seed, "pace")
	return generator.Waves(cfg.Rate, l.Burst, l.BurstEvery, pace, paced), ops.Final
}

// source is the run's source of chance for one purpose: drawing more for one does not change what
// another gets.
func source(seed uint64, purpose string) *rand.Rand {
	var h uint64 = 14695981039346656037 // FNV-1a, which is the same everywhere
	for _, b := range []byte(purpose) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// header is the first line of the history. It holds all that judging needs.
func header(
	cfg config.Config, p parts, run *store.Run, image string, nodes []sut.Node,
) (history.Header, error) {
	cfg.SystemSpec = p.ref.Spec
	raw, err := json.Marshal(cfg)
	if err != nil {
		return history.Header{}, fmt.Errorf("save the configuration: %w", err)
	}
	h := history.Header{
		Run: run.ID(), Raftcheck: version(), Started: time.Now().UTC(),
		Workload: p.workload.Name(), Model: p.workload.Model(), System: p.system.Name(),
		Seed: cfg.Seed, Functions: functions(p.workload, p.system), Config: raw,
		RecoveryLimit: cfg.RecoveryLimit, AvailabilityLimit: cfg.AvailabilityLimit,
		Restart: p.schedule.Uses("kill"),
	}
	for _, f := range p.faults {
		h.Faults = append(h.Faults, f.Name())
	}
	leaderless, _ := p.system.(sut.Leaderless)
	if timing, ok := p.system.(sut.Timing); ok && (leaderless == nil || !leaderless.Leaderless()) {
		h.LeaderChange = p.schedule.DeposesLeader(timing.ElectionTimeout())
	}
	h.Images = map[string]string{}
	for _, n := range nodes {
		h.Nodes = append(h.Nodes, string(n.ID))
		if image != "" {
			h.Images[string(n.ID)] = image
		}
	}
	return h, nil
}

// functions are those of the workload that the system has.
func functions(w workloads.Workload, s sut.System) []string {
	limited, ok := s.(sut.Limited)
	if !ok {
		return w.Functions()
	}
	return slices.DeleteFunc(slices.Clone(w.Functions()), limited.Lacks)
}

// everyNode lists the nodes that clients may have to talk to, sooner or later.
func everyNode(c cluster.Cluster) []sut.Node {
	all := c.Nodes()
	if r, ok := c.(cluster.Reserve); ok {
		all = append(all, r.Spares()...)
	}
	return all
}

// clients makes the clients of a cluster: inside its network if it has one, here if not.
func clients(
	ctx context.Context, c cluster.Cluster, cfg config.Config, p parts, now func() time.Duration,
) (harness.Clients, error) {
	host, ok := c.(cluster.DriverHost)
	if !ok {
		return driver.NewLocal(p.system, everyNode(c), p.workload.Do, cfg.OpTimeout, now), nil
	}
	stream, err := host.Driver(ctx)
	if err != nil {
		return nil, err
	}
	return driver.NewRemote(ctx, stream, driver.Config{
		System: p.ref, Workload: p.workload.Name(), Nodes: everyNode(c),
		Timeout: cfg.OpTimeout, Now: now,
	})
}

// checkersOf says who judges a history: the checkers of its workload and those of every run. A
// history of another tool has no workload, and one can ask for another model; then the model alone
// judges.
func checkersOf(h history.Header, model string) ([]check.Checker, error) {
	if model != "" || h.Workload == "" {
		model = cmp.Or(model, h.Model, workloads.Register{}.Model())
		if _, err := linearizability.ModelNamed(model); err != nil {
			return nil, err
		}
		opts := linearizability.Options{Model: model}
		return []check.Checker{linearizability.NewChecker(opts)}, nil
	}
	w, err := workloads.Named(h.Workload)
	if err != nil {
		return nil, err
	}
	return slices.Concat(w.Checkers(), check.Stock(), check.Traces()), nil
}

// judge judges a history, by another model than its own if one is named. It needs the history, and
// for what stands in node logs the directory of the run; nothing else, so that the verdict is the
// same today and in a year.
func judge(
	ctx context.Context, h *history.History, model string, dir fs.FS, limit time.Duration,
) (*check.Verdict, error) {
	checkers, err := checkersOf(h.Header, model)
	if err != nil {
		return nil, err
	}
	in := &check.Input{History: h, Promises: check.PromisesOf(h), Dir: dir}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return check.Judge(ctx, in, checkers), nil
}
