package clustertest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

func testBoot(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 5)
	want := []sut.NodeID{"n1", "n2", "n3", "n4", "n5"}
	if got := ids(c.Nodes()); !slices.Equal(got, want) {
		t.Fatalf("nodes: got %v, want %v", got, want)
	}
	if h := c.Host("n9"); h != nil {
		t.Errorf("the host of a node that there is not: got %v, want nil", h)
	}
	for _, n := range c.Nodes() {
		mustState(t, c.Host(n.ID), cluster.Running)
		must(t, c.Host(n.ID).Start(t.Context())) // starting one that runs is no error
	}
	if !cfg.programs() {
		return
	}
	for _, a := range c.Nodes() {
		for _, b := range c.Nodes() {
			if a.ID != b.ID {
				flows(t, spec, a.ID, b.ID)
			}
		}
	}
}

func testDown(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
	must(t, c.Host("n1").Signal(t.Context(), cluster.Kill))
	must(t, c.Host("n2").Signal(t.Context(), cluster.Stop))
	must(t, c.Host("n3").Cut(t.Context(), []sut.NodeID{"n1", "n2"}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // whoever was interrupted must still be able to clean up
	for range 2 {
		must(t, c.Down(ctx))
	}
	mustLeaveNothing(t, cfg, spec.Run)
}

// testInterrupted ends Up at several moments.
func testInterrupted(t *testing.T, cfg Config) {
	enough := errors.New("enough")
	var runs []string
	for wait := 20 * time.Millisecond; ; wait += wait {
		spec := NewSpec(t, cfg, 3)
		runs = append(runs, spec.Run)
		ctx, cancel := context.WithTimeoutCause(t.Context(), wait, enough)
		c, err := cfg.New(t).Up(ctx, spec)
		cancel()
		if err == nil { // it was up before
			must(t, c.Down(t.Context()))
			break
		}
		if !errors.Is(err, enough) && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("interrupted after %v: got %v, want %v", wait, err, enough)
		}
		mustLeaveNothing(t, cfg, spec.Run)
	}
	for _, run := range runs { // and nothing came later
		mustLeaveNothing(t, cfg, run)
	}
}

// testSideBySide brings two clusters up at once: what happens to one is nothing to the other.
func testSideBySide(t *testing.T, cfg Config) {
	needPrograms(t, cfg)
	specs := [2]cluster.Spec{NewSpec(t, cfg, 2), NewSpec(t, cfg, 2)}
	var clusters [2]cluster.Cluster
	var errs [2]error
	var wg sync.WaitGroup
	for i := range specs {
		rt := cfg.New(t)
		wg.Go(func() { clusters[i], errs[i] = rt.Up(t.Context(), specs[i]) })
	}
	wg.Wait()
	for i, c := range clusters {
		if errs[i] != nil {
			t.Errorf("cluster %d: %v", i, errs[i])
			continue
		}
		t.Cleanup(func() { must(t, c.Down(context.Background())) })
	}
	if t.Failed() {
		return
	}
	must(t, clusters[0].Host("n1").Cut(t.Context(), []sut.NodeID{"n2"}))
	must(t, clusters[0].Host("n2").Signal(t.Context(), cluster.Stop))
	flows(t, specs[1], "n1", "n2")
	flows(t, specs[1], "n2", "n1")
	must(t, clusters[0].Down(t.Context()))
	mustLeaveNothing(t, cfg, specs[0].Run)
	for _, n := range clusters[1].Nodes() {
		mustState(t, clusters[1].Host(n.ID), cluster.Running)
	}
	flows(t, specs[1], "n1", "n2")
}

func mustLeaveNothing(t *testing.T, cfg Config, run string) {
	t.Helper()
	if cfg.Left == nil {
		return
	}
	left, err := cfg.Left(t.Context(), run)
	must(t, err)
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
