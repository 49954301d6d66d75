package nemesis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// clientCut cuts nodes off from all clients. The other nodes do not notice.
type clientCut struct{}

func (clientCut) Name() string   { return "partition-clients" }
func (clientCut) Family() string { return "partition" }
func (clientCut) Doc() string {
	return "no client reaches the target, which talks to the other nodes"
}
func (clientCut) Targets() []Target { return []Target{Leader, Follower, Minority} }

func (clientCut) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	nodes, err := env.resolve(ctx, step.Target, step.rng())
	if err != nil {
		return Effect{}, err
	}
	if step.KeepMajority {
		return Effect{Nodes: nodes}, Skip("clients may need just these nodes")
	}
	env.clients.set(step.ID, nodes)
	eff := Effect{Nodes: nodes, Undo: func(ctx context.Context) (any, error) {
		return nil, env.clients.mend(ctx, env, step.ID)
	}}
	err = each(nodes, func(id sut.NodeID) error { return cutClients(ctx, env, id, true) })
	if err != nil {
		return eff, unable(err)
	}
	err = each(nodes, func(id sut.NodeID) error { return unreached(ctx, env, id) })
	if err == nil {
		eff.Evidence = map[string]any{"no_answer_to_clients": nodes}
	}
	return eff, err
}

func cutClients(ctx context.Context, env *Env, id sut.NodeID, cut bool) error {
	cutter, ok := env.Cluster.Host(id).(cluster.ClientCutter)
	if !ok {
		return cluster.Unable{Err: errors.New("clients can not be cut off here")}
	}
	if err := cutter.CutClients(ctx, cut); err != nil {
		return fmt.Errorf("cut clients off from %s: %w", id, err)
	}
	return nil
}

// unansweredAsk is how long a node that is cut off is asked in vain.
const unansweredAsk = 300 * time.Millisecond

// unreached fails if a client gets an answer from id.
func unreached(ctx context.Context, env *Env, id sut.NodeID) error {
	ctx, cancel := context.WithTimeout(ctx, unansweredAsk)
	defer cancel()
	if _, err := env.Admin.Status(ctx, id); err == nil {
		return fmt.Errorf("%s still answers clients", id)
	}
	return nil
}

// clientCuts keeps which steps cut clients off from which nodes. If one of those leads, nobody
// promises anything to clients, and who leads can change.
type clientCuts struct{ nodeSets }

// mend lets clients reach what step cut off, unless another step cuts it off too.
func (c *clientCuts) mend(ctx context.Context, env *Env, step int) error {
	mine := c.drop(step)
	rest := c.broken()
	return each(mine, func(id sut.NodeID) error {
		if _, ok := env.Cluster.Host(id).(cluster.ClientCutter); !ok || rest[id] {
			return nil
		}
		return cutClients(ctx, env, id, false)
	})
}

// nodeSets keeps which steps have done something to which nodes.
type nodeSets struct {
	mu     sync.Mutex
	active map[int][]sut.NodeID // by step, guarded by mu
}

func (s *nodeSets) set(step int, nodes []sut.NodeID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil {
		s.active = map[int][]sut.NodeID{}
	}
	s.active[step] = nodes
}

// drop forgets a step, and returns its nodes.
func (s *nodeSets) drop(step int) []sut.NodeID {
	s.mu.Lock()
	defer s.mu.Unlock()
	nodes := s.active[step]
	delete(s.active, step)
	return nodes
}

// broken lists the nodes of all steps.
func (s *nodeSets) broken() map[sut.NodeID]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[sut.NodeID]bool{}
	for _, nodes := range s.active {
		for _, id := range nodes {
			all[id] = true
		}
	}
	return all
}
