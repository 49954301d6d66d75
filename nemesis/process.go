package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// pause stops processes with SIGSTOP. The kernel goes on answering for them: connections are
// accepted and bytes acknowledged, as when a program collects its garbage for a very long time.
type pause struct{}

func (pause) Name() string      { return "pause" }
func (pause) Family() string    { return "process" }
func (pause) Doc() string       { return "the process stands still and does not know it" }
func (pause) Targets() []Target { return []Target{Leader, Leader, Follower, Minority} }

func (pause) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	return env.hosts.inject(ctx, env, step, cluster.Stop, cluster.Stopped)
}

// freeze stops processes without a signal, by the freezer of their control group.
type freeze struct{}

func (freeze) Name() string      { return "freeze" }
func (freeze) Family() string    { return "process" }
func (freeze) Doc() string       { return "the process stands still, and no signal can wake it" }
func (freeze) Targets() []Target { return []Target{Leader, Leader, Follower, Minority} }

func (freeze) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	return env.hosts.inject(ctx, env, step, freezing, cluster.Stopped)
}

// kill ends processes with SIGKILL; healing starts them again on the disk that they left.
type kill struct {
	name, doc string
	targets   []Target
}

func (k kill) Name() string      { return k.name }
func (kill) Family() string      { return "process" }
func (k kill) Doc() string       { return k.doc }
func (k kill) Targets() []Target { return k.targets }

func (kill) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	return env.hosts.inject(ctx, env, step, cluster.Kill, cluster.Gone)
}

// hosts keeps which steps hold which processes down, so that faults may overlap.
type hosts struct {
	mu   sync.Mutex
	held map[int]hold // by step, guarded by mu
}

// hold is a signal that a step has sent.
type hold struct {
	nodes []sut.NodeID
	sig   cluster.Signal
}

func (h *hosts) inject(
	ctx context.Context, env *Env, step Step, sig cluster.Signal, want cluster.State,
) (Effect, error) {
	nodes, err := env.resolve(ctx, step.Target, step.rng())
	if err != nil {
		return Effect{}, err
	}
	if nodes, err = h.take(env, step, nodes, sig); err != nil {
		return Effect{}, err
	}
	eff := Effect{Nodes: nodes, Undo: func(ctx context.Context) (any, error) {
		return h.release(ctx, env, step.ID)
	}}
	err = each(nodes, func(id sut.NodeID) error {
		if err := strike(ctx, env.Cluster.Host(id), sig); err != nil {
			return fmt.Errorf("%s %s: %w", sig, id, err)
		}
		return expect(ctx, env, id, want)
	})
	if err == nil {
		eff.Evidence = map[string]any{"state": want}
	}
	return eff, unable(err)
}

// take notes that step holds nodes down, but for those that are dead already at the hands of
// another step: nothing can be done to them.
func (h *hosts) take(
	env *Env, step Step, nodes []sut.NodeID, sig cluster.Signal,
) ([]sut.NodeID, error) {
	h.mu.Lock()
	dead := map[sut.NodeID]bool{}
	for _, held := range h.held {
		for _, id := range held.nodes {
			dead[id] = dead[id] || held.sig == cluster.Kill
		}
	}
	h.mu.Unlock()
	nodes = slices.DeleteFunc(nodes, func(id sut.NodeID) bool { return dead[id] })
	if len(nodes) == 0 {
		return nil, Skip("it is dead already")
	}
	if err := env.allow(step, harm{down: nodes}); err != nil {
		return nil, err
	}
	h.hold(step.ID, nodes, sig)
	return nodes, nil
}

// hold notes that step holds nodes down.
func (h *hosts) hold(step int, nodes []sut.NodeID, sig cluster.Signal) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[int]hold{}
	}
	h.held[step] = hold{nodes, sig}
}

// forget lets go of what step holds, and revives nobody.
func (h *hosts) forget(step int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, step)
}

// freezing is the signal of those who need none.
const freezing cluster.Signal = "freeze"

func strike(ctx context.Context, host cluster.Host, sig cluster.Signal) error {
	if sig != freezing {
		return host.Signal(ctx, sig)
	}
	f, ok := host.(cluster.Freezer)
	if !ok {
		return cluster.Unable{Err: errors.New("processes can not be frozen here")}
	}
	return f.Freeze(ctx)
}

// expect fails if the process of id does not stand as wanted.
func expect(ctx context.Context, env *Env, id sut.NodeID, want cluster.State) error {
	got, err := env.Cluster.Host(id).State(ctx)
	if err != nil {
		return fmt.Errorf("look after %s: %w", id, err)
	}
	if got != want {
		return fmt.Errorf("the process of %s is %s, not %s", id, got, want)
	}
	return nil
}

// release lets go of what step holds, unless another step holds it too.
func (h *hosts) release(ctx context.Context, env *Env, step int) (any, error) {
	h.mu.Lock()
	mine := h.held[step]
	delete(h.held, step)
	still := h.heldNow()
	h.mu.Unlock()
	mine.nodes = slices.DeleteFunc(mine.nodes, func(id sut.NodeID) bool { return still[id] })
	err := each(mine.nodes, func(id sut.NodeID) error { return revive(ctx, env, id) })
	if err != nil || len(mine.nodes) == 0 {
		return nil, err // another fault holds them too
	}
	return map[string]any{"state": cluster.Running}, nil
}

// revive continues or starts the process of id, whichever it needs, and looks whether it runs. Who
// is dead and no member stays so, and so does who has lost its disk.
func revive(ctx context.Context, env *Env, id sut.NodeID) error {
	host := env.Cluster.Host(id)
	st, err := host.State(ctx)
	if err != nil {
		return fmt.Errorf("look after %s: %w", id, err)
	}
	switch st {
	case cluster.Stopped:
		err = resume(ctx, host)
	case cluster.Gone:
		if !slices.Contains(env.ids(), id) || env.members.isLost(id) {
			return nil
		}
		err = host.Start(ctx)
	}
	if err != nil {
		return fmt.Errorf("bring %s back: %w", id, err)
	}
	return expect(ctx, env, id, cluster.Running)
}

// resume lets a process run again that was stopped by a signal, or frozen, or both.
func resume(ctx context.Context, host cluster.Host) error {
	if err := host.Signal(ctx, cluster.Cont); err != nil {
		return err
	}
	st, err := host.State(ctx)
	if f, ok := host.(cluster.Freezer); ok && err == nil && st == cluster.Stopped {
		return f.Thaw(ctx)
	}
	return err
}

// down lists the nodes that some step holds down.
func (h *hosts) down() map[sut.NodeID]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heldNow()
}

// heldNow is down for a caller that has mu.
func (h *hosts) heldNow() map[sut.NodeID]bool {
	all := map[sut.NodeID]bool{}
	for _, hold := range h.held {
		for _, id := range hold.nodes {
			all[id] = true
		}
	}
	return all
}
