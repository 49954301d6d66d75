package docker

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/docker/docker/client"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/clustertest"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// testEngine connects to the engine, and skips the test where there is none.
func testEngine(t testing.TB) *Engine {
	t.Helper()
	e, err := Connect(t.Context(), slog.New(slog.NewTextHandler(testWriter{t}, nil)))
	if err != nil {
		if os.Getenv("RAFTCHECK_REQUIRE_DOCKER") == "1" {
			t.Fatalf("RAFTCHECK_REQUIRE_DOCKER=1, but %v", err)
		}
		t.Skipf("needs a Docker engine: %v", err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

type testWriter struct{ testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.Log(string(p))
	return len(p), nil
}

// testImage is testnode's: node, driver and agent in one.
func testImage(t testing.TB, e *Engine) string {
	t.Helper()
	checkout, err := FindCheckout(".")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := e.BuildGoImage(t.Context(), GoBuild{Checkout: checkout,
		Package: "./harness/cluster/clustertest/testnode"}, ImageSpec{})
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func testRuntime(t testing.TB, e *Engine, image string) *Runtime {
	return New(e, Config{ToolImage: image, Log: e.log})
}

// left lists what there still is of a run.
func (e *Engine) left(ctx context.Context, run string) ([]string, error) {
	found, err := e.list(ctx, run)
	var names []string
	for _, f := range found {
		names = append(names, f.String())
	}
	return names, err
}

func TestRuntime(t *testing.T) {
	e := testEngine(t)
	image := testImage(t, e)
	clustertest.Run(t, clustertest.Config{
		New:   func(t *testing.T) cluster.Runtime { return testRuntime(t, e, image) },
		Image: image,
		Left:  e.left,
	})
}

// unconnected is an engine of which only the client is there.
func unconnected(t *testing.T) *Engine {
	t.Helper()
	cli, err := client.NewClientWithOpts(client.FromEnv, client.WithVersion(MinAPI))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cli.Close() })
	return &Engine{cli: cli, log: slog.New(slog.DiscardHandler)}
}

func asError(err error) (*Error, bool) { return errors.AsType[*Error](err) }

// TestAgentDies: without its agent a node can not be, and that is told as what it is.
func TestAgentDies(t *testing.T) {
	e := testEngine(t)
	image := testImage(t, e)
	c, err := testRuntime(t, e, image).Up(t.Context(), cluster.Spec{Run: newRun(t),
		System: clustertest.System{}, Image: image, Nodes: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { must(t, c.Down(context.Background())) }()
	p := c.Host("n1").(*pod)
	must(t, e.cli.ContainerKill(t.Context(), p.name("-agent"), "KILL"))
	select {
	case x := <-c.Exits():
		if x.Node != "n1" || x.Asked {
			t.Errorf("got %+v, want the exit of n1, not asked for", x)
		}
	case <-time.After(30 * time.Second):
		t.Error("no exit was reported")
	}
	<-p.agent.Done()
	if _, err := p.State(t.Context()); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("state: got %v, want %v", err, wire.ErrClosed)
	}
	if s, err := c.Host("n2").State(t.Context()); err != nil || s != cluster.Running {
		t.Errorf("the other node: got %s, %v", s, err)
	}
}
