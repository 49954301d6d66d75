package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/raftcheck/raftcheck/harness/cluster"
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
	// data is whether the links fall for data only.
	data bool
	// wide is whether nodes that are no members are cut off too.
	wide bool
	// ways is whether it can be set which way falls.
	ways bool
}

func (p partition) Name() string      { return p.name }
func (p partition) Family() string    { return "partition" }
func (p partition) Doc() string       { return p.doc }
func (p partition) Targets() []Target { return p.targets }

// MinNodes is how many nodes the cluster must have.
func (p partition) MinNodes() int { return p.min }

func (p partition) tune(s *settings) Fault {
	if !p.ways {
		return p
	}
	if way, ok := s.choice("way", "what the target can not do", "hear", "speak"); ok {
		p.cut = func(ids, target []sut.NodeID, _ *rand.Rand) []link {
			return oneOf(ids, target, way == "hear")
		}
	}
	return p
}

func (p partition) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	target, err := env.resolve(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	among := env.ids()
	if p.wide {
		among = env.all()
	}
	fallen := p.cut(among, target, rng)
	if err := env.allow(step, harm{cut: fallen}); err != nil {
		return Effect{Nodes: target}, err
	}
	table := &env.links
	if p.data {
		table = &env.data
	}
	eff := Effect{Nodes: target, Undo: func(ctx context.Context) (any, error) {
		return nil, table.mend(ctx, env, step.ID)
	}}
	before, err := table.dropped(ctx, env, fallen)
	if err != nil {
		return eff, err
	}
	if err := table.cut(ctx, env, step.ID, fallen); err != nil {
		return eff, unable(err)
	}
	eff.Evidence, err = table.verify(ctx, env, fallen, before)
	return eff, err
}

// mute cuts what the target says to the rest.
func mute(ids, target []sut.NodeID, rng *rand.Rand) []link {
	return slices.DeleteFunc(isolate(ids, target, rng), func(l link) bool {
		return !slices.Contains(target, l.from)
	})
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
	return oneOf(ids, target, rng.IntN(2) == 0)
}

func oneOf(ids, target []sut.NodeID, deaf bool) []link {
	return slices.DeleteFunc(isolate(ids, target, nil), func(l link) bool {
		return slices.Contains(target, l.to) != deaf
	})
}

// bridge cuts the rest in two halves, which both can talk to the target.
func bridge(ids, target []sut.NodeID, rng *rand.Rand) []link {
	rest := slices.DeleteFunc(slices.Clone(ids), func(id sut.NodeID) bool {
		return slices.Contains(target, id)
	})
	rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	return isolate(rest, rest[:len(rest)/2], nil)
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
	data bool // for data only

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
	return each(env.all(), func(id sut.NodeID) error {
		var from []sut.NodeID
		for _, cut := range l.cuts {
			for _, c := range cut {
				if c.to == id && !slices.Contains(from, c.from) {
					from = append(from, c.from)
				}
			}
		}
		slices.Sort(from)
		if err := l.drop(ctx, env.Cluster.Host(id), from); err != nil {
			return fmt.Errorf("cut %s off from %v: %w", id, from, err)
		}
		return nil
	})
}

func (l *links) drop(ctx context.Context, host cluster.Host, from []sut.NodeID) error {
	if !l.data {
		return host.Cut(ctx, from)
	}
	cutter, ok := host.(cluster.DataCutter)
	if !ok {
		return cluster.Unable{Err: errors.New("links can not be cut for data alone here")}
	}
	return cutter.CutData(ctx, from)
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
	err := each(env.all(), func(id sut.NodeID) error {
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
	return witness(ctx, "dropped_packets", before,
		func(ctx context.Context) (map[link]uint64, error) { return l.dropped(ctx, env, links) })
}

// witness waits until a counter of some link has grown, and tells which have.
func witness(
	ctx context.Context, what string, before map[link]uint64,
	count func(context.Context) (map[link]uint64, error),
) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	grown := map[string]uint64{}
	var last error
	err := poll(ctx, func() bool {
		now, err := count(ctx)
		if last = err; err != nil {
			return false
		}
		for l, n := range now {
			if n > before[l] {
				grown[string(l.from+"→"+l.to)] = n - before[l]
			}
		}
		return len(grown) > 0
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("no %s within %v", what, verifyLimit), last)
	}
	return map[string]any{what: grown}, nil
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
