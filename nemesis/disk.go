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

// breaker is the hand on the disk of a node.
func (e *Env) breaker(id sut.NodeID) (cluster.DiskBreaker, error) {
	b, ok := e.Cluster.Host(id).(cluster.DiskBreaker)
	if !ok {
		return nil, cluster.Unable{Err: errors.New("disks can not be broken here")}
	}
	return b, nil
}

// disksOf finds the nodes that target means, if all their disks can be broken.
func (e *Env) disksOf(ctx context.Context, t Target, rng *rand.Rand) ([]sut.NodeID, error) {
	nodes, err := e.resolve(ctx, t, rng)
	if err != nil {
		return nil, err
	}
	for _, id := range nodes {
		if _, err := e.breaker(id); err != nil {
			return nil, unable(err)
		}
	}
	return nodes, nil
}

// powerPatience is how long a power failure waits for the moment at which something is to lose.
const powerPatience = 300 * time.Millisecond

// power ends processes together with whatever they had not synced; healing starts them again.
type power struct {
	name, doc string
	torn      bool
}

func (p power) Name() string    { return p.name }
func (power) Family() string    { return "disk" }
func (p power) Doc() string     { return p.doc }
func (power) Targets() []Target { return []Target{Leader, Follower, Minority, All, All} }

func (p power) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	nodes, err := env.disksOf(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	how := cluster.PowerFailure{Patience: powerPatience, Torn: p.torn, Seed: rng.Uint64()}
	if p.torn {
		how.Patience = verifyLimit
	}
	if nodes, err = env.hosts.take(env, step, nodes, cluster.Kill); err != nil {
		return Effect{}, err
	}
	eff := Effect{Nodes: nodes, Undo: func(ctx context.Context) (any, error) {
		return env.hosts.release(ctx, env, step.ID)
	}}
	var mu sync.Mutex
	lost := map[sut.NodeID]cluster.PowerLost{}
	torn := 0
	err = each(nodes, func(id sut.NodeID) error {
		b, err := env.breaker(id)
		if err != nil {
			return err
		}
		took, err := b.FailPower(ctx, how)
		if err != nil {
			return err
		}
		mu.Lock()
		lost[id] = took
		torn += took.Torn
		mu.Unlock()
		return expect(ctx, env, id, cluster.Gone)
	})
	switch {
	case err != nil:
		return eff, unable(err)
	case p.torn && torn == 0:
		return eff, fmt.Errorf("the power failed, but nobody wrote for %v: no write is torn",
			verifyLimit)
	}
	eff.Evidence = map[string]any{"lost": lost}
	return eff, nil
}

// sickDisk is a disk that answers with errors, or late.
type sickDisk struct {
	name, doc string
	draw      func(*rand.Rand) cluster.DiskIlls
	restart   bool // to heal: nobody can say what a process knows after a failed fsync
}

func (s sickDisk) Name() string    { return s.name }
func (sickDisk) Family() string    { return "disk" }
func (s sickDisk) Doc() string     { return s.doc }
func (sickDisk) Targets() []Target { return []Target{Leader, Follower, Minority} }

func failing(rng *rand.Rand) cluster.DiskIlls {
	n := rng.IntN(3)
	return cluster.DiskIlls{Write: n != 1, Sync: n != 0}
}

func full(*rand.Rand) cluster.DiskIlls { return cluster.DiskIlls{Full: true} }

func slowSync(rng *rand.Rand) cluster.DiskIlls {
	return cluster.DiskIlls{SyncDelay: time.Duration(20+rng.IntN(281)) * time.Millisecond}
}

func (s sickDisk) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	nodes, err := env.disksOf(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	ills := s.draw(rng)
	if nodes, err = env.hosts.take(env, step, nodes, "break the disk of"); err != nil {
		return Effect{}, err
	}
	eff := Effect{Nodes: nodes, Undo: func(ctx context.Context) (any, error) {
		return s.heal(ctx, env, step.ID, nodes)
	}}
	hits := newTally()
	err = each(nodes, func(id sut.NodeID) error {
		b, err := env.breaker(id)
		if err != nil {
			return err
		}
		before, err := b.BreakDisk(ctx, ills)
		if err != nil {
			return err
		}
		n, err := suffered(ctx, b, before)
		hits.add(id, n)
		return err
	})
	switch {
	case err != nil:
		return eff, unable(err)
	case hits.total() == 0:
		return eff, fmt.Errorf("no call met the broken disk for %v", verifyLimit)
	}
	eff.Evidence = map[string]any{"ills": ills, "calls_hit": hits.by}
	return eff, nil
}

