package nemesis

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Env is where a fault strikes.
type Env struct {
	Cluster cluster.Cluster
	// System is what runs on the cluster. Faults that change its members need it to be a
	// [sut.Membership].
	System sut.System
	// Admin asks nodes, from where clients are.
	Admin Admin
	// Events hears what the nodes say; nil if nobody does.
	Events *Events
	// Note writes down what a fault asks of a node; nil for nowhere.
	Note func(f string, node sut.NodeID, value any)

	links   links
	data    links // those that are cut for data only
	shapes  shapes
	hosts   hosts
	clocks  clocks
	clients clientCuts
	limits  limits
	members members

	unsteady nodeSets // what is broken and mended again and again
}

// Admin asks nodes how they stand and changes who the members are, on behalf of a fault. Errors say
// what those of [sut.Membership] do. driver.Local and driver.Remote are Admins.
type Admin interface {
	Status(ctx context.Context, id sut.NodeID) (sut.Status, error)
	Members(ctx context.Context, via sut.NodeID) ([]sut.NodeID, error)
	SetMembers(ctx context.Context, via sut.NodeID, want []sut.NodeID) error
	Transfer(ctx context.Context, via, to sut.NodeID) error
}

// ids lists the members in order.
func (e *Env) ids() []sut.NodeID { return e.members.list(e) }

// all lists all nodes in order, members or not.
func (e *Env) all() []sut.NodeID {
	var ids []sut.NodeID
	for _, n := range e.nodes() {
		ids = append(ids, n.ID)
	}
	return ids
}

func (e *Env) nodes() []sut.Node {
	all := e.Cluster.Nodes()
	if r, ok := e.Cluster.(cluster.Reserve); ok {
		all = append(all, r.Spares()...)
	}
	return all
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
	err := poll(ctx, func() bool { id = e.leads(ctx); return id != "" })
	if err != nil {
		return "", Skip("nobody led for %v", leaderLimit)
	}
	return id, nil
}

// askLimit bounds the question who leads; a paused node does not answer.
const askLimit = 300 * time.Millisecond

// leads asks all members who leads: of those that say they do, the one of the highest term. It is
// empty if none does.
func (e *Env) leads(ctx context.Context) (id sut.NodeID) {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	ids := slices.Concat(e.members.configurations(e)...)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	var mu sync.Mutex
	var best sut.Status
	_ = each(ids, func(n sut.NodeID) error {
		st, err := e.Admin.Status(ctx, n)
		mu.Lock()
		defer mu.Unlock()
		if err == nil && st.Role == "leader" && (id == "" || st.Term > best.Term) {
			id, best = n, st
		}
		return err
	}) // who does not answer does not lead
	return id
}

// resolve finds the nodes that target means at this moment: members, or a node by its name.
func (e *Env) resolve(ctx context.Context, t Target, rng *rand.Rand) ([]sut.NodeID, error) {
	ids := e.ids()
	few := (len(ids) - 1) / 2
	switch t {
	case All:
		return ids, nil
	case Minority:
		return draw(ids, few, rng, t)
	case Majority:
		return draw(ids, few+1, rng, t)
	case Leader, Follower, LeaderMinority, FollowerMinority:
		return e.resolveByLeader(ctx, t, ids, rng)
	}
	if !slices.Contains(e.all(), sut.NodeID(t)) {
		return nil, Skip("there is no node %s", t)
	}
	return []sut.NodeID{sut.NodeID(t)}, nil
}

// resolveByLeader finds the nodes of a target that depends on who leads.
func (e *Env) resolveByLeader(
	ctx context.Context, t Target, ids []sut.NodeID, rng *rand.Rand,
) ([]sut.NodeID, error) {
	few := (len(ids) - 1) / 2
	leader, err := e.leader(ctx)
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(n sut.NodeID) bool { return n == leader })
	switch t {
	case Leader:
		return []sut.NodeID{leader}, nil
	case LeaderMinority:
		others, err := draw(ids, few-1, rng, t)
		return append(others, leader), err
	case FollowerMinority:
		return draw(ids, few, rng, t)
	}
	return draw(ids, 1, rng, t)
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

// harm is what a fault is about to break.
type harm struct {
	down []sut.NodeID
	cut  []link
}

// allow says whether step may do harm: not if the plan wants a majority left whole.
func (e *Env) allow(step Step, h harm) error {
	if step.KeepMajority && !e.wholeBut(h) {
		return Skip("no majority would be left whole, and the plan wants one")
	}
	return nil
}

// majorityWhole says whether more than half of the members are up and can all talk to each other,
// and clients to them: then Raft promises to serve. While the members change that must be so of
// the old ones and of the new ones.
func (e *Env) majorityWhole() bool { return e.wholeBut(harm{}) }

// wholeBut is majorityWhole as it would be after h.
func (e *Env) wholeBut(h harm) bool {
	down := e.hosts.down()
	maps.Copy(down, e.clocks.broken())
	maps.Copy(down, e.limits.broken())
	maps.Copy(down, e.unsteady.broken())
	for _, id := range h.down {
		down[id] = true
	}
	cut := e.links.broken()
	for _, l := range []map[link]bool{e.data.broken(), e.shapes.broken()} {
		maps.Copy(cut, l)
	}
	for _, l := range h.cut {
		cut[l] = true
	}
	for _, ids := range e.members.configurations(e) {
		if !wholeMajority(ids, down, cut) {
			return false
		}
	}
	return len(e.clients.broken()) == 0
}

// wholeMajority says whether more than half of ids are up and can all talk to each other.
func wholeMajority(ids []sut.NodeID, down map[sut.NodeID]bool, cut map[link]bool) bool {
	var grow func(chosen []sut.NodeID, rest []sut.NodeID) bool
	grow = func(chosen, rest []sut.NodeID) bool {
		if len(chosen) > len(ids)/2 {
			return true
		}
		if len(chosen)+len(rest) <= len(ids)/2 {
			return false
		}
		id := rest[0]
		apart := slices.ContainsFunc(chosen, func(o sut.NodeID) bool {
			return cut[link{id, o}] || cut[link{o, id}]
		})
		if !down[id] && !apart && grow(append(chosen[:len(chosen):len(chosen)], id), rest[1:]) {
			return true
		}
		return grow(chosen, rest[1:])
	}
	return grow(nil, ids)
}
