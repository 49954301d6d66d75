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
}

func (r reactive) Name() string    { return r.name }
func (reactive) Family() string    { return "reactive" }
func (r reactive) Doc() string     { return r.doc }
func (reactive) Targets() []Target { return []Target{Leader} }

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
	eff, err := r.provoke.Inject(ctx, env, first)
	if err != nil {
		return eff, err
	}
	waiting, cancel := context.WithTimeout(ctx, reactLimit)
	defer cancel()
	ev, ok := next(waiting, heard)
	if !ok {
		return eff, fmt.Errorf("no node said %s within %v", r.on, reactLimit)
	}
	second := step
	second.ID, second.Target = -2*step.ID-1, Target(ev.Node)
	hit, err := r.strike.Inject(ctx, env, second)
	both := together(eff, hit)
	if err != nil {
		return both, fmt.Errorf("strike %s when it said %s: %w", ev.Node, r.on, err)
	}
	both.Evidence = map[string]any{"provoked": eff.Evidence, "event": r.on, "struck": hit.Evidence}
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
	return []Fault{
		reactive{"reactive-leader-kill", "the leader is cut off, and the next one killed as it wins",
			alone, "become_leader", kill{}},
		reactive{"reactive-leader-cut", "the leader is killed, and the next one cut off as it wins",
			kill{}, "become_leader", alone},
		reactive{"reactive-leader-pause", "the leader is killed, and the next one stopped as it wins",
			kill{}, "become_leader", pause{}},
		reactive{"reactive-voter-kill", "the leader is killed, and a voter as it grants its vote",
			kill{}, "vote_granted", kill{}},
		stale{},
	}
}
