package clustertest

import (
	"fmt"
	"testing"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

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
