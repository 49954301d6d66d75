// Package nemesis breaks clusters: what breaks (a [Fault]), where (a [Target]), and when (a
// [Schedule]). The [Nemesis] carries a schedule out on a running cluster.
//
// Every fault has the same life: it is planned from the seed of the run, injected, seen to have
// taken effect, healed, and seen to be gone.
package nemesis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Target is a role, or the name of a node. It is resolved when the fault strikes.
type Target string

// The roles. Any other Target is the name of a node.
const (
	Leader   Target = "leader"
	Follower Target = "follower" // one that does not lead
	Minority Target = "minority" // as many as can be missed, drawn among all
	Majority Target = "majority" // one more than can be missed
	// LeaderMinority is the leader and so many others that together they are no majority.
	LeaderMinority Target = "leader-minority"
	All            Target = "all"
)

// Fault is a way of breaking a cluster. It is immutable; what it did is in the [Effect].
type Fault interface {
	// Name is what --faults takes, Family the group that it belongs to, Doc a line for people.
	Name() string
	Family() string
	Doc() string
	// Targets lists what a plan may aim it at, in proportion: naming one twice doubles its share.
	Targets() []Target
	// Inject breaks what step says and returns when that is seen to be in force. An error of
	// [Skip] says that nothing was done; after any other, nobody knows. The Effect is valid in
	// every case, and its Undo must be called.
	Inject(ctx context.Context, env *Env, step Step) (Effect, error)
}

// Effect is what a fault did.
type Effect struct {
	// Nodes are those that the target resolved to.
	Nodes []sut.NodeID
	// Evidence says how it was seen to be in force, as JSON. nil if it was not.
	Evidence any
	// Undo mends what was broken and returns when that is seen. It is idempotent. nil if there
	// is nothing to mend.
	Undo func(ctx context.Context) (evidence any, err error)
}

// skip is the error of a fault that was not injected at all.
type skip struct{ reason string }

func (s skip) Error() string { return s.reason }

// Skip makes the error that says that nothing was done, and why.
func Skip(format string, args ...any) error { return skip{fmt.Sprintf(format, args...)} }

// Skipped says whether err says that nothing was done.
func Skipped(err error) bool {
	_, ok := errors.AsType[skip](err)
	return ok
}

// Env is where a fault strikes.
type Env struct {
	Cluster cluster.Cluster
	// Leader says who leads now; empty if nobody does.
	Leader func(context.Context) sut.NodeID
	// Events hears what the nodes say; nil if nobody does.
	Events *Events

	links  links
	data   links // those that are cut for data only
	shapes shapes
	hosts  hosts
	clocks clocks
}

// ids lists the nodes by name.
func (e *Env) ids() []sut.NodeID {
	var ids []sut.NodeID
	for _, n := range e.Cluster.Nodes() {
		ids = append(ids, n.ID)
	}
	return ids
}

const (
	// leaderLimit is how long a fault that is meant for the leader waits until there is one.
	leaderLimit = 3 * time.Second
	// verifyLimit bounds the wait for evidence.
	verifyLimit = time.Second
	// pollPause lies between two looks.
	pollPause = 20 * time.Millisecond
)

// leader waits until somebody leads.
func (e *Env) leader(ctx context.Context) (sut.NodeID, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderLimit)
	defer cancel()
	var id sut.NodeID
	err := poll(ctx, func() bool { id = e.Leader(ctx); return id != "" })
	if err != nil {
		return "", Skip("nobody led for %v", leaderLimit)
	}
	return id, nil
}

// resolve finds the nodes that target means at this moment.
func (e *Env) resolve(ctx context.Context, t Target, rng *rand.Rand) ([]sut.NodeID, error) {
	ids := e.ids()
	few := (len(ids) - 1) / 2
	switch t {
	case All:
		return ids, nil
	case Leader:
		id, err := e.leader(ctx)
		if err != nil {
			return nil, err
		}
		return []sut.NodeID{id}, nil
	case Follower:
		id, err := e.leader(ctx)
		if err != nil {
			return nil, err
		}
		ids = slices.DeleteFunc(ids, func(n sut.NodeID) bool { return n == id })
		return draw(ids, 1, rng, t)
	case LeaderMinority:
		id, err := e.leader(ctx)
		if err != nil {
			return nil, err
		}
		ids = slices.DeleteFunc(ids, func(n sut.NodeID) bool { return n == id })
		others, err := draw(ids, few-1, rng, t)
		return append(others, id), err
	case Minority:
		return draw(ids, few, rng, t)
	case Majority:
		return draw(ids, few+1, rng, t)
	}
	if !slices.Contains(ids, sut.NodeID(t)) {
		return nil, Skip("there is no node %s", t)
	}
	return []sut.NodeID{sut.NodeID(t)}, nil
}

