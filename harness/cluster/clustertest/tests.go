package clustertest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

func testPause(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
	h := c.Host("n1")
	must(t, h.Signal(t.Context(), cluster.Cont)) // one that runs
	mustState(t, h, cluster.Running)
	if cfg.programs() {
		flows(t, spec, "n1", "n2")
	}
	for range 2 { // twice is as good as once
		must(t, h.Signal(t.Context(), cluster.Stop))
		mustState(t, h, cluster.Stopped)
	}
	if cfg.programs() {
		silent(t, spec, "n1", "n2")
	}
	for range 2 {
		must(t, h.Signal(t.Context(), cluster.Cont))
		mustState(t, h, cluster.Running)
	}
	if cfg.programs() {
		flows(t, spec, "n1", "n2")
	}
}

func testKillAndStart(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
	h := c.Host("n1")
	must(t, h.Signal(t.Context(), cluster.Stop)) // a stopped one dies too
	for round := range 3 {
		for range 2 {
			must(t, h.Signal(t.Context(), cluster.Kill))
			mustState(t, h, cluster.Gone)
		}
		must(t, h.Start(t.Context()))
		mustState(t, h, cluster.Running)
		if cfg.programs() {
			eventually(t, "its disk", func() error {
				if l := last(t, spec, "n1"); l.Boot != round+2 {
					return fmt.Errorf("it counts %d starts, want %d", l.Boot, round+2)
				}
				return nil
			})
			flows(t, spec, "n2", "n1")
			flows(t, spec, "n1", "n2")
		}
	}
}

func testCutOneWay(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
	h := c.Host("n1")
	if err := h.Cut(t.Context(), []sut.NodeID{"n7"}); err == nil {
		t.Error("cut from a node that there is not: got no error")
	}
	if cfg.programs() {
		flows(t, spec, "n2", "n1")
		flows(t, spec, "n3", "n1")
	}
	dials := func() uint64 { return last(t, spec, "n2").Dials["n1"] }
	var before uint64
	if cfg.programs() {
		before = dials()
	}
	for range 2 {
		must(t, h.Cut(t.Context(), []sut.NodeID{"n2"}))
	}
	if cfg.programs() {
		silent(t, spec, "n2", "n1") // on the connection that was there
		flows(t, spec, "n3", "n1")
		dropped := mustDrop(t, h, "n2", 1)
		if n := dropped["n3"]; n != 0 {
			t.Errorf("%d packets of n3 were dropped, want none", n)
		}
	}
	for range 2 {
		must(t, h.Cut(t.Context(), nil))
	}
	if !cfg.programs() {
		return
	}
	healed := mustDrop(t, h, "n2", 1)["n2"]
	flows(t, spec, "n2", "n1")
	if got := dials(); got != before {
		t.Errorf("n2 has dialled n1 %d times, want %d: the old connection goes on", got, before)
	}
	if got := mustDrop(t, h, "n2", 1)["n2"]; got != healed {
		t.Errorf("dropped: %d when it healed, %d later", healed, got)
	}
	must(t, h.Cut(t.Context(), []sut.NodeID{"n2", "n3"})) // the count goes on where it was
	mustDrop(t, h, "n2", healed+1)
	mustDrop(t, h, "n3", 1)
}

// mustDrop waits until at least so many packets of a sender were dropped.
func mustDrop(t *testing.T, h cluster.Host, from sut.NodeID, least uint64) map[sut.NodeID]uint64 {
	t.Helper()
	var dropped map[sut.NodeID]uint64
	eventually(t, "dropped packets of "+string(from), func() (err error) {
		if dropped, err = h.Dropped(t.Context()); err == nil && dropped[from] < least {
			err = fmt.Errorf("got %d, want %d", dropped[from], least)
		}
		return err
	})
	return dropped
}

func testCutOutlivesKill(t *testing.T, cfg Config) {
	needPrograms(t, cfg)
	c, spec := up(t, cfg, 3)
	h := c.Host("n1")
	flows(t, spec, "n2", "n1")
	must(t, h.Cut(t.Context(), []sut.NodeID{"n2"}))
	must(t, h.Signal(t.Context(), cluster.Kill))
	must(t, h.Start(t.Context()))
	eventually(t, "the second start", func() error {
		if l := last(t, spec, "n1"); l.Boot != 2 {
			return fmt.Errorf("boot %d", l.Boot)
		}
		return nil
	})
	flows(t, spec, "n3", "n1")
	if n := last(t, spec, "n1").Recv["n2"]; n != 0 {
		t.Errorf("a restarted node got %d pings over a link that is cut, want none", n)
	}
	must(t, h.Cut(t.Context(), nil))
	flows(t, spec, "n2", "n1")
}

