package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// reactive provokes something with one fault and, at the very moment when a node says that it
// happened, strikes that node with another. Chance alone hardly ever hits such moments, and they
// are where the classic bugs of Raft live.
type reactive struct {
	name, doc string
	provoke   Fault
	on        string // the event of the trace
	strike    Fault
	fails     bool // the strike may keep what provoked it from being done
}

func (r reactive) Name() string { return r.name }
func (reactive) Family() string { return "reactive" }
func (r reactive) Doc() string  { return r.doc }
func (r reactive) Targets() []Target {
	if m, ok := r.provoke.(membership); ok {
		return m.targets
	}
	return []Target{Leader}
}

// MinNodes is how many nodes the cluster must have: the one that is struck is the second to fail.
func (reactive) MinNodes() int { return 5 }

// reactLimit bounds the wait for the event: an election takes less.
const reactLimit = 3 * time.Second

func (r reactive) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	if env.Events == nil {
		return Effect{}, Skip("what the nodes say is not heard here")
	}
	heard, stop := env.Events.listen(r.on)
	defer stop()
	first := step
	first.ID = -2 * step.ID // a name of its own in the tables of what is broken
	type done struct {
		eff Effect
		err error
	}
	provoked := make(chan done, 1)
	go func() { // what it provokes may happen before it is seen in force
		eff, err := r.provoke.Inject(ctx, env, first)
		provoked <- done{eff, err}
	}()
	waiting, cancel := context.WithTimeout(ctx, reactLimit)
	defer cancel()
	ev, ok := next(waiting, heard)
	if !ok {
		d := <-provoked
		return d.eff, errors.Join(d.err, fmt.Errorf("no node said %s within %v", r.on, reactLimit))
	}
	began := time.Since(ev.At)
	second := step
	second.ID, second.Target = -2*step.ID-1, Target(ev.Node)
	hit, err := r.strike.Inject(ctx, env, second)
	seen := latency(ev, began, hit.Evidence)
	d := <-provoked
	both := together(d.eff, hit)
	switch {
	case err != nil:
		return both, fmt.Errorf("strike %s when it said %s: %w", ev.Node, r.on, err)
	case d.err != nil && !r.fails:
		return both, d.err
	}
	both.Evidence = map[string]any{"provoked": d.eff.Evidence, "reaction": seen}
	return both, nil
}

// together is the effect of two faults, without evidence. What came last is mended first.
func together(first, last Effect) Effect {
	undo := func(ctx context.Context) (any, error) {
		var evidence any
		var errs []error
		for _, eff := range []Effect{last, first} {
			if eff.Undo == nil {
				continue
			}
			seen, err := eff.Undo(ctx)
			if seen != nil {
				evidence = seen
			}
			errs = append(errs, err)
		}
		return evidence, errors.Join(errs...)
	}
	return Effect{Nodes: slices.Concat(first.Nodes, last.Nodes), Undo: undo}
}

// reactions lists the faults that wait for a moment.
func reactions() []Fault {
	alone := partition{min: 2, targets: []Target{Leader}, cut: isolate, wide: true}
	cut := Fault(alone)
	react := func(name, doc string, provoke Fault, on string, strike Fault) Fault {
		return reactive{name: "reactive-" + name, doc: doc, provoke: provoke, on: on, strike: strike}
	}
	return []Fault{
		react("leader-kill", "the leader is cut off, and the next one killed as it wins",
			cut, "become_leader", kill{}),
		react("leader-cut", "the leader is killed, and the next one cut off as it wins",
			kill{}, "become_leader", cut),
		react("leader-pause", "the leader is killed, and the next one stopped as it wins",
			kill{}, "become_leader", pause{}),
		react("voter-kill", "the leader is killed, and a voter as it grants its vote",
			kill{}, "vote_granted", kill{}),
		react("commit-cut", "the leader is killed, and the next one cut off as it first commits",
			kill{}, "first_commit", cut),
		reactive{name: "reactive-config-kill", fails: true,
			doc:     "all members make room for others, and the first that hears of it is killed",
			provoke: membership{name: "membership-swap", targets: []Target{All}, do: swapMembers},
			on:      "config", strike: kill{}},
		stale{},
	}
}
