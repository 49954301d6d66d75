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

// repeated breaks something and mends it, again and again, until it is healed.
type repeated struct {
	fault             Fault // what is broken each time
	name, family, doc string
	// on and off are how long it stays broken and whole each time, drawn if zero.
	on, off time.Duration
	least   time.Duration // and how short that may be
}

func (r repeated) Name() string      { return r.name }
func (r repeated) Family() string    { return r.family }
func (r repeated) Doc() string       { return r.doc }
func (r repeated) Targets() []Target { return r.fault.Targets() }

// MinNodes is how many nodes the cluster must have.
func (r repeated) MinNodes() int { return minNodes(r.fault) }

func (r repeated) tune(s *settings) Fault {
	if d, ok := s.duration("on", "how long it is broken each time", time.Millisecond, time.Hour); ok {
		r.on = d
	}
	d, ok := s.duration("off", "how long it is whole each time", time.Millisecond, time.Hour)
	if ok {
		r.off = d
	}
	return r
}

func flap() Fault {
	return repeated{name: "network-flap", family: "network",
		doc: "links are cut and whole again, several times a second",
		fault: partition{min: 2, cut: isolate, wide: true,
			targets: []Target{Leader, Follower, Minority}},
		least: 50 * time.Millisecond}
}

func killLoop() Fault {
	return repeated{name: "kill-loop", family: "process",
		doc:   "the process is killed soon after each start, again and again",
		fault: kill{targets: []Target{Leader, Follower, Minority}},
		on:    time.Millisecond, least: 20 * time.Millisecond}
}

func strobe() Fault {
	return repeated{name: "clock-strobe", family: "clock",
		doc:   "the wall clock jumps to and fro, many times a second",
		fault: clock{skew: jump}, least: 5 * time.Millisecond}
}

// spread is how much longer than the least a phase may be that is drawn.
const spread = 8

func (r repeated) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	rng := step.rng()
	nodes, err := env.resolve(ctx, step.Target, rng)
	if err != nil {
		return Effect{}, err
	}
	if err := env.allow(step, harm{down: nodes}); err != nil {
		return Effect{Nodes: nodes}, err
	}
	l := &loop{repeated: r, env: env, step: step, nodes: nodes, rng: rng,
		stop: make(chan struct{}), done: make(chan struct{})}
	l.step.ID, l.step.KeepMajority = -2*step.ID, false
	env.unsteady.set(step.ID, nodes)
	eff, err := l.strike(ctx)
	if err != nil {
		env.unsteady.drop(step.ID)
		return eff, err
	}
	go l.run(context.WithoutCancel(ctx))
	return Effect{Nodes: nodes, Evidence: eff.Evidence, Undo: l.end}, nil
}

// loop is a repeated fault under way.
type loop struct {
	repeated
	env   *Env
	step  Step
	nodes []sut.NodeID // all of them are struck each time
	rng   *rand.Rand

	once sync.Once
	stop chan struct{} // closed by end
	done chan struct{} // closed when run has ended, and what it broke is mended

	times  int // how often it was broken; belongs to run until done
	failed error
	undo   []func(context.Context) (any, error) // of what is broken now; as times
}

// strike breaks all nodes once.
func (l *loop) strike(ctx context.Context) (all Effect, err error) {
	l.times++
	l.undo = nil
	for i, id := range l.nodes {
		step := l.step
		step.ID, step.Target = l.step.ID-i*repeatStride, Target(id)
		eff, err := l.fault.Inject(ctx, l.env, step)
		all.Nodes, all.Evidence = append(all.Nodes, id), eff.Evidence
		if eff.Undo != nil {
			l.undo = append(l.undo, eff.Undo)
		}
		all.Undo = l.mend
		if err != nil {
			return all, err
		}
	}
	return all, nil
}

// repeatStride keeps the names of what a loop breaks apart.
const repeatStride = 1 << 20

func (l *loop) mend(ctx context.Context) (any, error) {
	var errs []error
	for _, undo := range l.undo {
		_, err := undo(ctx)
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (l *loop) run(ctx context.Context) {
	defer close(l.done)
	for {
		more := l.wait(l.on)
		limited, cancel := context.WithTimeout(ctx, doLimit)
		_, err := l.mend(limited)
		if err == nil && more && l.wait(l.off) {
			_, err = l.strike(limited)
		} else {
			more = false
		}
		cancel()
		if err != nil && l.failed == nil {
			l.failed = fmt.Errorf("time %d: %w", l.times, err)
		}
		if !more {
			return
		}
	}
}

// wait waits for a phase and says whether there is to be another.
func (l *loop) wait(d time.Duration) bool {
	if d == 0 {
		d = l.least + time.Duration(l.rng.Int64N(int64(spread*l.least)))
	}
	select {
	case <-l.stop:
		return false
	case <-time.After(d):
		return true
	}
}

// end ends the loop. What is broken at that moment is mended once more, in case it could not be.
func (l *loop) end(ctx context.Context) (any, error) {
	l.once.Do(func() { close(l.stop) })
	select {
	case <-l.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if _, err := l.mend(ctx); err != nil {
		return nil, errors.Join(err, l.failed)
	}
	l.env.unsteady.drop(-l.step.ID / 2)
	evidence := map[string]any{"times": l.times}
	if l.failed != nil { // once; the loop went on
		evidence["failed"] = l.failed.Error()
	}
	return evidence, nil
}

// slowPause stops processes whose links are slow: what was under way arrives while they stand
// still.
type slowPause struct{}

func (slowPause) Name() string   { return "pause-slow" }
func (slowPause) Family() string { return "process" }
func (slowPause) Doc() string {
	return "the links become slow, and then the process stands still"
}
func (slowPause) Targets() []Target { return []Target{Leader, Leader, Follower} }

// MinNodes is how many nodes the cluster must have.
func (slowPause) MinNodes() int { return 2 }

func (slowPause) Inject(ctx context.Context, env *Env, step Step) (Effect, error) {
	nodes, err := env.resolve(ctx, step.Target, step.rng())
	if err != nil {
		return Effect{}, err
	}
	first := step
	first.ID, first.Target = -2*step.ID, Target(nodes[0])
	links, err := network{draw: func(rng *rand.Rand) cluster.Link {
		return cluster.Link{Delay: between(rng, 50*time.Millisecond, 400*time.Millisecond)}
	}}.Inject(ctx, env, first)
	if err != nil {
		return links, err
	}
	second := first
	second.ID = -2*step.ID - 1
	stopped, err := pause{}.Inject(ctx, env, second)
	both := together(links, stopped)
	both.Evidence = map[string]any{"links": links.Evidence, "process": stopped.Evidence}
	return both, err
}
