package main

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// steps times what faults are made of, without the wait for evidence that the nodes themselves
// give. Beside each stands what a prototype of the same mechanism took.
func (m *measurer) steps(ctx context.Context) []measuredStep {
	n := m.cluster.Nodes()
	host := m.cluster.Host(n[0].ID)
	s := &stepper{ctx: ctx, times: m.times}
	s.pair("cut on all five nodes", "2–5 ms", "heal of the cut", "2–5 ms",
		func() error { return m.cutAll(ctx, []sut.NodeID{n[0].ID, n[1].ID}) },
		func() error { return m.cutAll(ctx, nil) })
	s.pair("pause (SIGSTOP)", "1 ms", "end of the pause", "1 ms",
		func() error { return host.Signal(ctx, cluster.Stop) },
		func() error { return host.Signal(ctx, cluster.Cont) })
	if f, ok := host.(cluster.Freezer); ok {
		s.pair("freeze (control group)", "", "thaw", "",
			func() error { return f.Freeze(ctx) }, func() error { return f.Thaw(ctx) })
	}
	if sh, ok := host.(cluster.Shaper); ok {
		s.pair("one link slow", "0.1 ms in the agent", "the link quick again", "0.1 ms in the agent",
			func() error {
				to := map[sut.NodeID]cluster.Link{n[1].ID: {Delay: time.Millisecond}}
				return sh.Shape(ctx, to, 1)
			}, func() error { return sh.Shape(ctx, nil, 0) })
	}
	s.pair("kill", "1 ms", "start again, until it is executed", "local 3–9 ms, Docker 90–370 ms",
		func() error { return host.Signal(ctx, cluster.Kill) },
		func() error { return host.Start(ctx) })
	if c, ok := host.(cluster.ClockSkewer); ok {
		m.clockSteps(s, host, c)
	}
	return s.steps
}

// clockSteps times the first change of a process's clocks, which has to stop it, and later ones.
func (m *measurer) clockSteps(s *stepper, host cluster.Host, c cluster.ClockSkewer) {
	first := &measuredStep{name: "first change of a process's clock", prototype: "1–3 ms"}
	later := &measuredStep{name: "later change", prototype: "0.4 ms"}
	back := &measuredStep{name: "clock right again", prototype: "0.3 ms"}
	for range m.times {
		err := errors.Join(host.Signal(s.ctx, cluster.Kill), host.Start(s.ctx), m.settled(s.ctx))
		if err != nil {
			first.err = err
			break
		}
		first.time(func() error {
			return c.SkewClocks(s.ctx, &cluster.Skew{Offset: time.Second}, nil)
		})
		later.time(func() error {
			return c.SkewClocks(s.ctx, &cluster.Skew{Offset: time.Minute}, nil)
		})
		back.time(func() error { return c.SkewClocks(s.ctx, nil, nil) })
	}
	s.steps = append(s.steps, *first, *later, *back)
}

// cutAll cuts every node off from the same ones.
func (m *measurer) cutAll(ctx context.Context, from []sut.NodeID) error {
	var g errgroup.Group
	for _, n := range m.cluster.Nodes() {
		g.Go(func() error { return m.cluster.Host(n.ID).Cut(ctx, from) })
	}
	return g.Wait()
}

// stepper times steps, in turns with those that undo them.
type stepper struct {
	ctx   context.Context
	times int
	steps []measuredStep
}

func (s *stepper) pair(name, prototype, backName, backPrototype string, do, undo func() error) {
	there := measuredStep{name: name, prototype: prototype}
	back := measuredStep{name: backName, prototype: backPrototype}
	for range s.times {
		there.time(do)
		back.time(undo)
		if s.ctx.Err() != nil || there.err != nil {
			break
		}
	}
	s.steps = append(s.steps, there, back)
}

func (m *measuredStep) time(do func() error) {
	begin := time.Now()
	if err := do(); err != nil {
		m.err = err
		return
	}
	m.took = append(m.took, time.Since(begin))
}
