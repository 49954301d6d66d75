package main

import (
	"context"
	"fmt"
	"os"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
)

// toolPackage is this program: it is also the agent beside each node, and the client driver.
const toolPackage = "./cmd/raftcheck"

// ensureToolImage makes sure that the engine has this program in an image, and names it. The
// program itself is used if it can run there, as a release can; else it is compiled from the
// checkout.
func ensureToolImage(ctx context.Context, e *docker.Engine) (string, error) {
	return ensureToolsOn(ctx, e, "")
}

// ensureToolsOn makes sure of an image that holds this program beside all that from holds.
func ensureToolsOn(ctx context.Context, e *docker.Engine, from string) (string, error) {
	spec := docker.ImageSpec{Name: "raftcheck-tools", Program: "raftcheck", Label: "tools", From: from}
	if own, err := os.Executable(); err == nil && e.CheckBinary(own) == nil {
		spec.Binary = own
		return e.BuildImage(ctx, spec)
	}
	ref, err := buildFromCheckout(ctx, e, docker.GoBuild{Package: toolPackage}, spec)
	if err != nil {
		return "", fmt.Errorf("make the tool image: %w", err)
	}
	return ref, nil
}

// ensureNodeImage compiles a node's main package from the checkout, and makes sure that the engine
// has it in an image. overlay is a file for `go build -overlay`, or empty.
func ensureNodeImage(ctx context.Context, e *docker.Engine, mainPackage, overlay string,
) (string, error) {
	ref, err := buildFromCheckout(ctx, e, docker.GoBuild{Package: mainPackage, Overlay: overlay},
		docker.ImageSpec{})
	if err != nil {
		return "", fmt.Errorf("make the node image: %w", err)
	}
	return ref, nil
}

func buildFromCheckout(ctx context.Context, e *docker.Engine, b docker.GoBuild,
	spec docker.ImageSpec) (string, error) {
	var err error
	if b.Checkout, err = findCheckout(); err != nil {
		return "", err
	}
	return e.BuildGoImage(ctx, b, spec)
}

// findCheckout is the root of the checkout that the current directory is in.
func findCheckout() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	return docker.FindCheckout(dir)
}
