package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
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

// explain marks an error of the agent that says that something can not be done here, and gives the
// last words of an agent that is gone.
func (p *pod) explain(err error) error {
	if errors.Is(err, wire.ErrClosed) {
		return withLastWords(err, p.stream.errs.String())
	}
	e, ok := errors.AsType[*wire.Error](err)
	if ok && (e.Kind == wire.Unable || e.Kind == wire.Unknown) {
		return cluster.Unable{Err: err}
	}
	return err
}

// cuts are all addresses that a node is cut off from. The agent has one set for all reasons.
type cuts struct{ from, data, clients []netip.Addr }

// changeCut changes one of the cuts and leaves the others. On an error the change is taken back
// here, and nobody knows what is in force.
func (p *pod) changeCut(ctx context.Context, from []sut.NodeID,
	change func(*cuts, []netip.Addr)) error {
	addrs, err := p.addrs(from)
	if err != nil {
		return fmt.Errorf("cut %s off: %w", p.node.ID, err)
	}
	p.cutting.Lock()
	defer p.cutting.Unlock()
	next := p.cuts
	change(&next, addrs)
	_, err = p.agent.Cut(ctx, wire.CutArgs{From: slices.Concat(next.from, next.clients),
		Data: next.data})
	if err != nil {
		return fmt.Errorf("cut %s off from %v: %w", p.node.ID, from, p.explain(err))
	}
	p.cuts = next
	return nil
}

// addrs are the addresses of nodes.
func (p *pod) addrs(ids []sut.NodeID) ([]netip.Addr, error) {
	addrs := make([]netip.Addr, 0, len(ids))
	for _, id := range ids {
		peer, ok := p.c.pods[id]
		if !ok {
			return nil, fmt.Errorf("there is no node %s", id)
		}
		addrs = append(addrs, peer.node.Addr)
	}
	return addrs, nil
}

// CutData implements [cluster.DataCutter].
func (p *pod) CutData(ctx context.Context, from []sut.NodeID) error {
	return p.changeCut(ctx, from, func(c *cuts, addrs []netip.Addr) { c.data = addrs })
}

// CutClients implements [cluster.ClientCutter]. Clients are the drivers, those too that are still
// to come, and whatever reaches the node through the network's gateway.
func (p *pod) CutClients(ctx context.Context, cut bool) error {
	return p.changeCut(ctx, nil, func(c *cuts, _ []netip.Addr) {
		c.clients = nil
		if cut {
			c.clients = []netip.Addr{hostOf(p.c.subnet, 1)}
			for i := range maxDrivers {
				c.clients = append(c.clients, hostOf(p.c.subnet, firstDriver+i))
			}
		}
	})
}

// Reset implements [cluster.Resetter]. Each side aborts its own end: a reset that one side sends
// could be lost in a cut.
func (p *pod) Reset(ctx context.Context, peers []sut.NodeID) (int, error) {
	addrs, err := p.addrs(peers)
	if err != nil {
		return 0, fmt.Errorf("reset connections of %s: %w", p.node.ID, err)
	}
	broken := 0
	res, err := p.agent.Reset(ctx, addrs)
	for _, n := range res.Broken {
		broken += n
	}
	if err != nil {
		return broken, fmt.Errorf("reset connections of %s: %w", p.node.ID, p.explain(err))
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, id := range peers {
		peer := p.c.pods[id]
		g.Go(func() error {
			if _, err := peer.agent.Reset(ctx, []netip.Addr{p.node.Addr}); err != nil {
				return fmt.Errorf("reset connections of %s with %s: %w", id, p.node.ID,
					peer.explain(err))
			}
			return nil
		})
	}
	return broken, g.Wait()
}

// Shape implements [cluster.Shaper].
func (p *pod) Shape(ctx context.Context, to map[sut.NodeID]cluster.Link, seed uint64) error {
	addrs, err := p.addrs(slices.Sorted(maps.Keys(to)))
	if err != nil {
		return fmt.Errorf("shape links of %s: %w", p.node.ID, err)
	}
	args := wire.ShapeArgs{To: map[netip.Addr]wire.Link{}, Seed: seed}
	for _, a := range addrs {
		args.To[a] = wire.Link(to[p.c.names[a]])
	}
	if _, err := p.agent.Shape(ctx, args); err != nil {
		return fmt.Errorf("shape links of %s: %w", p.node.ID, p.explain(err))
	}
	return nil
}

// Shaped implements [cluster.Shaper].
func (p *pod) Shaped(ctx context.Context) (map[sut.NodeID]cluster.LinkCount, error) {
	res, err := p.agent.Shaped(ctx)
	if err != nil {
		return nil, fmt.Errorf("count packets of %s: %w", p.node.ID, p.explain(err))
	}
	counts := map[sut.NodeID]cluster.LinkCount{}
	for a, c := range res.Counts {
		counts[p.c.names[a]] = cluster.LinkCount(c)
	}
	return counts, nil
}

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
	args := wire.SkewArgs{Realtime: (*wire.Skew)(wall), Monotonic: (*wire.Skew)(monotonic)}
	if _, err := p.agent.Skew(ctx, args); err != nil {
		return fmt.Errorf("skew clocks of %s: %w", p.node.ID, p.explain(err))
	}
	return nil
}

// ReadClocks implements [cluster.ClockSkewer].
func (p *pod) ReadClocks(ctx context.Context) (wall, monotonic time.Duration, err error) {
	res, err := p.agent.Clocks(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("read clocks of %s: %w", p.node.ID, p.explain(err))
	}
	if len(res.Processes) == 0 {
		return 0, 0, fmt.Errorf("read clocks of %s: it has no process", p.node.ID)
	}
	first := res.Processes[0]
	return first.Realtime, first.Monotonic, nil
}
