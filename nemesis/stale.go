package nemesis

import (
	"context"
	"fmt"
	"time"
)

// stale brings a follower that has missed writes back at the very moment when the leader dies. It
// is the first to want to lead, and nobody may let it.
type stale struct{}

func (stale) Name() string   { return "reactive-stale-follower" }
func (stale) Family() string { return "reactive" }
func (stale) Doc() string {
	return "a follower that was cut off comes back as the leader is killed"
}
func (stale) Targets() []Target { return []Target{Follower, Minority} }

// MinNodes is how many nodes the cluster must have: without the leader, and at first without the
// follower, a majority must be left.
func (stale) MinNodes() int { return 3 }

// staleTime is for how long the follower misses what is written.
const staleTime = 1500 * time.Millisecond

func (stale) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	cut := partition{min: 2, cut: isolate, wide: true}
	first := step
	first.ID = -2 * step.ID // a name of its own in the tables of what is broken
	away, err := cut.Inject(ctx, env, first)
	if err != nil {
		return away, err
	}
	select {
	case <-ctx.Done():
		return away, context.Cause(ctx)
	case <-time.After(staleTime): // clients write on
	}
	second := step
	second.ID, second.Target = -2*step.ID-1, Leader
	killed, err := kill{}.Inject(ctx, env, second)
	both := together(away, killed)
	if err != nil {
		return both, fmt.Errorf("kill the leader: %w", err)
	}
	if _, err := away.Undo(ctx); err != nil {
		return both, fmt.Errorf("bring the follower back: %w", err)
	}
	both.Evidence = map[string]any{"away": away.Evidence, "leader": killed.Evidence}
	return both, nil
}
