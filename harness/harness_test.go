package harness_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/raftcheck/raftcheck/harness"
	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/fake"
	"github.com/raftcheck/raftcheck/harness/driver"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis"
	"github.com/raftcheck/raftcheck/workloads"
)

// whole is a run on the fake cluster, judged as `raftcheck test` judges.
type whole struct {
	history *history.History
	verdict *check.Verdict
	outcome *harness.Outcome
	err     error
}

// runWhole carries a run of 30 s out. In a synctest bubble it takes no time.
func runWhole(t *testing.T, ctx context.Context, b fake.Behaviour, seed uint64) whole {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "nodes"), 0o755); err != nil {
		t.Fatal(err)
	}
	test, closeHistory := newTest(t, dir, b, seed)
	var w whole
	w.outcome, w.err = harness.Run(ctx, test)
	if err := <-w.outcome.TornDown; err != nil {
		t.Errorf("teardown: %v", err)
	}
	if err := closeHistory(); err != nil {
		t.Fatal(err)
	}
	h, err := history.ReadFile(filepath.Join(dir, "history.jsonl"))
	if errors.Is(err, os.ErrNotExist) {
		return w
	}
	if err != nil {
		t.Fatal(err)
	}
	w.history = h
	checkers := append(workloads.Register{}.Checkers(), check.Stock()...)
	w.verdict = check.Judge(context.WithoutCancel(ctx), &check.Input{
		History: h, Promises: check.PromisesOf(h), Dir: os.DirFS(dir),
	}, checkers)
	return w
}

// canBreak says whether f can break the store in memory, which has no disks.
func canBreak(f nemesis.Fault) bool { return f.Family() != "disk" }

func newTest(
	t *testing.T, dir string, b fake.Behaviour, seed uint64,
) (*harness.Test, func() error) {
	t.Helper()
	store := fake.New(b)
	register := workloads.Register{}
	log := slog.New(slog.DiscardHandler)
	faults, err := nemesis.Select([]string{"all"}, 5)
	if err != nil {
		t.Fatal(err)
	}
	faults = slices.DeleteFunc(faults, func(f nemesis.Fault) bool { return !canBreak(f) })
	plan, err := nemesis.Plan(nemesis.Wishes{
		Faults: faults, Nodes: 5, TimeLimit: 90 * time.Second, Quiet: time.Second,
		Interval: 4 * time.Second, Duration: 2 * time.Second,
	}, rand.New(rand.NewPCG(seed, 1)))
	if err != nil {
		t.Fatal(err)
	}
	h := history.Header{
		Run: "test", Workload: "register", Seed: seed, Functions: register.Functions(),
		RecoveryLimit: 10 * time.Second, AvailabilityLimit: 10 * time.Second,
		Restart: true, LeaderChange: true,
	}
	for _, f := range faults {
		h.Faults = append(h.Faults, f.Name())
	}
	var rec *history.Recorder
	events := &nemesis.Events{}
	ops := register.Operations(rand.New(rand.NewPCG(seed, 3)), workloads.Load{})
	test := &harness.Test{
		Runtime: store, Log: log,
		Spec: cluster.Spec{
			Run: "test", System: store, Nodes: 5, Spares: plan.Spares(5),
			LogDir: filepath.Join(dir, "nodes"),
			Lines:  events.Feed,
		},
		Clients: func(
			_ context.Context, c cluster.Cluster, now func() time.Duration,
		) (harness.Clients, error) {
			all := append(c.Nodes(), c.(cluster.Reserve).Spares()...)
			return driver.NewLocal(store, all, register.Do, time.Second, now), nil
		},
		FaultsAtOnce: plan.AtOnce(),
		Nemesis: func(at harness.Site) (harness.Nemesis, error) {
			env := &nemesis.Env{Cluster: at.Cluster, System: store, Admin: at.Clients,
				Events: events, Note: at.Note}
			return nemesis.New(env, plan, at.Start, log)
		},
		Begin: func(nodes []sut.Node) (_ harness.Recorder, err error) {
			for _, n := range nodes {
				h.Nodes = append(h.Nodes, string(n.ID))
			}
			rec, err = history.Create(filepath.Join(dir, "history.jsonl"), h)
			return rec, err
		},
		Operations: generator.Stagger(100, rand.New(rand.NewPCG(seed, 2)), ops),
		Final:      ops.Final,
		TimeLimit:  90 * time.Second, Concurrency: 10,
		BootLimit: 10 * time.Second, RecoverLimit: 10 * time.Second,
	}
	return test, func() error {
		if rec == nil {
			return nil
		}
		return rec.Close()
	}
}

