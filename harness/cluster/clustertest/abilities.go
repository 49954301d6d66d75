package clustertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// ability is the host of n1 if it has the ability A; the test is skipped otherwise.
func ability[A any](t *testing.T, cfg Config, c cluster.Cluster) A {
	t.Helper()
	needPrograms(t, cfg)
	a, ok := c.Host("n1").(A)
	if !ok {
		t.Skipf("the hosts of this runtime are no %T", *new(A))
	}
	return a
}

// can fails on an error, and skips the test if the error says that it can not be done here.
func can(t *testing.T, err error) {
	t.Helper()
	if _, ok := errors.AsType[cluster.Unable](err); ok {
		t.Skip(err)
	}
	must(t, err)
}

// testCutData cuts n2 from n1 for data. What n1 sends goes on to arrive at n2, and would not if n1
// lost the acknowledgements as well, as it does in the end.
func testCutData(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
	h := ability[cluster.DataCutter](t, cfg, c)
	flows(t, spec, "n2", "n1")
	flows(t, spec, "n1", "n2")
	dials := last(t, spec, "n1").Dials["n2"]
	can(t, h.CutData(t.Context(), []sut.NodeID{"n2"}))
	silent(t, spec, "n2", "n1")
	for range 30 { // some seconds, and many times what a window holds without acknowledgement
		flows(t, spec, "n1", "n2")
	}
	silent(t, spec, "n2", "n1")
	mustDrop(t, c.Host("n1"), "n2", 1)
	if got := last(t, spec, "n1").Dials["n2"]; got != dials {
		t.Errorf("n1 has dialled n2 %d times, want %d", got, dials)
	}
	must(t, c.Host("n1").Cut(t.Context(), []sut.NodeID{"n2"}))
	silent(t, spec, "n1", "n2")
	must(t, c.Host("n1").Cut(t.Context(), nil)) // the other one stays
	flows(t, spec, "n1", "n2")
	silent(t, spec, "n2", "n1")
	must(t, h.CutData(t.Context(), nil))
	flows(t, spec, "n2", "n1")
}

func testCutClients(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 2)
	h := ability[cluster.ClientCutter](t, cfg, c)
	dh, ok := c.(cluster.DriverHost)
	if !ok {
		t.Skip("this runtime has no client driver")
	}
	d, err := dh.Driver(t.Context())
	must(t, err)
	rw := bufio.NewReadWriter(bufio.NewReader(d), bufio.NewWriter(d))
	dial := func(n int, want string) {
		t.Helper()
		if got := ask(t, rw, "dial "+addrOf(c.Nodes()[n])); !strings.Contains(got, want) {
			t.Errorf("dial n%d: got %q, want %q", n+1, got, want)
		}
	}
	flows(t, spec, "n2", "n1") // they listen
	flows(t, spec, "n1", "n2")
	dial(0, "connected")
	can(t, h.CutClients(t.Context(), true))
	dial(0, "timeout")
	dial(1, "connected")
	flows(t, spec, "n2", "n1")
	must(t, c.Host("n1").Cut(t.Context(), []sut.NodeID{"n2"})) // and back, beside it
	must(t, c.Host("n1").Cut(t.Context(), nil))
	dial(0, "timeout")
	must(t, h.CutClients(t.Context(), false))
	dial(0, "connected")
}

func testReset(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
	h := ability[cluster.Resetter](t, cfg, c)
	flows(t, spec, "n1", "n2")
	flows(t, spec, "n2", "n1")
	before1, before2 := last(t, spec, "n1").Dials, last(t, spec, "n2").Dials
	n, err := h.Reset(t.Context(), []sut.NodeID{"n2"})
	can(t, err)
	if n < 2 {
		t.Errorf("connections broken: got %d, want one each way at least", n)
	}
	eventually(t, "both dial again", func() error {
		now1, now2 := last(t, spec, "n1").Dials["n2"], last(t, spec, "n2").Dials["n1"]
		if now1 == before1["n2"] || now2 == before2["n1"] {
			return fmt.Errorf("n1 dialled %d times, n2 %d", now1, now2)
		}
		return nil
	})
	flows(t, spec, "n1", "n2")
	flows(t, spec, "n2", "n1")
	if got := last(t, spec, "n1").Dials["n3"]; got != before1["n3"] {
		t.Errorf("n1 has dialled n3 %d times, want %d", got, before1["n3"])
	}
}

