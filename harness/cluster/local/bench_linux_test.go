package local

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/clustertest"
)

// BenchmarkBoot boots five nodes, as docker.BenchmarkBoot does.
func BenchmarkBoot(b *testing.B) {
	node, rt, _ := program(b)
	var five, down []time.Duration
	for b.Loop() {
		begin := time.Now()
		c, err := rt.Up(b.Context(), cluster.Spec{Run: fmt.Sprintf("bench-%x", begin.UnixNano()),
			System: clustertest.System{}, Image: node, Nodes: 5, LogDir: b.TempDir()})
		if err != nil {
			b.Fatal(err)
		}
		five = append(five, time.Since(begin))
		begin = time.Now()
		if err := c.Down(b.Context()); err != nil {
			b.Fatal(err)
		}
		down = append(down, time.Since(begin))
	}
	for name, list := range map[string][]time.Duration{"five-ms": five, "down-ms": down} {
		slices.Sort(list)
		b.ReportMetric(float64(list[len(list)/2].Milliseconds()), name)
	}
}
