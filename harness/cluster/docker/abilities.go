package docker

import (
	"context"
	"fmt"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

// What a pod can do beside the least.
var (
	_ cluster.DataCutter   = (*pod)(nil)
	_ cluster.ClientCutter = (*pod)(nil)
	_ cluster.Resetter     = (*pod)(nil)
	_ cluster.Shaper       = (*pod)(nil)
	_ cluster.Freezer      = (*pod)(nil)
	_ cluster.ClockSkewer  = (*pod)(nil)
)

// Freeze implements [cluster.Freezer], by the freezer of the container's control group. The agent
// is in another.
func (p *pod) Freeze(ctx context.Context) error { return p.freeze(ctx, true) }

// Thaw implements [cluster.Freezer].
func (p *pod) Thaw(ctx context.Context) error { return p.freeze(ctx, false) }

func (p *pod) freeze(ctx context.Context, freeze bool) error {
	p.process.Lock()
	defer p.process.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := p.setFrozen(ctx, freeze); err != nil {
		verb := "thaw"
		if freeze {
			verb = "freeze"
		}
		return fmt.Errorf("%s %s: %w", verb, p.node.ID, err)
	}
	return nil
}

// setFrozen asks the engine how the container stands before and after, so that it works from any
// state. One whose process is gone has nothing to freeze.
func (p *pod) setFrozen(ctx context.Context, freeze bool) error {
	id := p.containerID()
	if id == "" {
		return nil // it has no process either
	}
	info, err := p.c.engine.cli.ContainerInspect(ctx, id)
	if err != nil {
		return err
	}
	if info.State.Running && info.State.Paused != freeze {
		if freeze {
			err = p.c.engine.cli.ContainerPause(ctx, id)
		} else {
			err = p.c.engine.cli.ContainerUnpause(ctx, id)
		}
		if err != nil {
			return err
		}
		if info, err = p.c.engine.cli.ContainerInspect(ctx, id); err != nil {
			return err
		}
		if info.State.Running && info.State.Paused != freeze {
			return fmt.Errorf("the engine says that it is %s", info.State.Status)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frozen = info.State.Running && info.State.Paused
	return nil
}

func (p *pod) isFrozen() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen
}

// SkewClocks implements [cluster.ClockSkewer].
func (p *pod) SkewClocks(ctx context.Context, wall, monotonic *cluster.Skew) error {
	if p.isFrozen() && (wall != nil || monotonic != nil) {
		return fmt.Errorf("skew clocks of %s: it is frozen", p.node.ID)
	}
	return p.Hand.SkewClocks(ctx, wall, monotonic)
}
