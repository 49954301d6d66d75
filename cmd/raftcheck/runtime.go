package main

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// openRuntime makes ready what the nodes run on. What it opened is closed by the function that it
// returns.
func (t *tested) openRuntime(ctx context.Context, live *live) (func(), error) {
	if t.runtime != nil {
		return func() {}, nil
	}
	engine, err := docker.Connect(ctx, t.log)
	if err != nil {
		return nil, err
	}
	t.engine = fmt.Sprintf("Docker %s, API %s", engine.Version, engine.Speaks)
	closeEngine := func() { _ = engine.Close() } // only connections
	reapDead(ctx, engine, t.log)
	tools, err := t.images(ctx, engine, live)
	if err != nil {
		closeEngine()
		return nil, err
	}
	t.runtime = docker.New(engine, docker.Config{
		ToolImage: tools, Guardian: guardianCommand(), Log: t.log,
	})
	return closeEngine, nil
}

// images makes sure of the images of tools and node, side by side, and names that of the tools.
func (t *tested) images(
	ctx context.Context, engine *docker.Engine, live *live,
) (tools string, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		tools, err = ensureToolImage(ctx, engine)
		return err
	})
	if t.image == "" {
		builder, ok := t.system.(sut.Builder)
		if !ok {
			return "", usage("--image NAME", "the system %s can not be built here", t.system.Name())
		}
		live.say("building the node from the checkout")
		g.Go(func() (err error) {
			t.image, err = ensureNodeImage(ctx, engine, builder.MainPackage(), "")
			return err
		})
	}
	return tools, g.Wait()
}
