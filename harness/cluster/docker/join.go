package docker

import (
	"context"
	"errors"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

var _ cluster.Joiner = (*pod)(nil)

// Join implements [cluster.Joiner]. The node gets a container and a volume that are new; its agent,
// and with it all that is done to its network, stays.
func (p *pod) Join(ctx context.Context, cmd sut.Command) error {
	p.process.Lock()
	defer p.process.Unlock()
	if err := p.join(ctx, cmd); err != nil {
		return fmt.Errorf("start %s anew: %w", p.node.ID, p.Explain(err))
	}
	return nil
}

func (p *pod) join(ctx context.Context, cmd sut.Command) error {
	if err := p.clear(ctx); err != nil {
		return err
	}
	if err := p.createNode(ctx, cmd); err != nil {
		return err
	}
	if err := p.openDisk(ctx, true); err != nil {
		return err
	}
	if err := p.openLog(); err != nil {
		return err
	}
	if err := p.startNode(ctx); err != nil {
		return err
	}
	return p.mustRun(ctx)
}

// clear removes the node's container and volume, if there are any.
func (p *pod) clear(ctx context.Context) error {
	id := p.containerID()
	if id == "" {
		return nil
	}
	if err := p.kill(ctx); err != nil {
		return err
	}
	if err := p.logs.drain(ctx); err != nil {
		return fmt.Errorf("read the end of its log: %w", err)
	}
	p.logs.stop()
	ctx, cancel := steady(ctx)
	defer cancel()
	cli := p.c.engine.cli
	err := cli.ContainerRemove(ctx, id, container.RemoveOptions{})
	if err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	if p.c.spec.Disk { // the agent holds the volume, and wipes it instead
		p.setContainer(nil)
		return nil
	}
	if err := cli.VolumeRemove(ctx, p.name(""), false); err != nil && !errdefs.IsNotFound(err) {
		return err
	}
	p.setContainer(nil)
	return nil
}

// errNeverJoined is about a spare that was never asked to join.
var errNeverJoined = errors.New("it is a spare that has not joined yet")

func (p *pod) setContainer(ctr testcontainers.Container) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.container = ctr
}

func (p *pod) nodeContainer() testcontainers.Container {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.container
}

// containerID is that of the node's container; empty if there is none.
func (p *pod) containerID() string {
	if ctr := p.nodeContainer(); ctr != nil {
		return ctr.GetContainerID()
	}
	return ""
}
