package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// membership changes who the members are, or who leads them.
type membership struct {
	name, doc string
	min       int
	targets   []Target
	do        func(ctx context.Context, env *Env, step Step, target []sut.NodeID) (Effect, error)
}

func (m membership) Name() string      { return m.name }
func (membership) Family() string      { return "membership" }
func (m membership) Doc() string       { return m.doc }
func (m membership) Targets() []Target { return m.targets }

// MinNodes is how many nodes the cluster must have.
func (m membership) MinNodes() int { return m.min }

func (m membership) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	if err := env.canChange(); err != nil {
		return Effect{}, err
	}
	target, err := env.resolve(ctx, step.Target, step.rng())
	if err != nil {
		return Effect{}, err
	}
	before := env.ids()
	if m.name != "membership-add" && !subset(target, before) {
		return Effect{}, Skip("%v is no member", target)
	}
	eff, err := m.do(ctx, env, step, target)
	if err == nil {
		eff.Evidence = map[string]any{"before": before, "after": env.ids()}
	}
	return eff, err
}

// gentle says whether all that it does leaves a majority of the old members and of the new ones.
func (m membership) gentle() bool { return m.name != "membership-replace" }

func subset(part, whole []sut.NodeID) bool {
	return !slices.ContainsFunc(part, func(id sut.NodeID) bool { return !slices.Contains(whole, id) })
}

func memberships() []Fault {
	return []Fault{
		membership{"membership-add", "a node that was none becomes a member, and leaves again",
			1, []Target{All}, addMember},
		membership{"membership-remove",
			"a member is removed, while its process runs on, and is added again",
			3, []Target{Leader, Follower}, removeMember},
		membership{"membership-replace",
			"a member is killed and its disk is lost; a new node takes its place for good",
			3, []Target{Leader, Follower}, replaceMember},
		membership{"membership-rotate", "each member in turn makes room for another node, for good",
			1, []Target{All}, rotateMembers},
		membership{"membership-swap", "all members make room for other nodes at once, for good",
			1, []Target{All}, swapMembers},
		membership{"membership-transfer", "the leader hands over to a follower",
			2, []Target{Follower}, transferLeader},
	}
}

// addMember lets a newcomer join; it leaves when the fault is healed, and its process ends.
func addMember(
	ctx context.Context, env *Env, _ Step, _ []sut.NodeID,
) (eff Effect, err error) {
	come, err := env.newcomers(1, false)
	if err != nil {
		return eff, err
	}
	eff = Effect{Nodes: come, Undo: func(ctx context.Context) (any, error) {
		if slices.Contains(env.ids(), come[0]) {
			if err := env.change(ctx, nil, come); err != nil {
				return nil, err
			}
		}
		return map[string]any{"members": env.ids()}, env.dismiss(ctx, come)
	}}
	return eff, env.change(ctx, come, nil)
}

// removeMember has a member leave. It does not know, and may ask for votes. It comes back when the
// fault is healed.
func removeMember(
	ctx context.Context, env *Env, _ Step, target []sut.NodeID,
) (Effect, error) {
	eff := Effect{Nodes: target, Undo: func(ctx context.Context) (any, error) {
		for _, id := range target {
			if slices.Contains(env.ids(), id) {
				continue
			}
			if err := env.change(ctx, []sut.NodeID{id}, nil); err != nil {
				return nil, err
			}
		}
		return map[string]any{"members": env.ids()}, nil
	}}
	return eff, env.change(ctx, nil, target)
}

