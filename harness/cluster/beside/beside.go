// Package beside is the hand on a node by the fault agent that stands beside it. It is what all
// runtimes that have such agents share: however an agent was started and whatever its streams are,
// a cut, a slow link and a wrong clock are asked for, proven and counted in the same way.
package beside

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// Hand is the hand on one node. A runtime embeds it in its [cluster.Host] and sets all fields
// before the first use. Its methods may be called concurrently.
type Hand struct {
	// Node is the node that the agent stands beside.
	Node sut.Node
	// Agent is the agent.
	Agent *wire.Client
	// Peers are the hands on all nodes of the cluster, this one too. The map is shared and must
	// not change any more.
	Peers map[sut.NodeID]*Hand
	// Clients are the addresses that clients come from.
	Clients []netip.Addr
	// LastWords is what the agent has last written to its standard error; nil for nothing.
	LastWords func() string

	cutting sync.Mutex // guards cuts, and keeps changes of them in order
	cuts    cuts
}

var (
	_ cluster.DataCutter   = (*Hand)(nil)
	_ cluster.ClientCutter = (*Hand)(nil)
	_ cluster.Resetter     = (*Hand)(nil)
	_ cluster.Shaper       = (*Hand)(nil)
)

// Explain marks an error of the agent that says that something can not be done here, and gives the
// last words of an agent that is gone.
func (h *Hand) Explain(err error) error {
	if errors.Is(err, wire.ErrClosed) && h.LastWords != nil {
		return WithLastWords(err, h.LastWords())
	}
	e, ok := errors.AsType[*wire.Error](err)
	if ok && (e.Kind == wire.Unable || e.Kind == wire.Unknown) {
		return cluster.Unable{Err: err}
	}
	return err
}

// WithLastWords adds to err what a program wrote before it ended.
func WithLastWords(err error, words string) error {
	if words == "" {
		return fmt.Errorf("%w (it wrote nothing)", err)
	}
	return fmt.Errorf("%w; its last words:\n  %s", err, strings.ReplaceAll(words, "\n", "\n  "))
}

// cuts are all addresses that a node is cut off from. The agent has one set for all reasons.
type cuts struct{ from, data, clients []netip.Addr }

// changeCut changes one of the cuts and leaves the others. On an error the change is taken back
// here, and nobody knows what is in force.
func (h *Hand) changeCut(ctx context.Context, from []sut.NodeID,
	change func(*cuts, []netip.Addr)) error {
	addrs, err := h.addrs(from)
	if err != nil {
		return fmt.Errorf("cut %s off: %w", h.Node.ID, err)
	}
	h.cutting.Lock()
	defer h.cutting.Unlock()
	next := h.cuts
	change(&next, addrs)
	_, err = h.Agent.Cut(ctx, wire.CutArgs{From: slices.Concat(next.from, next.clients),
		Data: next.data})
	if err != nil {
		return fmt.Errorf("cut %s off from %v: %w", h.Node.ID, from, h.Explain(err))
	}
	h.cuts = next
	return nil
}

// addrs are the addresses of nodes.
func (h *Hand) addrs(ids []sut.NodeID) ([]netip.Addr, error) {
	addrs := make([]netip.Addr, 0, len(ids))
	for _, id := range ids {
		peer, ok := h.Peers[id]
		if !ok {
			return nil, fmt.Errorf("there is no node %s", id)
		}
		addrs = append(addrs, peer.Node.Addr)
	}
	return addrs, nil
}

// names are the nodes by address.
func (h *Hand) names() map[netip.Addr]sut.NodeID {
	names := make(map[netip.Addr]sut.NodeID, len(h.Peers))
	for id, peer := range h.Peers {
		names[peer.Node.Addr] = id
	}
	return names
}

// Cut implements [cluster.Host].
func (h *Hand) Cut(ctx context.Context, from []sut.NodeID) error {
	return h.changeCut(ctx, from, func(c *cuts, addrs []netip.Addr) { c.from = addrs })
}

// CutData implements [cluster.DataCutter].
func (h *Hand) CutData(ctx context.Context, from []sut.NodeID) error {
	return h.changeCut(ctx, from, func(c *cuts, addrs []netip.Addr) { c.data = addrs })
}

// CutClients implements [cluster.ClientCutter].
func (h *Hand) CutClients(ctx context.Context, cut bool) error {
	return h.changeCut(ctx, nil, func(c *cuts, _ []netip.Addr) {
		c.clients = nil
		if cut {
			c.clients = h.Clients
		}
	})
}

// Dropped implements [cluster.Host].
func (h *Hand) Dropped(ctx context.Context) (map[sut.NodeID]uint64, error) {
	counts, err := h.Agent.Dropped(ctx)
	if err != nil {
		return nil, fmt.Errorf("count what %s dropped: %w", h.Node.ID, h.Explain(err))
	}
	names := h.names()
	byNode := make(map[sut.NodeID]uint64, len(counts))
	for addr, n := range counts {
		if id, ok := names[addr]; ok {
			byNode[id] = n
		}
	}
	return byNode, nil
}
