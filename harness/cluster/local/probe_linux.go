package local

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// Probe brings an agent up without a node, and asks it what works here. Nothing stays.
func (r *Runtime) Probe(ctx context.Context) (all []wire.Ability, err error) {
	own, err := os.Executable()
	if err != nil {
		return nil, err
	}
	run := fmt.Sprintf("probe-%d", os.Getpid())
	c, err := newCluster(r.cfg, cluster.Spec{Run: run, Image: own, Spares: 1})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Down(context.WithoutCancel(ctx))) }()
	if err := c.up(ctx); err != nil {
		return nil, err
	}
	p := c.pods[c.spares[0].ID]
	found, err := p.Agent.Probe(ctx)
	if err != nil {
		return nil, p.Explain(err)
	}
	return append(found, p.group.abilities()...), nil
}

// abilities says what the control group is good for.
func (g group) abilities() []wire.Ability {
	freeze := wire.Ability{Name: "freeze processes", Needs: "the freezer of control groups"}
	if g.Freezer == "" && g.Unified == "" {
		freeze.Missing = g.Missing
	}
	limit := wire.Ability{Name: "limit processor and memory", Needs: "control groups for both"}
	if (g.CPU == "" || g.Memory == "") && (!g.HasCPU || !g.HasMemory) {
		limit.Missing = "there are none that we may make"
		if g.Missing != "" {
			limit.Missing = g.Missing
		}
	}
	return []wire.Ability{freeze, limit}
}
