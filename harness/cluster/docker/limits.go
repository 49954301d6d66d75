package docker

import (
	"context"
	"fmt"
	"math"

	"github.com/docker/docker/api/types/container"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

var _ cluster.Limiter = (*pod)(nil)

const (
	// cpuPeriod is the time, in µs, of which a node gets its share. It is the kernel's default.
	cpuPeriod = 100_000
	// minQuota is the least share of it that the kernel takes.
	minQuota = 1000
	// pageSize is what limits of memory are multiples of.
	pageSize = 4096
)

// Limit implements [cluster.Limiter], by the control group of the node's container. The agent is in
// another.
func (p *pod) Limit(ctx context.Context, l cluster.Limits) error {
	p.process.Lock()
	defer p.process.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := p.limit(ctx, l); err != nil {
		return fmt.Errorf("limit %s to %+v: %w", p.node.ID, l, err)
	}
	return nil
}

func (p *pod) limit(ctx context.Context, l cluster.Limits) error {
	if l.CPU < 0 || l.Memory < 0 || math.IsNaN(l.CPU) {
		return fmt.Errorf("limits can not be negative")
	}
	id := p.containerID()
	if id == "" {
		return errNeverJoined
	}
	now, err := p.c.engine.cli.ContainerInspect(ctx, id)
	if err != nil {
		return err
	}
	want := container.Resources{CPUPeriod: cpuPeriod, CPUQuota: -1}
	if l.CPU > 0 {
		want.CPUQuota = max(minQuota, int64(math.Round(l.CPU*cpuPeriod)))
	}
	if l.Memory > 0 {
		want.Memory, want.MemorySwap = l.Memory, l.Memory // no swap beyond it
	} else if now.HostConfig.Memory > 0 {
		// The engine lifts no limit of memory, but takes one that is as large as the machine.
		info, err := p.c.engine.cli.Info(ctx)
		if err != nil {
			return err
		}
		// Of an unlimited swap (-1) it does not tell the kernel, which then refuses the memory.
		want.Memory = info.MemTotal &^ (pageSize - 1)
		want.MemorySwap = 2 * want.Memory
	}
	if _, err := p.c.engine.cli.ContainerUpdate(ctx, id,
		container.UpdateConfig{Resources: want}); err != nil {
		return err
	}
	now, err = p.c.engine.cli.ContainerInspect(ctx, id)
	if err != nil {
		return err
	}
	if r := now.HostConfig.Resources; r.CPUQuota != want.CPUQuota ||
		want.Memory > 0 && r.Memory != want.Memory {
		return fmt.Errorf("the engine says %d µs of %d and %d bytes", r.CPUQuota, cpuPeriod, r.Memory)
	}
	return nil
}