// testShape slows, loses and holds what n1 sends to n2, on the connection that is there.
func testShape(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
	h := ability[cluster.Shaper](t, cfg, c)
	flows(t, spec, "n1", "n2")
	dials := last(t, spec, "n1").Dials["n2"]
	shape := func(l cluster.Link) {
		t.Helper()
		can(t, h.Shape(t.Context(), map[sut.NodeID]cluster.Link{"n2": l}, 7))
	}
	const delay = 200 * time.Millisecond
	rtt := func(to sut.NodeID, ok func(time.Duration) bool, what string) {
		t.Helper()
		acked := last(t, spec, "n1").Acked[to]
		eventually(t, what, func() error {
			l := last(t, spec, "n1")
			got := time.Duration(l.RTT[to]) * time.Microsecond
			if l.Acked[to] < acked+5 || !ok(got) {
				return fmt.Errorf("round trip %v, %d of them", got, l.Acked[to]-acked)
			}
			return nil
		})
	}
	slow := func(d time.Duration) bool { return d >= delay && d < 10*delay }
	quick := func(d time.Duration) bool { return d < delay/2 }
	shape(cluster.Link{Delay: delay})
	rtt("n2", slow, "n1 to n2, slow")
	rtt("n3", quick, "n1 to n3, not slow")
	counts, err := h.Shaped(t.Context())
	must(t, err)
	if counts["n2"].Packets == 0 || len(counts) != 1 {
		t.Errorf("counts: got %+v, want packets to n2 and nothing else", counts)
	}
	shape(cluster.Link{Loss: 1})
	silent(t, spec, "n1", "n2")
	shape(cluster.Link{Duplicate: 1, Jitter: time.Millisecond, Rate: 100e6})
	flows(t, spec, "n1", "n2")
	shape(cluster.Link{Hold: true})
	silent(t, spec, "n1", "n2")
	counts, err = h.Shaped(t.Context())
	must(t, err)
	if n := counts["n2"]; n.Lost == 0 || n.Duplicated == 0 || n.Waiting == 0 {
		t.Errorf("counts: got %+v, want some that are lost, doubled and waiting", n)
	}
	must(t, h.Shape(t.Context(), nil, 0))
	flows(t, spec, "n1", "n2")
	rtt("n2", quick, "n1 to n2, quick again")
	if counts, err = h.Shaped(t.Context()); err != nil || counts["n2"].Waiting != 0 {
		t.Errorf("healed: got %+v, %v, want none waiting", counts, err)
	}
	if got := last(t, spec, "n1").Dials["n2"]; got != dials {
		t.Errorf("n1 has dialled n2 %d times, want %d: the old connection goes on", got, dials)
	}
	if err := h.Shape(t.Context(), map[sut.NodeID]cluster.Link{"n2": {Loss: 2}}, 0); err == nil {
		t.Error("a loss of 200 %: got no error")
	}
}

func testFreeze(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
	f := ability[cluster.Freezer](t, cfg, c)
	h := c.Host("n1")
	flows(t, spec, "n1", "n2")
	must(t, f.Thaw(t.Context()))
	for range 2 {
		can(t, f.Freeze(t.Context()))
		mustState(t, h, cluster.Stopped)
	}
	silent(t, spec, "n1", "n2")
	for range 2 {
		must(t, f.Thaw(t.Context()))
		mustState(t, h, cluster.Running)
	}
	flows(t, spec, "n1", "n2")
	must(t, f.Freeze(t.Context()))
	must(t, h.Signal(t.Context(), cluster.Kill)) // also when it can not run
	mustState(t, h, cluster.Gone)
	if x := nextExit(t, c, "killed while frozen"); !x.Asked {
		t.Errorf("killed while frozen: got %+v, want it asked for", x)
	}
	must(t, f.Freeze(t.Context()))
	must(t, f.Thaw(t.Context()))
	must(t, h.Start(t.Context()))
	flows(t, spec, "n1", "n2")
	must(t, f.Freeze(t.Context()))
	must(t, c.Down(context.Background()))
	mustLeaveNothing(t, cfg, spec.Run)
}
