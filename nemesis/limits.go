package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// limit lets nodes use but little of the machine.
type limit struct {
	name, doc string
	draw      func(rng *rand.Rand) cluster.Limits
	key, unit string
	set       func(*cluster.Limits)
}

func (l limit) Name() string    { return l.name }
func (limit) Family() string    { return "resources" }
func (l limit) Doc() string     { return l.doc }
func (limit) Targets() []Target { return []Target{Leader, Follower, Minority} }

func resources() []Fault {
	return []Fault{
		limit{name: "cpu", doc: "the node gets 2 to 20 % of a processor", draw: littleCPU,
			key: "share", unit: "of a processor"},
		limit{name: "memory", doc: "the node gets 24 to 64 MiB of memory; the kernel may end it",
			draw: littleMemory, key: "mib", unit: "MiB of memory"},
	}
}

func littleCPU(rng *rand.Rand) cluster.Limits {
	return cluster.Limits{CPU: 0.02 + 0.18*rng.Float64()}
}

func littleMemory(rng *rand.Rand) cluster.Limits {
	return cluster.Limits{Memory: (24 + rng.Int64N(41)) << 20}
}

func (l limit) tune(s *settings) Fault {
	switch l.key {
	case "share":
		x, ok := s.number(l.key, l.unit, 0.01, 64)
		l.set = func(to *cluster.Limits) {
			if ok {
				to.CPU = x
			}
		}
	case "mib":
		x, ok := s.number(l.key, l.unit, 6, 1<<20)
		l.set = func(to *cluster.Limits) {
			if ok {
				to.Memory = int64(x * (1 << 20))
			}
		}
	}
	return l
}

func (l limit) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	nodes, err := env.resolve(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	if err := env.allow(step, harm{down: nodes}); err != nil {
		return Effect{Nodes: nodes}, err
	}
	to := l.draw(rng)
	if l.set != nil {
		l.set(&to)
	}
	env.limits.set(step.ID, nodes, to)
	eff := Effect{Nodes: nodes, Undo: func(ctx context.Context) (any, error) {
		return env.limits.mend(ctx, env, step.ID)
	}}
	if err := env.limits.apply(ctx, env, nodes); err != nil {
		return eff, unable(err)
	}
	eff.Evidence = map[string]any{"limits": to}
	return eff, nil
}

// limits keeps which steps limit what. Of two steps on one node the tighter limit holds.
type limits struct {
	mu     sync.Mutex
	active map[int]limited // by step, guarded by mu
}

type limited struct {
	nodes []sut.NodeID
	to    cluster.Limits
}

func (l *limits) set(step int, nodes []sut.NodeID, to cluster.Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.active == nil {
		l.active = map[int]limited{}
	}
	l.active[step] = limited{nodes, to}
}

// apply limits nodes as they must be now. The limits were read back when a host returns.
func (l *limits) apply(ctx context.Context, env *Env, nodes []sut.NodeID) error {
	return each(nodes, func(id sut.NodeID) error {
		limiter, ok := env.Cluster.Host(id).(cluster.Limiter)
		if !ok {
			return cluster.Unable{Err: errors.New("nodes can not be limited here")}
		}
		if err := limiter.Limit(ctx, l.of(id)); err != nil {
			return fmt.Errorf("limit %s: %w", id, err)
		}
		return nil
	})
}

// of is what id may use now.
func (l *limits) of(id sut.NodeID) (to cluster.Limits) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.active {
		for _, n := range a.nodes {
			if n != id {
				continue
			}
			if a.to.CPU > 0 && (to.CPU == 0 || a.to.CPU < to.CPU) {
				to.CPU = a.to.CPU
			}
			if a.to.Memory > 0 && (to.Memory == 0 || a.to.Memory < to.Memory) {
				to.Memory = a.to.Memory
			}
		}
	}
	return to
}

// mend lifts the limits of step, and starts those nodes again that it has ended.
func (l *limits) mend(ctx context.Context, env *Env, step int) (any, error) {
	l.mu.Lock()
	mine := l.active[step]
	delete(l.active, step)
	l.mu.Unlock()
	if err := unable(l.apply(ctx, env, mine.nodes)); err != nil {
		if Skipped(err) {
			return nil, nil // then they never were limited
		}
		return nil, err
	}
	down := env.hosts.down()
	return nil, each(mine.nodes, func(id sut.NodeID) error {
		if down[id] {
			return nil
		}
		return revive(ctx, env, id)
	})
}

// broken lists the nodes that are limited. Nobody promises how well they do.
func (l *limits) broken() map[sut.NodeID]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[sut.NodeID]bool{}
	for _, a := range l.active {
		for _, id := range a.nodes {
			all[id] = true
		}
	}
	return all
}
