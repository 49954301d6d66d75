package main

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
	"github.com/raftcheck/raftcheck/harness/sut"
	custom "github.com/raftcheck/raftcheck/harness/sut/driver"
)

// openRuntime makes ready what the nodes run on. What it opened is closed by the function that it
// returns.
func (t *tested) openRuntime(ctx context.Context, live *live) (func(), error) {
	if t.runtime != nil {
		return func() {}, nil
	}
	if t.cfg.Runtime == "local" {
		return func() {}, t.openLocal(ctx, live)
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
	drivers, err := t.driverImage(ctx, engine, tools)
	if err != nil {
		closeEngine()
		return nil, err
	}
	t.runtime = docker.New(engine, docker.Config{
		ToolImage: tools, DriverImage: drivers, Guardian: guardianCommand(), Log: t.log,
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
		make, err := t.nodeImage(live)
		if err != nil {
			return "", err
		}
		g.Go(func() (err error) {
			t.image, err = make(ctx, engine)
			return err
		})
	}
	return tools, g.Wait()
}

// maker makes sure of an image, and names it.
type maker func(context.Context, *docker.Engine) (string, error)

// nodeSource is what the configuration or the system itself says of where nodes come from; nothing
// if neither says anything.
func (t *tested) nodeSource() sut.Source {
	src := sut.Source{Image: t.cfg.Image, Binary: t.cfg.Binary, Dockerfile: t.cfg.Dockerfile}
	if sourced, ok := t.system.(sut.Sourced); ok && src == (sut.Source{}) {
		src = sourced.Source()
	}
	return src
}

// nodeImage says how the image of the nodes is had, if none is named: from their source, or from
// the checkout.
func (t *tested) nodeImage(live *live) (maker, error) {
	src := t.nodeSource()
	switch {
	case src.Image != "":
		return func(context.Context, *docker.Engine) (string, error) { return src.Image, nil }, nil
	case src.Binary != "":
		return func(ctx context.Context, e *docker.Engine) (string, error) {
			return e.BuildNodeImage(ctx, src.Binary)
		}, nil
	case src.Dockerfile != "":
		live.say("building the node by %s", src.Dockerfile)
		return func(ctx context.Context, e *docker.Engine) (string, error) {
			return e.BuildDockerfile(ctx, src.Dockerfile)
		}, nil
	}
	builder, ok := t.system.(sut.Builder)
	if !ok {
		return nil, usage("--binary FILE, --image NAME or --dockerfile FILE; examples/build.sh "+
			"builds some real systems", "nothing says what a node of the system %s is",
			t.system.Name())
	}
	live.say("building the node from the checkout")
	return func(ctx context.Context, e *docker.Engine) (string, error) {
		return ensureNodeImage(ctx, e, builder.MainPackage(), "")
	}, nil
}

// programmed is a system whose clients are a program of its own, which has to be where the client
// driver is.
type programmed interface {
	// Program says what it is: an image, or a static executable.
	Program() sut.Source
}

// driverImage makes sure of the image of the client driver: that of the tools, with what the system
// needs beside it.
func (t *tested) driverImage(ctx context.Context, e *docker.Engine, tools string) (string, error) {
	p, ok := t.system.(programmed)
	if !ok {
		return tools, nil
	}
	switch src := p.Program(); {
	case src.Image != "":
		return ensureToolsOn(ctx, e, src.Image)
	case src.Binary != "":
		return e.BuildImage(ctx, docker.ImageSpec{
			Name: "raftcheck-driver", Binary: src.Binary, Label: "driver", From: tools, KeepEntry: true,
			Program: strings.TrimPrefix(custom.ProgramPath, "/"),
		})
	}
	return tools, nil
}