// suffered waits until a call was answered with an error, or late, and says how many were.
func suffered(ctx context.Context, b cluster.DiskBreaker, before cluster.DiskCounts,
) (n uint64, err error) {
	limited, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	_ = poll(limited, func() bool { // nothing within the limit is an answer, too
		now, failed := b.DiskCounts(ctx)
		err = failed
		n = now.Errors + now.Delayed - before.Errors - before.Delayed
		return err == nil && n > 0
	})
	return n, err
}

// heal mends the disks, and starts whoever could not live with his.
func (s sickDisk) heal(ctx context.Context, env *Env, step int, nodes []sut.NodeID) (any, error) {
	err := each(nodes, func(id sut.NodeID) error {
		b, err := env.breaker(id)
		if err != nil {
			return err
		}
		if s.restart {
			if err := env.Cluster.Host(id).Signal(ctx, cluster.Kill); err != nil {
				return err
			}
		}
		_, err = b.BreakDisk(ctx, cluster.DiskIlls{})
		return err
	})
	if err != nil {
		return nil, err
	}
	return env.hosts.release(ctx, env, step)
}

// damage hits the files of a node that is down. The node is started while it is cut off from all
// others, so that nobody hears what it makes of them, and gets its files back before it rejoins:
// a node that forgot what it had promised would break Raft, and rightly so.
type damage struct{ name, doc, kind string }

func (d damage) Name() string    { return d.name }
func (damage) Family() string    { return "disk" }
func (d damage) Doc() string     { return d.doc }
func (damage) Targets() []Target { return []Target{Leader, Follower} }

// MinNodes is how many nodes the cluster must have: a majority must be left.
func (damage) MinNodes() int { return 3 }

func (d damage) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	nodes, err := env.disksOf(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	if len(nodes) > (len(env.ids())-1)/2 {
		return Effect{}, Skip("damage to %d nodes would leave no majority", len(nodes))
	}
	if nodes, err = env.hosts.take(env, step, nodes, cluster.Kill); err != nil {
		return Effect{}, err
	}
	eff := Effect{Nodes: nodes, Undo: func(ctx context.Context) (any, error) {
		return d.heal(ctx, env, step.ID, nodes)
	}}
	if err := env.links.cut(ctx, env, step.ID, isolate(env.ids(), nodes, nil)); err != nil {
		return eff, unable(err)
	}
	var mu sync.Mutex
	what := map[sut.NodeID]any{}
	err = each(nodes, func(id sut.NodeID) error {
		did, err := d.strike(ctx, env, id, rng.Uint64())
		mu.Lock()
		what[id] = did
		mu.Unlock()
		return err
	})
	if err == nil {
		eff.Evidence = map[string]any{"damaged": what}
	}
	return eff, unable(err)
}

// strike damages the files of a node, and says whether it starts on them.
func (d damage) strike(ctx context.Context, env *Env, id sut.NodeID, seed uint64) (any, error) {
	b, err := env.breaker(id)
	if err != nil {
		return nil, err
	}
	host := env.Cluster.Host(id)
	if err := host.Signal(ctx, cluster.Kill); err != nil {
		return nil, err
	}
	what, err := b.DamageDisk(ctx, d.kind, seed)
	if err != nil {
		return nil, err
	}
	// To refuse is its right, and the error of a start that failed says no more.
	node := "starts on it"
	if err := host.Start(ctx); err != nil {
		node = "refuses to start"
	}
	return map[string]any{"file": what.File, "offset": what.Offset, "size_bytes": what.Size,
		"node": node}, nil
}

// heal gives the nodes their files back, and lets them rejoin.
func (d damage) heal(ctx context.Context, env *Env, step int, nodes []sut.NodeID) (any, error) {
	err := each(nodes, func(id sut.NodeID) error {
		b, err := env.breaker(id)
		if err != nil {
			return err
		}
		if err := env.Cluster.Host(id).Signal(ctx, cluster.Kill); err != nil {
			return err
		}
		return b.RestoreDisk(ctx)
	})
	if err != nil {
		return nil, err
	}
	if err := env.links.mend(ctx, env, step); err != nil {
		return nil, err
	}
	return env.hosts.release(ctx, env, step)
}

// tally counts by node.
type tally struct {
	mu sync.Mutex
	by map[sut.NodeID]uint64
}

func newTally() *tally { return &tally{by: map[sut.NodeID]uint64{}} }

func (t *tally) add(id sut.NodeID, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.by[id] += n
}

func (t *tally) total() (n uint64) {
	for _, k := range t.by {
		n += k
	}
	return n
}