// replaceMember loses a member with its disk, and puts a node in its place that was never a member;
// the same one with an empty disk where the system takes it back.
func replaceMember(
	ctx context.Context, env *Env, step Step, target []sut.NodeID,
) (Effect, error) {
	eff := Effect{Nodes: target}
	wipe := env.joining(target[0], env.ids()).Wipe
	come := target
	if !wipe {
		fresh, err := env.newcomers(len(target), true)
		if err != nil {
			return eff, err
		}
		come = fresh
		eff.Nodes = slices.Concat(target, come)
	}
	target, err := env.hosts.take(env, step, target, cluster.Kill)
	if err != nil {
		return eff, err
	}
	eff.Undo = func(ctx context.Context) (any, error) {
		// What was begun is finished: the dead must not come back.
		var err error
		if gone := stillMembers(env, target, come); len(gone) > 0 {
			err = env.change(ctx, come, gone)
		}
		env.hosts.forget(step.ID)
		return map[string]any{"members": env.ids()}, err
	}
	err = each(target, func(id sut.NodeID) error {
		return errors.Join(strike(ctx, env.Cluster.Host(id), cluster.Kill),
			expect(ctx, env, id, cluster.Gone))
	})
	if err != nil {
		return eff, fmt.Errorf("kill %v: %w", target, err)
	}
	if !wipe {
		env.members.lose(target)
	}
	if err := env.change(ctx, come, target); err != nil {
		return eff, err
	}
	env.hosts.forget(step.ID)
	return eff, nil
}

// stillMembers lists those of target that are members, and not among come.
func stillMembers(env *Env, target, come []sut.NodeID) (still []sut.NodeID) {
	for _, id := range target {
		if slices.Contains(env.ids(), id) && !slices.Contains(come, id) {
			still = append(still, id)
		}
	}
	return still
}

// lose notes that ids have lost their disks.
func (m *members) lose(ids []sut.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		m.lost[id] = true
	}
}

func (m *members) isLost(id sut.NodeID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lost[id]
}

// rotateMembers replaces each member by one that is none, one after the other: the second newcomer
// may be the first who left.
func rotateMembers(
	ctx context.Context, env *Env, _ Step, target []sut.NodeID,
) (Effect, error) {
	left := &leavers{env: env}
	eff := Effect{Nodes: target, Undo: left.dismiss}
	for _, old := range target {
		come, err := env.newcomers(1, false)
		if err != nil {
			return eff, err
		}
		left.add(old)
		if err := env.change(ctx, come, []sut.NodeID{old}); err != nil {
			return eff, fmt.Errorf("replace %s by %s: %w", old, come[0], err)
		}
	}
	return eff, nil
}

// swapMembers replaces all members at once.
func swapMembers(
	ctx context.Context, env *Env, _ Step, target []sut.NodeID,
) (Effect, error) {
	come, err := env.newcomers(len(target), false)
	if err != nil {
		return Effect{}, err
	}
	left := &leavers{env: env}
	left.add(target...)
	eff := Effect{Nodes: slices.Concat(target, come), Undo: left.dismiss}
	return eff, env.change(ctx, come, target)
}

// leavers are nodes that a fault has made leave for good. They run on until it is healed.
type leavers struct {
	env *Env
	ids []sut.NodeID
}

func (l *leavers) add(ids ...sut.NodeID) { l.ids = append(l.ids, ids...) }

func (l *leavers) dismiss(ctx context.Context) (any, error) {
	err := l.env.dismiss(ctx, l.ids)
	return map[string]any{"members": l.env.ids()}, err
}

// dismiss ends the processes of those of ids that are no members.
func (e *Env) dismiss(ctx context.Context, ids []sut.NodeID) error {
	configurations := slices.Concat(e.members.configurations(e)...)
	return each(ids, func(id sut.NodeID) error {
		if slices.Contains(configurations, id) {
			return nil
		}
		return strike(ctx, e.Cluster.Host(id), cluster.Kill)
	})
}

// transferLeader asks the leader to hand over to the target.
func transferLeader(
	ctx context.Context, env *Env, _ Step, target []sut.NodeID,
) (Effect, error) {
	eff := Effect{Nodes: target}
	via, err := env.leader(ctx)
	if err != nil {
		return eff, err
	}
	if via == target[0] {
		return eff, Skip("%s leads already", via)
	}
	err = env.asked(via, MemberOp{Op: "transfer", To: target[0]}, func() error {
		return env.Admin.Transfer(ctx, via, target[0])
	})
	if errors.Is(err, errors.ErrUnsupported) {
		return eff, Skip("%v", err)
	}
	return eff, err
}