func TestWholeRunsEndInTheVerdictThatTheStoreDeserves(t *testing.T) {
	for _, c := range []struct {
		name      string
		behaviour fake.Behaviour
		want      check.Validity
		property  string // checker that must say so
	}{
		{"a correct store is valid", fake.Behaviour{}, check.Valid, ""},
		{"local reads are stale", fake.Behaviour{LocalReads: true}, check.Invalid, "linearizability"},
		{"early acknowledgements are lost", fake.Behaviour{EarlyAck: true}, check.Invalid,
			"linearizability"},
		{"replicas that differ are seen", fake.Behaviour{Diverge: true}, check.Invalid,
			check.ReplicasAgree{}.Name()},
		{"a node that panics is seen", fake.Behaviour{Crash: 100}, check.Invalid,
			check.NodeHealth{}.Name()},
	} {
		for seed := range uint64(2) {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := runWhole(t, t.Context(), c.behaviour, seed)
					if w.err != nil {
						t.Fatal(w.err)
					}
					if w.verdict.Validity != c.want {
						t.Errorf("seed %d: %s (%s), want %s", seed, w.verdict.Validity,
							w.verdict.Reason, c.want)
					}
					for _, r := range w.verdict.Results {
						if r.Checker == c.property && r.Validity != check.Invalid {
							t.Errorf("seed %d: %s is %s", seed, r.Property, r.Validity)
						}
					}
				})
			})
		}
	}
}

func TestAHistoryHoldsTheFaultsWithWhatBecameOfThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := runWhole(t, t.Context(), fake.Behaviour{}, 7)
		if w.err != nil {
			t.Fatal(w.err)
		}
		installed := map[string]bool{}
		healed := 0
		for _, op := range w.history.Ops {
			if op.Process != history.Nemesis || op.Type != history.Info {
				continue
			}
			var v nemesis.Value
			if err := json.Unmarshal(op.Value, &v); err != nil {
				t.Fatal(err)
			}
			if v.Outcome == nemesis.Installed && len(v.Nodes) > 0 && v.Evidence != nil {
				installed[op.F] = true
			}
			if v.Outcome == nemesis.Healed {
				healed++
			}
		}
		for _, f := range nemesis.Faults() {
			if canBreak(f) && !installed[f.Name()] {
				t.Errorf("%s was not installed with nodes and evidence", f.Name())
			}
		}
		if healed < len(installed)+1 {
			t.Errorf("%d heals of %d faults and the last one", healed, len(installed))
		}
		if !w.history.Complete {
			t.Error("the history is not complete")
		}
	})
}

func TestAnInterruptedRunIsHealedSavedAndJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// In the midst of a fault: the first one begins after one second.
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		w := runWhole(t, ctx, fake.Behaviour{}, 3)
		if w.err != nil || !w.outcome.Interrupted {
			t.Errorf("error %v, interrupted %v", w.err, w.outcome.Interrupted)
		}
		last := w.history.Ops[len(w.history.Ops)-1]
		if last.F != "heal" || !strings.Contains(string(last.Value), `"healed"`) {
			t.Errorf("the last operation is %s %s, want a heal", last.F, last.Value)
		}
		if w.verdict.Validity == check.Invalid {
			t.Errorf("what there is is judged %s: %s", w.verdict.Validity, w.verdict.Reason)
		}
		if w.verdict.Validity == check.Valid {
			t.Error("a run that did not do what it set out to do is called valid")
		}
	})
}

func TestAClusterThatDoesNotComeUpIsTheHarnessesTroubleAndSaysWhichNode(t *testing.T) {
	for _, c := range []struct {
		name      string
		behaviour fake.Behaviour
		want      []string
	}{
		{"a node dies", fake.Behaviour{DieAtBoot: true},
			[]string{"node n1 ended while it booted, with exit code 2", "panic: no configuration"}},
		{"no node is ever ready", fake.Behaviour{NeverReady: true},
			[]string{"node n1 knew no leader after 10s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := runWhole(t, t.Context(), c.behaviour, 1)
				if w.err == nil {
					t.Fatal("no error")
				}
				for _, want := range c.want {
					if !strings.Contains(w.err.Error(), want) {
						t.Errorf("the error does not say %q:\n%v", want, w.err)
					}
				}
				if w.history != nil {
					t.Error("there is a history of a run that never began")
				}
			})
		})
	}
}

// failing is a recorder on a disk that gets full.
type failing struct{ left int }

var errFull = errors.New("no space left on device")

func (f *failing) Append(history.Op) error {
	if f.left--; f.left < 0 {
		return errFull
	}
	return nil
}
func (f *failing) Flush() error { return nil }

func TestARunEndsWhenItsHistoryCanNotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		test, _ := newTest(t, dir, fake.Behaviour{}, 1)
		test.Spec.LogDir = dir
		test.Begin = func([]sut.Node) (harness.Recorder, error) { return &failing{left: 500}, nil }
		out, err := harness.Run(t.Context(), test)
		if !errors.Is(err, errFull) {
			t.Errorf("got %v", err)
		}
		if err := <-out.TornDown; err != nil {
			t.Errorf("teardown: %v", err)
		}
	})
}
