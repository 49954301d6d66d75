package clustertest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// testClocks skews the clocks of n1, a static Go program that knows nothing of it, and compares
// them with those of n2.
func testClocks(t *testing.T, cfg Config) {
	c, spec := up(t, cfg, 2)
	h := ability[cluster.ClockSkewer](t, cfg, c)
	for _, offset := range []time.Duration{-time.Hour, time.Hour, 0} {
		can(t, h.SkewClocks(t.Context(), &cluster.Skew{Offset: offset}, nil))
		wallIs(t, spec, "n1", offset)
		wallIs(t, spec, "n2", 0)
		wall, mono, err := h.ReadClocks(t.Context())
		must(t, err)
		if d := wall - offset; d.Abs() > time.Second || mono.Abs() > time.Second {
			t.Errorf("its clocks: got %v and %v ahead, want %v and none", wall, mono, offset)
		}
	}
	if err := h.SkewClocks(t.Context(), nil, &cluster.Skew{Offset: -1}); err == nil {
		t.Error("a monotonic clock that goes back: got no error")
	}
	gained := gain(t, spec)
	must(t, h.SkewClocks(t.Context(), nil, &cluster.Skew{Rate: 3}))
	eventually(t, "its monotonic clock runs ahead", func() error {
		if g := gain(t, spec) - gained; g < 5*time.Second {
			return fmt.Errorf("by %v", g)
		}
		return nil
	})
	must(t, h.SkewClocks(t.Context(), nil, nil))
	gained = gain(t, spec)
	until := last(t, spec, "n2").Mono + time.Second
	eventually(t, "a second goes by", func() error {
		if m := last(t, spec, "n2").Mono; m < until {
			return fmt.Errorf("it is %v, want %v", m, until)
		}
		return nil
	})
	// At the former rate it would have gained two seconds.
	if g := gain(t, spec) - gained; g.Abs() > time.Second {
		t.Errorf("healed: in a second it gained %v", g)
	}
	if f, ok := c.Host("n1").(cluster.Freezer); ok { // what is frozen can be healed
		must(t, h.SkewClocks(t.Context(), &cluster.Skew{Offset: time.Hour}, &cluster.Skew{Rate: 2}))
		frozen := f.Freeze(t.Context())
		if _, no := errors.AsType[cluster.Unable](frozen); !no {
			must(t, frozen)
		}
		must(t, h.SkewClocks(t.Context(), nil, nil))
		if frozen == nil {
			must(t, f.Thaw(t.Context()))
		}
		wallIs(t, spec, "n1", 0)
	}
	must(t, h.SkewClocks(t.Context(), &cluster.Skew{Offset: -time.Hour}, nil))
	must(t, c.Host("n1").Signal(t.Context(), cluster.Kill))
	must(t, h.SkewClocks(t.Context(), nil, nil)) // there is nothing to heal
	must(t, c.Host("n1").Start(t.Context()))
	wallIs(t, spec, "n1", 0)
}

// wallIs waits until a node's wall clock is ahead by about offset.
func wallIs(t *testing.T, spec cluster.Spec, id sut.NodeID, offset time.Duration) {
	t.Helper()
	eventually(t, fmt.Sprintf("the wall clock of %s, %v ahead", id, offset), func() error {
		got := time.Duration(last(t, spec, id).Wall - time.Now().UnixNano())
		if d := got - offset; d.Abs() > 2*time.Second {
			return fmt.Errorf("it is %v ahead", got)
		}
		return nil
	})
}

// gain is by how much the monotonic clock of n1 is ahead of that of n2. Both began at about the
// same time.
func gain(t *testing.T, spec cluster.Spec) time.Duration {
	t.Helper()
	return last(t, spec, "n1").Mono - last(t, spec, "n2").Mono
}
