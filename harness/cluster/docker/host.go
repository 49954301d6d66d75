package docker

import (
	"context"
	"fmt"

	"github.com/docker/docker/api/types/container"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

var _ cluster.Host = (*pod)(nil)

// Signal implements [cluster.Host].
func (p *pod) Signal(ctx context.Context, sig cluster.Signal) error {
	p.process.Lock()
	defer p.process.Unlock()
	var err error
	if sig == cluster.Kill {
		err = p.kill(ctx)
	} else {
		_, err = p.agent.Signal(ctx, string(sig))
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", sig, p.node.ID, p.Explain(err))
	}
	return nil
}

// kill ends the process, and waits until the engine knows too: it would not start again what it
// still takes for running.
func (p *pod) kill(ctx context.Context) error {
	if err := p.killProcess(ctx); err != nil {
		return err
	}
	return p.settled(ctx)
}

// killProcess holds mu, so that whoever hears of the exit first learns who did it.
func (p *pod) killProcess(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen { // a signal would wait for the thaw; the engine knows how to do both
		p.frozen = false
		p.kills++
		return p.c.engine.cli.ContainerKill(ctx, p.container.GetContainerID(), "KILL")
	}
	n, err := p.agent.Signal(ctx, string(cluster.Kill))
	if len(n.Processes) > 0 || err != nil {
		p.kills++
	}
	return err
}

// settled waits until the engine has noticed that the process ended.
func (p *pod) settled(ctx context.Context) error {
	id := p.containerID()
	if id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ended, failed := p.c.engine.cli.ContainerWait(ctx, id,
		container.WaitConditionNotRunning)
	select {
	case <-ended:
		return nil
	case err := <-failed:
		return fmt.Errorf("wait for the engine to notice: %w", err)
	}
}

// State implements [cluster.Host].
func (p *pod) State(ctx context.Context) (cluster.State, error) {
	n, err := p.agent.State(ctx)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", p.node.ID, p.Explain(err))
	}
	switch n.State {
	case wire.Running:
		if p.isFrozen() {
			return cluster.Stopped, nil
		}
		return cluster.Running, nil
	case wire.Stopped:
		return cluster.Stopped, nil
	case wire.Gone:
		return cluster.Gone, nil
	}
	return "", fmt.Errorf("look at %s: the agent says %q", p.node.ID, n.State)
}

// Start implements [cluster.Host].
func (p *pod) Start(ctx context.Context) error {
	p.process.Lock()
	defer p.process.Unlock()
	if err := p.start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", p.node.ID, err)
	}
	return nil
}

func (p *pod) start(ctx context.Context) error {
	n, err := p.agent.State(ctx)
	if err != nil {
		return err
	}
	if n.State != wire.Gone {
		return nil
	}
	if p.containerID() == "" {
		return errNeverJoined
	}
	if err := p.settled(ctx); err != nil { // it may have ended by itself, just now
		return err
	}
	if err := p.startNode(ctx); err != nil {
		return err
	}
	return p.mustRun(ctx)
}
