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

// network makes links slow, lossy or jammed, both ways between the target and the rest, on
// connections that are there.
type network struct {
	name, doc string
	targets   []Target
	// draw says how bad it gets; all links of one step fare alike.
	draw func(rng *rand.Rand) cluster.Link
	// keys are what can be set of it, and set does that.
	keys []string
	set  func(*cluster.Link)
}

func (n network) Name() string      { return n.name }
func (n network) Family() string    { return "network" }
func (n network) Doc() string       { return n.doc }
func (n network) Targets() []Target { return n.targets }

// MinNodes is how many nodes the cluster must have.
func (n network) MinNodes() int { return 2 }

func (n network) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	target, err := env.resolve(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	links := isolate(env.all(), target, rng)
	if step.Target == All {
		links = everyLink(env.all())
	}
	if err := env.allow(step, harm{cut: links}); err != nil {
		return Effect{Nodes: target}, err
	}
	how := n.draw(rng)
	if n.set != nil {
		n.set(&how)
	}
	eff := Effect{Nodes: target, Undo: func(ctx context.Context) (any, error) {
		return nil, env.shapes.mend(ctx, env, step)
	}}
	before, err := env.shapes.packets(ctx, env, links)
	if err != nil {
		return eff, unable(err)
	}
	if err := env.shapes.shape(ctx, env, step, links, how); err != nil {
		return eff, unable(err)
	}
	eff.Evidence, err = env.shapes.verify(ctx, env, links, before)
	return eff, err
}

func (n network) tune(s *settings) Fault {
	var sets []func(*cluster.Link)
	for _, key := range n.keys {
		sets = append(sets, linkSetting(s, key))
	}
	n.set = func(l *cluster.Link) {
		for _, set := range sets {
			set(l)
		}
	}
	return n
}

// linkSetting reads what is set of links under a key.
func linkSetting(s *settings, key string) func(*cluster.Link) {
	switch key {
	case "delay", "jitter":
		d, ok := s.duration(key, "of each packet", 0, time.Minute)
		return func(l *cluster.Link) {
			switch {
			case ok && key == "delay":
				l.Delay, l.Jitter = d, min(l.Jitter, d)
			case ok:
				l.Jitter = d
			}
		}
	case "rate":
		rate, ok := s.number(key, "in bits a second", 1000, 1e12)
		return func(l *cluster.Link) {
			if ok {
				l.Rate = uint64(rate)
			}
		}
	}
	part, ok := s.number(key, "fraction of packets", 0, 1)
	return func(l *cluster.Link) {
		field := map[string]*float64{"loss": &l.Loss, "duplicate": &l.Duplicate,
			"reorder": &l.Reorder}[key]
		if ok {
			*field = part
		}
	}
}

// unable turns the word that an ability is not there into that the fault was skipped.
func unable(err error) error {
	if _, ok := errors.AsType[cluster.Unable](err); ok {
		return Skip("%v", err)
	}
	return err
}

func everyLink(ids []sut.NodeID) []link {
	var links []link
	for _, a := range ids {
		for _, b := range ids {
			if a != b {
				links = append(links, link{a, b})
			}
		}
	}
	return links
}

// between draws a duration from low to high.
func between(rng *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(rng.Int64N(int64(high-low)))
}

// The ways of the network to be bad. Delays are beside election timeouts of some hundred
// milliseconds: some let the leader stand, some do not.
func slow(rng *rand.Rand) cluster.Link {
	delay := between(rng, 20*time.Millisecond, 400*time.Millisecond)
	return cluster.Link{Delay: delay, Jitter: delay / 2}
}

func lossy(rng *rand.Rand) cluster.Link { return cluster.Link{Loss: 0.05 + 0.35*rng.Float64()} }

func thin(rng *rand.Rand) cluster.Link {
	return cluster.Link{Rate: 64_000 << rng.IntN(4)} // 64 to 512 kbit/s
}

