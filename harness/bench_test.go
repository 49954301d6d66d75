package harness_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness"
	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/fake"
	"github.com/raftcheck/raftcheck/harness/driver"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/workloads"
)

// BenchmarkRun is whole runs of b.N operations on the store in memory, the history on disk: what
// the harness itself costs. 200,000 operations a second are wanted.
func BenchmarkRun(b *testing.B) {
	dir := b.TempDir()
	store := fake.New(fake.Behaviour{})
	register := workloads.Register{}
	var rec *history.Recorder
	ops := register.Operations(rand.New(rand.NewPCG(1, 2)), workloads.Load{})
	test := &harness.Test{
		Runtime: store, Log: slog.New(slog.DiscardHandler),
		Spec: cluster.Spec{Run: "bench", System: store, Nodes: 5},
		Clients: func(
			_ context.Context, c cluster.Cluster, now func() time.Duration,
		) (harness.Clients, error) {
			return driver.NewLocal(store, c.Nodes(), register.Do, time.Minute, now), nil
		},
		Begin: func([]sut.Node) (_ harness.Recorder, err error) {
			rec, err = history.Create(filepath.Join(dir, "history.jsonl"), history.Header{})
			return rec, err
		},
		Operations: generator.Limit(b.N, ops), Final: ops.Final,
		TimeLimit: time.Hour, Concurrency: 10,
		BootLimit: time.Minute, RecoverLimit: time.Minute,
	}
	b.ResetTimer()
	out, err := harness.Run(b.Context(), test)
	if err != nil {
		b.Fatal(err)
	}
	if err := rec.Close(); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	if err := <-out.TornDown; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
