package clustertest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// testJoin has a spare node join a cluster of two, and then start anew on an empty disk.
func testJoin(t *testing.T, cfg Config) {
	c, spec := upWith(t, cfg, 2, func(spec *cluster.Spec) { spec.Spares = 1 })
	r, ok := c.(cluster.Reserve)
	if !ok {
		t.Fatal("spares were asked for, but the cluster has no reserve")
	}
	if got, want := ids(r.Spares()), []sut.NodeID{"n3"}; !slices.Equal(got, want) {
		t.Fatalf("spares: got %v, want %v", got, want)
	}
	if got, want := ids(c.Nodes()), []sut.NodeID{"n1", "n2"}; !slices.Equal(got, want) {
		t.Fatalf("nodes: got %v, want %v", got, want)
	}
	h := c.Host("n3")
	mustState(t, h, cluster.Gone)
	must(t, h.Signal(t.Context(), cluster.Kill)) // there is nothing to kill
	must(t, h.Cut(t.Context(), []sut.NodeID{"n1"}))
	must(t, c.Host("n1").Cut(t.Context(), []sut.NodeID{"n3"}))
	must(t, h.Cut(t.Context(), nil))
	must(t, c.Host("n1").Cut(t.Context(), nil))
	cmd := spec.System.Command(r.Spares()[0], c.Nodes())
	join := func(boot int) {
		t.Helper()
		must(t, h.(cluster.Joiner).Join(t.Context(), cmd))
		mustState(t, h, cluster.Running)
		if cfg.programs() {
			booted(t, spec, "n3", boot)
			flows(t, spec, "n3", "n1")
		}
	}
	join(1)
	must(t, h.Signal(t.Context(), cluster.Kill))
	must(t, h.Start(t.Context()))
	if cfg.programs() {
		booted(t, spec, "n3", 2)
	}
	join(1) // and has forgotten that it ever ran
	must(t, h.Signal(t.Context(), cluster.Kill))
	join(1)
	for i := range 3 {
		if x := nextExit(t, c, fmt.Sprint("kill ", i)); x.Node != "n3" || !x.Asked {
			t.Errorf("exit: got %+v, want one of n3 that was asked for", x)
		}
	}
	must(t, c.Down(t.Context()))
	mustLeaveNothing(t, cfg, spec.Run)
}

// booted waits until the node says that its disk has seen so many starts.
func booted(t *testing.T, spec cluster.Spec, id sut.NodeID, boot int) {
	t.Helper()
	eventually(t, fmt.Sprintf("boot %d of %s", boot, id), func() error {
		if l := last(t, spec, id); l.Boot != boot {
			return fmt.Errorf("it says boot %d", l.Boot)
		}
		return nil
	})
}