func testExits(t *testing.T, cfg Config) {
	c, _ := up(t, cfg, 3)
	h := c.Host("n2")
	must(t, h.Signal(t.Context(), cluster.Kill))
	if x := nextExit(t, c, "killed"); x.Node != "n2" || !x.Asked || x.OOM || x.At.IsZero() {
		t.Errorf("killed: got %+v, want one of n2, asked for", x)
	}
	const kills = 10
	for range kills { // the exit may be told only when the node runs again
		must(t, h.Start(t.Context()))
		must(t, h.Signal(t.Context(), cluster.Kill))
	}
	must(t, h.Start(t.Context()))
	for i := range kills {
		if x := nextExit(t, c, "killed at once"); x.Node != "n2" || !x.Asked {
			t.Errorf("kill %d: got %+v, want one of n2, asked for", i+1, x)
		}
	}
	if cfg.programs() {
		if _, ok := c.(cluster.DriverHost); ok {
			tell(t, c, c.Nodes()[1], "exit 3")
			if x := nextExit(t, c, "it exits"); x.Node != "n2" || x.Asked || x.OOM || x.Code != 3 {
				t.Errorf("it exits: got %+v, want one of n2 with code 3, not asked for", x)
			}
			eventually(t, "gone", func() error {
				s, err := h.State(t.Context())
				if err == nil && s != cluster.Gone {
					err = fmt.Errorf("it is %s", s)
				}
				return err
			})
			must(t, h.Signal(t.Context(), cluster.Kill)) // too late, and no error
			must(t, h.Start(t.Context()))
		}
	}
	must(t, c.Down(t.Context()))
	if x, ok := <-c.Exits(); ok {
		t.Errorf("after the cluster is down: got %+v, want a closed channel", x)
	}
}

// nextExit waits for the next exit that the cluster reports.
func nextExit(t *testing.T, c cluster.Cluster, why string) cluster.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	select {
	case x, ok := <-c.Exits():
		if !ok {
			t.Fatalf("%s: the channel is closed", why)
		}
		return x
	case <-ctx.Done():
		t.Fatalf("%s: no exit was reported", why)
	}
	return cluster.Exit{}
}

// testLogs looks for lines that are missing or there twice, across restarts.
func testLogs(t *testing.T, cfg Config) {
	needPrograms(t, cfg)
	c, spec := up(t, cfg, 3)
	h := c.Host("n1")
	for range 3 {
		flows(t, spec, "n2", "n1")
		must(t, h.Signal(t.Context(), cluster.Kill))
		must(t, h.Start(t.Context()))
	}
	flows(t, spec, "n2", "n1")
	must(t, h.Signal(t.Context(), cluster.Kill))
	must(t, c.Collect(t.Context(), spec.LogDir))
	text := logText(t, spec, "n1")
	if !strings.HasSuffix(text, "\n") {
		t.Error("the log ends in the middle of a line")
	}
	all, err := looks(spec, "n1")
	must(t, err)
	var prev Look
	for i, l := range all {
		if l.Boot < prev.Boot || l.Boot == prev.Boot && l.Line != prev.Line+1 ||
			l.Boot > prev.Boot && (l.Boot != prev.Boot+1 || l.Line != 1) {
			t.Fatalf("line %d of the log: start %d line %d comes after start %d line %d", i+1,
				l.Boot, l.Line, prev.Boot, prev.Line)
		}
		prev = l
	}
	if prev.Boot != 4 || strings.Count(text, "\n") != len(all) {
		t.Errorf("%d starts in %d lines, %d of them looks; want 4 starts and nothing else",
			prev.Boot, strings.Count(text, "\n"), len(all))
	}
}

func testDriver(t *testing.T, cfg Config) {
	needPrograms(t, cfg)
	c, spec := up(t, cfg, 2)
	dh, ok := c.(cluster.DriverHost)
	if !ok {
		t.Skip("this runtime has no client driver")
	}
	d, err := dh.Driver(t.Context())
	must(t, err)
	rw := bufio.NewReadWriter(bufio.NewReader(d), bufio.NewWriter(d))
	if got := ask(t, rw, "echo hello"); got != "hello" {
		t.Errorf("echo: got %q, want %q", got, "hello")
	}
	n1, long := c.Nodes()[0], strings.Repeat("x", 50_000)
	if got := ask(t, rw, "send "+addrOf(n1)+" print "+long); got != "printed" {
		t.Errorf("a node, from the driver: got %q, want %q", got, "printed")
	}
	eventually(t, "a long line in the log, whole", func() error {
		if !slices.Contains(strings.Split(logText(t, spec, "n1"), "\n"), long) {
			return errors.New("it is not there")
		}
		return nil
	})
	must(t, c.Host("n1").Signal(t.Context(), cluster.Kill))
	if got := ask(t, rw, "dial "+addrOf(n1)); !strings.Contains(got, "refused") {
		t.Errorf("a dial to a node that was killed: got %q, want it refused at once", got)
	}
	must(t, d.Close())
	must(t, d.Close())
	if n, err := d.Read(make([]byte, 1)); err == nil {
		t.Errorf("read from a closed driver: got %d bytes and no error", n)
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

// testDiesAtBoot starts nodes that end at once. Where that is quicker than the others' start, Up
// itself tells; otherwise it is an exit like any other.
func testDiesAtBoot(t *testing.T, cfg Config) {
	needPrograms(t, cfg)
	const words = "no disk for me"
	spec := NewSpec(t, cfg, 2)
	spec.System = System{Args: []string{"-die", words}}
	c, err := cfg.New(t).Up(t.Context(), spec)
	if err == nil {
		if x := nextExit(t, c, "it dies at boot"); x.Asked || x.Code != 1 {
			t.Errorf("it dies at boot: got %+v, want code 1, not asked for", x)
		}
		eventually(t, "its last words", func() error {
			if text := logText(t, spec, "n1"); !strings.Contains(text, words) {
				return fmt.Errorf("it wrote %q", text)
			}
			return nil
		})
		must(t, c.Down(t.Context()))
	} else if !strings.Contains(err.Error(), words) {
		t.Errorf("got %v, want an error with the node's last words", err)
	}
	mustLeaveNothing(t, cfg, spec.Run)
}
