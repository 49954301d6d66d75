package docker

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/clustertest"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// benchUp brings a cluster up and says how long it took.
func benchUp(b *testing.B, rt *Runtime, image string, nodes int) (cluster.Cluster, time.Duration) {
	b.Helper()
	begin := time.Now()
	c, err := rt.Up(b.Context(), cluster.Spec{Run: fmt.Sprintf("bench-%x", begin.UnixNano()),
		System: clustertest.System{}, Image: image, Nodes: nodes, LogDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	return c, time.Since(begin)
}

func benchDown(b *testing.B, c cluster.Cluster) time.Duration {
	b.Helper()
	begin := time.Now()
	if err := c.Down(b.Context()); err != nil {
		b.Fatal(err)
	}
	return time.Since(begin)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkBoot compares five nodes with one, in turns, so that both meet the same machine.
func BenchmarkBoot(b *testing.B) {
	e := testEngine(b)
	image := testImage(b, e)
	rt := testRuntime(b, e, image)
	var one, five, down []time.Duration
	for b.Loop() {
		c, took := benchUp(b, rt, image, 1)
		one = append(one, took)
		benchDown(b, c)
		c, took = benchUp(b, rt, image, 5)
		five = append(five, took)
		down = append(down, benchDown(b, c))
	}
	b.ReportMetric(float64(median(five))/float64(median(one)), "five/one")
	b.ReportMetric(float64(median(one).Milliseconds()), "one-ms")
	b.ReportMetric(float64(median(five).Milliseconds()), "five-ms")
	b.ReportMetric(float64(median(down).Milliseconds()), "down-ms")
}

// BenchmarkRestart kills a node of five and starts it again, and sets both beside a bare round trip
// to its agent.
func BenchmarkRestart(b *testing.B) {
	e := testEngine(b)
	image := testImage(b, e)
	c, _ := benchUp(b, testRuntime(b, e, image), image, 5)
	defer benchDown(b, c)
	h := c.Host("n3")
	timed := func(list *[]time.Duration, do func() error) {
		begin := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		*list = append(*list, time.Since(begin))
	}
	var kill, start, ask []time.Duration
	for b.Loop() {
		timed(&ask, func() error { _, err := h.State(b.Context()); return err })
		timed(&kill, func() error { return h.Signal(b.Context(), cluster.Kill) })
		timed(&start, func() error { return h.Start(b.Context()) })
	}
	b.ReportMetric(float64(median(start).Milliseconds()), "start-ms")
	b.ReportMetric(float64(median(kill).Milliseconds()), "kill-ms")
	b.ReportMetric(float64(median(ask).Microseconds()), "ask-us")
}

// BenchmarkFault measures what the nemesis waits for: a change of the cut on all five nodes, a
// pause of one, a link of it that becomes slow, and its wall clock that leaps, for the first time
// and then.
func BenchmarkFault(b *testing.B) {
	e := testEngine(b)
	image := testImage(b, e)
	c, _ := benchUp(b, testRuntime(b, e, image), image, 5)
	defer benchDown(b, c)
	host := c.Host("n1").(*pod)
	took := map[string][]time.Duration{}
	timed := func(name string, do func() error) {
		begin := time.Now()
		if err := do(); err != nil {
			b.Fatal(err)
		}
		took[name] = append(took[name], time.Since(begin))
	}
	ctx := b.Context()
	for b.Loop() {
		timed("cut5", func() error {
			var g errgroup.Group
			for _, n := range c.Nodes() {
				g.Go(func() error { return c.Host(n.ID).Cut(ctx, []sut.NodeID{"n1", "n2"}) })
			}
			return g.Wait()
		})
		timed("stop", func() error { return host.Signal(ctx, cluster.Stop) })
		timed("cont", func() error { return host.Signal(ctx, cluster.Cont) })
		timed("shape", func() error {
			return host.Shape(ctx, map[sut.NodeID]cluster.Link{"n3": {Delay: time.Millisecond}}, 1)
		})
		timed("unshape", func() error { return host.Shape(ctx, nil, 0) })
		timed("skew1", func() error { return host.SkewClocks(ctx, &cluster.Skew{Offset: 1}, nil) })
		timed("skew", func() error { return host.SkewClocks(ctx, &cluster.Skew{Offset: 2}, nil) })
		timed("unskew", func() error { return host.SkewClocks(ctx, nil, nil) })
	}
	for name, list := range took {
		b.ReportMetric(float64(median(list).Microseconds()), name+"-us")
	}
}