// Fits says whether a cluster of n nodes is large enough for f.
func Fits(f Fault, n int) bool {
	if sized, ok := f.(interface{ MinNodes() int }); ok && n < sized.MinNodes() {
		return false
	}
	return len(targetsOf(f, n)) > 0
}

// targetsOf lists those of f's targets that a cluster of n nodes has.
func targetsOf(f Fault, n int) []Target {
	return slices.DeleteFunc(slices.Clone(f.Targets()), func(t Target) bool {
		return t == Follower && n < 2 || t == Minority && n < 3
	})
}

// draw takes n of ids by chance, in the order of their names.
func draw(ids []sut.NodeID, n int, rng *rand.Rand, t Target) ([]sut.NodeID, error) {
	if n == 0 || n > len(ids) {
		return nil, Skip("a cluster of this size has no %s", t)
	}
	rng.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	ids = ids[:n]
	slices.Sort(ids)
	return ids, nil
}

// poll waits until done says so. The error is that of ctx.
func poll(ctx context.Context, done func() bool) error {
	ticker := time.NewTicker(pollPause)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
	return nil
}

// Faults lists all faults, those of a family together.
func Faults() []Fault {
	return append([]Fault{
		partition{
			"partition-leader", "the leader can talk to nobody", 2, []Target{Leader}, isolate, false,
		},
		partition{
			"partition-minority", "the leader is left with a minority", 5,
			[]Target{LeaderMinority}, isolate, false,
		},
		partition{
			"partition-halves", "a minority and a majority can not talk to each other",
			3, []Target{Minority}, isolate, false,
		},
		partition{
			"partition-ring", "every node sees a majority, and no two see the same one",
			4, []Target{All}, majorityRing, false,
		},
		partition{
			"partition-oneway", "the target can speak and not hear, or hear and not speak",
			2, []Target{Leader, Leader, Follower}, oneWay, false,
		},
		pause{}, kill{},
		partition{
			"partition-data", "the target hears everybody, but nobody hears what it says; " +
				"acknowledgements of TCP pass", 2, []Target{Leader, Follower}, mute, true,
		},
		network{
			"network-slow", "packets take 20 to 400 ms longer, and vary",
			[]Target{Leader, Follower, All}, slow,
		},
		network{
			"network-loss", "5 to 40 % of packets are lost", []Target{Leader, Minority, All}, lossy,
		},
		network{
			"network-rate", "links carry 64 to 512 kbit/s", []Target{Leader, Follower, All}, thin,
		},
		network{
			"network-jam", "packets are held back, and arrive late, all at once",
			[]Target{Leader, Follower}, jammed,
		},
		reset{}, freeze{},
		clock{"clock-jump", "the wall clock jumps by 0.1 s to an hour, either way", jump},
		clock{"clock-rate", "wall and monotonic clock go at 0.5 to 2 times their speed", drift},
	}, append(reactions(), stale{})...)
}

// Select finds the faults that names mean: names of faults, families, "standard", "all" or "none".
// Of a group it takes those that a cluster of n nodes is large enough for. The error lists those
// that there are.
func Select(names []string, n int) ([]Fault, error) {
	var chosen []Fault
	for _, name := range names {
		found := name == "none"
		for _, f := range Faults() {
			group := name == f.Family() || name == "all" || name == "standard" && standard(f)
			if name != f.Name() && !group {
				continue
			}
			found = true
			if name != f.Name() && !Fits(f, n) {
				continue
			}
			has := func(g Fault) bool { return g.Name() == f.Name() }
			if !slices.ContainsFunc(chosen, has) {
				chosen = append(chosen, f)
			}
		}
		if !found {
			return nil, fmt.Errorf("unknown fault %q: there is %s", name, strings.Join(known(), ", "))
		}
	}
	if slices.Contains(names, "none") && len(names) > 1 {
		return nil, errors.New(`the fault "none" does not go with others`)
	}
	return chosen, nil
}

// standard says whether f is part of what a run without wishes does.
func standard(f Fault) bool {
	switch f.Name() {
	case "partition-leader", "partition-minority", "partition-halves", "partition-ring",
		"partition-oneway", "pause", "kill", "reactive-leader-kill", "reactive-stale-follower":
		return true
	}
	return false
}

func known() []string {
	var names []string
	for _, f := range Faults() {
		for _, name := range []string{f.Name(), f.Family()} {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return append(names, "standard", "all", "none")
}
