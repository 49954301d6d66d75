package clustertest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

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
	if cfg.programs() {
		last(t, spec, "n1") // it has counted its start
	}
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

func testExits(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 3)
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
			flows(t, spec, "n1", "n2") // it listens
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
