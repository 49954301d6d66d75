package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// clock makes the clocks that processes read wrong. The clock of the machine stays right, and so do
// those of everybody else.
type clock struct {
	name, doc string
	// skew draws how wrong; nil leaves a clock right.
	skew func(rng *rand.Rand) (wall, monotonic *cluster.Skew)
	// keys are what can be set of it, and set does that.
	keys []string
	set  func(*cluster.Skew)
}

func (c clock) Name() string    { return c.name }
func (c clock) Family() string  { return "clock" }
func (c clock) Doc() string     { return c.doc }
func (clock) Targets() []Target { return []Target{Leader, Follower, Minority} }

// jump sets the wall clock forward or back, by a tenth of a second to an hour.
func jump(rng *rand.Rand) (wall, monotonic *cluster.Skew) {
	offset := 100 * time.Millisecond << rng.IntN(15) // to 27 minutes
	offset += time.Duration(rng.Int64N(int64(offset)))
	if rng.IntN(2) == 0 {
		offset = -offset
	}
	return &cluster.Skew{Offset: offset}, nil
}

// drift lets both clocks go at half to double speed: timers are early or late.
func drift(rng *rand.Rand) (wall, monotonic *cluster.Skew) {
	rate := 0.5 + rng.Float64()/4
	if rng.IntN(2) == 0 {
		rate = 1.25 + rng.Float64()*3/4
	}
	return &cluster.Skew{Rate: rate}, &cluster.Skew{Rate: rate}
}

func driftWall(rng *rand.Rand) (wall, monotonic *cluster.Skew) {
	wall, _ = drift(rng)
	return wall, nil
}

func driftMonotonic(rng *rand.Rand) (wall, monotonic *cluster.Skew) {
	_, monotonic = drift(rng)
	return nil, monotonic
}

// leap sets the monotonic clock ahead. It can not be set back, so that it stays ahead for good.
func leap(rng *rand.Rand) (wall, monotonic *cluster.Skew) {
	return nil, &cluster.Skew{Offset: between(rng, 100*time.Millisecond, 10*time.Second)}
}

func (c clock) tune(s *settings) Fault {
	var sets []func(*cluster.Skew)
	for _, key := range c.keys {
		switch key {
		case "offset":
			d, ok := s.duration(key, "how far the clock is ahead", -24*time.Hour, 24*time.Hour)
			if ok && d == 0 || ok && d < 0 && c.name == "clock-leap" {
				s.wrong(key, "%v: want %s", d, "another time than the true one, and none before "+
					"it for a monotonic clock")
			}
			sets = append(sets, func(k *cluster.Skew) {
				if ok {
					k.Offset = d
				}
			})
		case "rate":
			rate, ok := s.number(key, "how fast the clock goes", 0.1, 10)
			sets = append(sets, func(k *cluster.Skew) {
				if ok {
					k.Rate = rate
				}
			})
		}
	}
	c.set = func(k *cluster.Skew) {
		for _, set := range sets {
			set(k)
		}
	}
	return c
}

func (c clock) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	nodes, err := env.resolve(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	wall, monotonic := c.skew(rng)
	for _, skew := range []*cluster.Skew{wall, monotonic} {
		if skew != nil && c.set != nil {
			c.set(skew)
		}
	}
	if err := env.allow(step, harm{down: nodes}); err != nil {
		return Effect{Nodes: nodes}, err
	}
	env.clocks.set(step.ID, nodes)
	eff := Effect{Nodes: nodes, Undo: func(ctx context.Context) (any, error) {
		return env.clocks.mend(ctx, env, step.ID)
	}}
	var mu sync.Mutex
	ahead := map[sut.NodeID]string{}
	err = each(nodes, func(id sut.NodeID) error {
		host, ok := env.Cluster.Host(id).(cluster.ClockSkewer)
		if !ok {
			return cluster.Unable{Err: errors.New("clocks can not be skewed here")}
		}
		if err := host.SkewClocks(ctx, wall, monotonic); err != nil {
			return fmt.Errorf("skew the clocks of %s: %w", id, err)
		}
		seen, err := readBack(ctx, host, wall, monotonic)
		mu.Lock()
		ahead[id] = seen.Round(time.Millisecond).String()
		mu.Unlock()
		if err != nil {
			return fmt.Errorf("read the clocks of %s: %w", id, err)
		}
		return nil
	})
	if err != nil {
		return eff, unable(err)
	}
	which := "wall_clock_ahead"
	if wall == nil {
		which = "monotonic_clock_ahead"
	}
	eff.Evidence = map[string]any{which: ahead}
	return eff, nil
}

// readBack waits until the clock that the process itself reads is seen to be wrong, at least half
// as much as it should be: the wall clock, or the monotonic one if that alone is skewed.
func readBack(
	ctx context.Context, host cluster.ClockSkewer, wall, monotonic *cluster.Skew,
) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	began := time.Now()
	want := wall
	if wall == nil {
		want = monotonic
	}
	var ahead time.Duration
	var last error
	err := poll(ctx, func() bool {
		var mono time.Duration
		if ahead, mono, last = host.ReadClocks(ctx); wall == nil {
			ahead = mono
		}
		expected := want.Offset
		if want.Rate != 0 {
			expected += time.Duration((want.Rate - 1) * float64(time.Since(began)))
		}
		right := max(expected/2, -expected/2) // half of how wrong it must be
		return last == nil && right > time.Millisecond && max(ahead, -ahead) >= right
	})
	if err != nil {
		return ahead, errors.Join(fmt.Errorf("the clock is only %v ahead", ahead), last)
	}
	return ahead, nil
}

// clocks keeps which steps skew which clocks. Of two steps on one node the later one holds, and
// when it is healed the clock is right. Raft promises a node whose clock is wrong no leader that
// lasts.
type clocks struct{ nodeSets }

func (c *clocks) mend(ctx context.Context, env *Env, step int) (any, error) {
	return nil, each(c.drop(step), func(id sut.NodeID) error {
		host, ok := env.Cluster.Host(id).(cluster.ClockSkewer)
		if !ok {
			return nil // then it was never skewed
		}
		if err := host.SkewClocks(ctx, nil, nil); err != nil {
			return fmt.Errorf("set the clocks of %s right: %w", id, err)
		}
		return nil
	})
}
