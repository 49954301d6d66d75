package nemesis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// link is the way of packets from one node to another. Each direction is a link of its own.
type link struct{ from, to sut.NodeID }

// partition cuts links, established connections included.
type partition struct {
	name, doc string
	min       int // nodes
	targets   []Target
	// cut says which links fall when the target is these nodes.
	cut func(ids, target []sut.NodeID, rng *rand.Rand) []link
}

func (p partition) Name() string      { return p.name }
func (p partition) Family() string    { return "partition" }
func (p partition) Doc() string       { return p.doc }
func (p partition) Targets() []Target { return p.targets }

// MinNodes is how many nodes the cluster must have.
func (p partition) MinNodes() int { return p.min }

func (p partition) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	target, err := env.resolve(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	links := p.cut(env.ids(), target, rng)
	eff := Effect{Nodes: target, Undo: func(ctx context.Context) (any, error) {
		return nil, env.links.mend(ctx, env, step.ID)
	}}
	before, err := env.links.dropped(ctx, env, links)
	if err != nil {
		return eff, err
	}
	if err := env.links.cut(ctx, env, step.ID, links); err != nil {
		return eff, err
	}
	eff.Evidence, err = env.links.verify(ctx, env, links, before)
	return eff, err
}

// isolate cuts the target off from the rest, both ways.
func isolate(ids, target []sut.NodeID, _ *rand.Rand) []link {
	var links []link
	for _, a := range target {
		for _, b := range ids {
			if !slices.Contains(target, b) {
				links = append(links, link{a, b}, link{b, a})
			}
		}
	}
	return links
}

// oneWay cuts only one direction between the target and the rest.
func oneWay(ids, target []sut.NodeID, rng *rand.Rand) []link {
	deaf := rng.IntN(2) == 0
	return slices.DeleteFunc(isolate(ids, target, rng), func(l link) bool {
		return slices.Contains(target, l.to) != deaf
	})
}

// majorityRing puts the nodes on a ring, in an order drawn by chance, and leaves each only so many
// neighbours that with them it is a majority. No two nodes see the same majority.
func majorityRing(ids, _ []sut.NodeID, rng *rand.Rand) []link {
	ring := slices.Clone(ids)
	rng.Shuffle(len(ring), func(i, j int) { ring[i], ring[j] = ring[j], ring[i] })
	n := len(ring)
	side := (n/2 + 1) / 2 // neighbours on each side; with an odd majority it is one more than needed
	var links []link
	for i, a := range ring {
		for j, b := range ring {
			distance := min((i-j+n)%n, (j-i+n)%n)
			if distance > side {
				links = append(links, link{a, b})
			}
		}
	}
	return links
}

// links keeps which steps cut which links, so that partitions may overlap: a link is whole again
// when the last step that cut it has been healed.
type links struct {
	mu   sync.Mutex
	cuts map[int][]link // by step, guarded by mu
}

func (l *links) cut(ctx context.Context, env *Env, step int, cut []link) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cuts == nil {
		l.cuts = map[int][]link{}
	}
	l.cuts[step] = cut
	return l.apply(ctx, env)
}

func (l *links) mend(ctx context.Context, env *Env, step int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.cuts, step)
	return l.apply(ctx, env)
}

// apply makes every node drop what it must drop now, all at once.
func (l *links) apply(ctx context.Context, env *Env) error {
	return each(env.ids(), func(id sut.NodeID) error {
		var from []sut.NodeID
		for _, cut := range l.cuts {
			for _, c := range cut {
				if c.to == id && !slices.Contains(from, c.from) {
					from = append(from, c.from)
				}
			}
		}
		slices.Sort(from)
		if err := env.Cluster.Host(id).Cut(ctx, from); err != nil {
			return fmt.Errorf("cut %s off from %v: %w", id, from, err)
		}
		return nil
	})
}

// broken lists the links that are cut now.
func (l *links) broken() map[link]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[link]bool{}
	for _, cut := range l.cuts {
		for _, c := range cut {
			all[c] = true
		}
	}
	return all
}

// dropped reads the counters of links.
func (l *links) dropped(ctx context.Context, env *Env, links []link) (map[link]uint64, error) {
	var mu sync.Mutex
	counts := map[link]uint64{}
	err := each(env.ids(), func(id sut.NodeID) error {
		from, err := env.Cluster.Host(id).Dropped(ctx)
		if err != nil {
			return fmt.Errorf("read the counters of %s: %w", id, err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, c := range links {
			if c.to == id {
				counts[c] = from[c.from]
			}
		}
		return nil
	})
	return counts, err
}

// verify waits until packets are seen to be dropped. Raft's followers have little to say to each
// other, so that one link that drops has to do for all: they were cut by the same rule.
func (l *links) verify(
	ctx context.Context, env *Env, links []link, before map[link]uint64,
) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	evidence := map[string]uint64{}
	var last error
	err := poll(ctx, func() bool {
		now, err := l.dropped(ctx, env, links)
		if last = err; err != nil {
			return false
		}
		for _, c := range slices.SortedFunc(maps.Keys(now), byName) {
			if n := now[c] - before[c]; n > 0 {
				evidence[string(c.from+"→"+c.to)] = n
			}
		}
		return len(evidence) > 0
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no packet was dropped within %v", verifyLimit), last)
	}
	return map[string]any{"dropped_packets": evidence}, nil
}

func byName(a, b link) int {
	if a.from != b.from {
		if a.from < b.from {
			return -1
		}
		return 1
	}
	switch {
	case a.to < b.to:
		return -1
	case a.to > b.to:
		return 1
	}
	return 0
}

// each calls do for every node at once and joins the errors.
func each(ids []sut.NodeID, do func(sut.NodeID) error) error {
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { errs[i] = do(id) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
