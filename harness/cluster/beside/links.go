package beside

import (
	"context"
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

// Reset implements [cluster.Resetter]. Each side aborts its own end: a reset that one side sends
// could be lost in a cut.
func (h *Hand) Reset(ctx context.Context, peers []sut.NodeID) (int, error) {
	addrs, err := h.addrs(peers)
	if err != nil {
		return 0, fmt.Errorf("reset connections of %s: %w", h.Node.ID, err)
	}
	broken := 0
	res, err := h.Agent.Reset(ctx, addrs)
	for _, n := range res.Broken {
		broken += n
	}
	if err != nil {
		return broken, fmt.Errorf("reset connections of %s: %w", h.Node.ID, h.Explain(err))
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, id := range peers {
		peer := h.Peers[id]
		g.Go(func() error {
			if _, err := peer.Agent.Reset(ctx, []netip.Addr{h.Node.Addr}); err != nil {
				return fmt.Errorf("reset connections of %s with %s: %w", id, h.Node.ID,
					peer.Explain(err))
			}
			return nil
		})
	}
	return broken, g.Wait()
}

// Shape implements [cluster.Shaper].
func (h *Hand) Shape(ctx context.Context, to map[sut.NodeID]cluster.Link, seed uint64) error {
	ids := slices.Sorted(maps.Keys(to))
	addrs, err := h.addrs(ids)
	if err != nil {
		return fmt.Errorf("shape links of %s: %w", h.Node.ID, err)
	}
	args := wire.ShapeArgs{To: map[netip.Addr]wire.Link{}, Seed: seed}
	for i, a := range addrs {
		args.To[a] = wire.Link(to[ids[i]])
	}
	if _, err := h.Agent.Shape(ctx, args); err != nil {
		return fmt.Errorf("shape links of %s: %w", h.Node.ID, h.Explain(err))
	}
	return nil
}

// Shaped implements [cluster.Shaper].
func (h *Hand) Shaped(ctx context.Context) (map[sut.NodeID]cluster.LinkCount, error) {
	res, err := h.Agent.Shaped(ctx)
	if err != nil {
		return nil, fmt.Errorf("count packets of %s: %w", h.Node.ID, h.Explain(err))
	}
	names := h.names()
	counts := map[sut.NodeID]cluster.LinkCount{}
	for a, c := range res.Counts {
		counts[names[a]] = cluster.LinkCount(c)
	}
	return counts, nil
}

// SkewClocks is for [cluster.ClockSkewer]. The caller sees to it that the node is not frozen: a
// frozen process can not be held.
func (h *Hand) SkewClocks(ctx context.Context, wall, monotonic *cluster.Skew) error {
	args := wire.SkewArgs{Realtime: (*wire.Skew)(wall), Monotonic: (*wire.Skew)(monotonic)}
	if _, err := h.Agent.Skew(ctx, args); err != nil {
		return fmt.Errorf("skew clocks of %s: %w", h.Node.ID, h.Explain(err))
	}
	return nil
}

// ReadClocks is for [cluster.ClockSkewer].
func (h *Hand) ReadClocks(ctx context.Context) (wall, monotonic time.Duration, err error) {
	res, err := h.Agent.Clocks(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("read clocks of %s: %w", h.Node.ID, h.Explain(err))
	}
	if len(res.Processes) == 0 {
		return 0, 0, fmt.Errorf("read clocks of %s: it has no process", h.Node.ID)
	}
	first := res.Processes[0]
	return first.Realtime, first.Monotonic, nil
}