func chaotic(rng *rand.Rand) cluster.Link {
	delay := between(rng, 5*time.Millisecond, 100*time.Millisecond)
	return cluster.Link{Delay: delay, Jitter: delay, Loss: 0.1 * rng.Float64(),
		Duplicate: 0.2 * rng.Float64(), Reorder: 0.2 * rng.Float64()}
}

func jammed(*rand.Rand) cluster.Link { return cluster.Link{Hold: true} }

// shapes keeps which steps shape which links, so that faults may overlap: a link fares as badly as
// all of them together make it.
type shapes struct {
	mu     sync.Mutex
	active map[int]shaped // by step, guarded by mu
}

type shaped struct {
	links []link
	how   cluster.Link
}

func (s *shapes) shape(
	ctx context.Context, env *Env, step Step, links []link, how cluster.Link,
) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active == nil {
		s.active = map[int]shaped{}
	}
	s.active[step.ID] = shaped{links, how}
	return s.apply(ctx, env, step.Seed)
}

func (s *shapes) mend(ctx context.Context, env *Env, step Step) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.active, step.ID)
	return s.apply(ctx, env, step.Seed)
}

// apply makes every node treat its links as it must now.
func (s *shapes) apply(ctx context.Context, env *Env, seed uint64) error {
	return each(env.all(), func(id sut.NodeID) error {
		shaper, ok := env.Cluster.Host(id).(cluster.Shaper)
		if !ok {
			return cluster.Unable{Err: fmt.Errorf("links of %s can not be shaped here", id)}
		}
		to := map[sut.NodeID]cluster.Link{}
		for _, a := range s.active {
			for _, l := range a.links {
				if l.from == id {
					to[l.to] = worse(to[l.to], a.how)
				}
			}
		}
		if err := shaper.Shape(ctx, to, seed); err != nil {
			return fmt.Errorf("shape the links of %s: %w", id, err)
		}
		return nil
	})
}

// worse is a link that fares as badly as both.
func worse(a, b cluster.Link) cluster.Link {
	rate := a.Rate
	if rate == 0 || b.Rate > 0 && b.Rate < rate {
		rate = b.Rate
	}
	return cluster.Link{
		Delay: a.Delay + b.Delay, Jitter: a.Jitter + b.Jitter, Rate: rate,
		Loss: max(a.Loss, b.Loss), Duplicate: max(a.Duplicate, b.Duplicate),
		Reorder: max(a.Reorder, b.Reorder), Corrupt: max(a.Corrupt, b.Corrupt),
		Hold: a.Hold || b.Hold,
	}
}

// broken lists the links that fare badly now. How badly Raft takes it nobody promises, so that they
// count as broken where it matters whether a majority can talk.
func (s *shapes) broken() map[link]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[link]bool{}
	for _, a := range s.active {
		for _, l := range a.links {
			all[l] = true
		}
	}
	return all
}

// packets counts what went over links while they were shaped.
func (s *shapes) packets(ctx context.Context, env *Env, links []link) (map[link]uint64, error) {
	var mu sync.Mutex
	counts := map[link]uint64{}
	err := each(env.all(), func(id sut.NodeID) error {
		shaper, ok := env.Cluster.Host(id).(cluster.Shaper)
		if !ok {
			return cluster.Unable{Err: fmt.Errorf("links of %s can not be shaped here", id)}
		}
		to, err := shaper.Shaped(ctx)
		if err != nil {
			return fmt.Errorf("read the counters of %s: %w", id, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, l := range links {
			if l.from == id {
				counts[l] = to[l.to].Packets + to[l.to].Waiting
			}
		}
		return nil
	})
	return counts, err
}

// verify waits until packets are seen to go the long way.
func (s *shapes) verify(
	ctx context.Context, env *Env, links []link, before map[link]uint64,
) (any, error) {
	return witness(ctx, "shaped_packets", before,
		func(ctx context.Context) (map[link]uint64, error) { return s.packets(ctx, env, links) })
}
