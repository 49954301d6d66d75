package clustertest

import (
	"fmt"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

// testLimits lets nodes compute without end, and use more memory than n1 may have.
func testLimits(t *testing.T, cfg Config) {
	needPrograms(t, cfg)
	c, spec := upWith(t, cfg, 2, func(spec *cluster.Spec) {
		spec.System = System{Args: []string{"-spin"}}
	})
	h := ability[cluster.Limiter](t, cfg, c)
	const cpu = 0.05
	busy := func() (share float64) { // the part of a second that n1 computes
		t.Helper()
		before := last(t, spec, "n1")
		var now Look
		eventually(t, "a second goes by", func() error {
			if now = last(t, spec, "n1"); now.Mono < before.Mono+time.Second {
				return fmt.Errorf("%v of it", now.Mono-before.Mono)
			}
			return nil
		})
		return float64(now.CPU-before.CPU) / float64(now.Mono-before.Mono)
	}
	isBusy := func() error {
		if share := busy(); share < 2*cpu {
			return fmt.Errorf("it computes %.3f of the time", share)
		}
		return nil
	}
	eventually(t, "it computes", isBusy)
	can(t, h.Limit(t.Context(), cluster.Limits{CPU: cpu}))
	if share := busy(); share > 1.9*cpu { // a period may begin before the second and end after it
		t.Errorf("limited to %v of a processor it computes %.3f of the time", cpu, share)
	}
	must(t, h.Limit(t.Context(), cluster.Limits{}))
	eventually(t, "it computes again", isBusy)

	must(t, h.Limit(t.Context(), cluster.Limits{Memory: 1 << 30}))
	must(t, h.Limit(t.Context(), cluster.Limits{})) // of a process that runs
	if cfg.Memoryless != "" {
		t.Skip(cfg.Memoryless)
	}
	must(t, h.Limit(t.Context(), cluster.Limits{Memory: 64 << 20}))
	if got := tell(t, c, c.Nodes()[1], "use 200"); got != "used" { // it has no limit
		t.Errorf("n2 uses 200 MiB: got %q", got)
	}
	if got := tell(t, c, c.Nodes()[0], "use 200"); got == "used" {
		t.Error("n1 used 200 MiB, and may have 64")
	}
	if x := nextExit(t, c, "out of memory"); x.Node != "n1" || x.Asked || !x.OOM {
		t.Errorf("out of memory: got %+v, want the exit of n1, for want of memory", x)
	}
	must(t, h.Limit(t.Context(), cluster.Limits{}))
	must(t, c.Host("n1").Start(t.Context()))
	eventually(t, "the second start", func() error {
		if l := last(t, spec, "n1"); l.Boot != 2 {
			return fmt.Errorf("boot %d", l.Boot)
		}
		return nil
	})
	if got := tell(t, c, c.Nodes()[0], "use 200"); got != "used" {
		t.Errorf("n1 uses 200 MiB again: got %q", got)
	}
	if err := h.Limit(t.Context(), cluster.Limits{CPU: -1}); err == nil {
		t.Error("less than no processor: got no error")
	}
}
