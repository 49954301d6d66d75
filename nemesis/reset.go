package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// reset breaks the connections between nodes. New ones can be made at once, so that there is
// nothing to heal; what was under way on the old ones is lost.
type reset struct{}

func (reset) Name() string      { return "network-reset" }
func (reset) Family() string    { return "network" }
func (reset) Doc() string       { return "connections between nodes break, and can be made again" }
func (reset) Targets() []Target { return []Target{Leader, Follower, All} }

// MinNodes is how many nodes the cluster must have.
func (reset) MinNodes() int { return 2 }

func (reset) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	target, err := env.resolve(ctx, step.Target, step.rng())
	if err != nil {
		return Effect{}, err
	}
	eff := Effect{Nodes: target}
	broken := 0
	// Soon after another fault there may be none yet.
	waiting, cancel := context.WithTimeout(ctx, connectLimit)
	defer cancel()
	late := poll(waiting, func() bool {
		broken, err = resetAll(ctx, env, target)
		return err != nil || broken > 0
	})
	switch {
	case err != nil:
		return eff, unable(err)
	case late != nil:
		return eff, errors.New("there was no connection to break")
	}
	eff.Evidence = map[string]any{"broken_connections": broken}
	return eff, nil
}

// connectLimit is how long nodes may take to connect with each other.
const connectLimit = 2 * time.Second

// resetAll breaks the connections of target with all nodes, and counts them.
func resetAll(ctx context.Context, env *Env, target []sut.NodeID) (int, error) {
	var broken atomic.Int64
	err := each(target, func(id sut.NodeID) error {
		host, ok := env.Cluster.Host(id).(cluster.Resetter)
		if !ok {
			return cluster.Unable{Err: errors.New("connections can not be broken here")}
		}
		peers := slices.DeleteFunc(env.all(), func(o sut.NodeID) bool { return o == id })
		n, err := host.Reset(ctx, peers)
		broken.Add(int64(n))
		if err != nil {
			return fmt.Errorf("break the connections of %s: %w", id, err)
		}
		return nil
	})
	return int(broken.Load()), err
}
