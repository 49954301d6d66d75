package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness"
	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/fake"
	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis"
)

// measurer tries every fault on a cluster of five of our own nodes, on one runtime.
type measurer struct {
	runtime string
	times   int           // how often each fault is tried
	budget  time.Duration // what one fault may take altogether; then it was tried less often
	cmd     *cobra.Command
	log     *slog.Logger

	env     *nemesis.Env
	clients harness.Clients
	cluster cluster.Cluster
}

// timing is how long something took, each time.
type timing []time.Duration

func (t timing) median() time.Duration {
	if len(t) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(t))
	return s[len(s)/2]
}

// measuredFault is how a fault fared on a runtime.
type measuredFault struct {
	nemesis.Fault
	installed   int
	why         string // it was not installed: the last reason
	evidence    string
	apply, heal timing
}

// measurement is everything that was found out about a runtime.
type measurement struct {
	runtime string
	boot    timing // of five nodes, until each process runs
	steps   []measuredStep
	faults  []measuredFault
}

// measuredStep is one thing that faults are made of.
type measuredStep struct {
	name, prototype string
	took            timing
	err             error
}

// run brings a cluster up and tries everything on it.
func (m *measurer) run(ctx context.Context) (res measurement, err error) {
	res.runtime = m.runtime
	cfg := config.Default()
	cfg.Runtime = m.runtime
	p, err := assemble(cfg, fake.Behaviour{})
	if err != nil {
		return res, err
	}
	t := &tested{cmd: m.cmd, cfg: cfg, parts: p, log: m.log, began: time.Now()}
	closeRuntime, err := t.openRuntime(ctx, newLive(m.cmd.ErrOrStderr(), true, 0))
	if err != nil {
		return res, err
	}
	defer closeRuntime()
	logs, err := os.MkdirTemp("", "raftcheck-doctor-")
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(logs)) }()
	events := &nemesis.Events{}
	spec := cluster.Spec{System: p.system, Image: t.image, Nodes: cfg.Nodes, LogDir: logs,
		Spares: 2 * cfg.Nodes, Lines: events.Feed}
	if res.boot, err = m.boots(ctx, t.runtime, spec); err != nil {
		return res, err
	}
	spec.Run = newDoctorRun()
	if m.cluster, err = t.runtime.Up(ctx, spec); err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, m.cluster.Down(context.WithoutCancel(ctx))) }()
	begin := time.Now()
	m.clients, err = clients(ctx, m.cluster, cfg, p, func() time.Duration { return time.Since(begin) })
	if err != nil {
		return res, err
	}
	defer m.clients.Close()
	m.env = &nemesis.Env{Cluster: m.cluster, System: p.system, Admin: m.clients, Events: events}
	if _, err := nemesis.New(m.env, nemesis.Schedule{}, 0, m.log); err != nil {
		return res, err
	}
	if err := m.settled(ctx); err != nil {
		return res, err
	}
	res.steps = m.steps(ctx)
	for _, f := range nemesis.Faults() {
		if ctx.Err() != nil {
			return res, context.Cause(ctx)
		}
		fmt.Fprintf(m.cmd.ErrOrStderr(), "%s: %s\n", m.runtime, f.Name())
		res.faults = append(res.faults, m.try(ctx, f))
	}
	return res, nil
}

func newDoctorRun() string { return fmt.Sprintf("doctor-%d-%x", os.Getpid(), rand.Uint32()) }

// bootTimes is how often five nodes are booted for a median.
const bootTimes = 5

func (m *measurer) boots(ctx context.Context, rt cluster.Runtime, spec cluster.Spec,
) (took timing, err error) {
	spec.Spares, spec.Lines, spec.LogDir = 0, nil, ""
	for range bootTimes {
		spec.Run = newDoctorRun()
		begin := time.Now()
		c, err := rt.Up(ctx, spec)
		if err != nil {
			return nil, err
		}
		took = append(took, time.Since(begin))
		if err := c.Down(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
	}
	return took, nil
}

// settled waits until as many nodes as make a majority follow one leader. Who the members are may
// have been changed, so all nodes are asked.
func (m *measurer) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, config.Default().BootLimit)
	defer cancel()
	nodes := m.cluster.Nodes()
	majority := len(nodes)/2 + 1
	if r, ok := m.cluster.(cluster.Reserve); ok {
		nodes = append(nodes, r.Spares()...)
	}
	for {
		follow, most := map[sut.NodeID]int{}, 0
		for _, n := range nodes {
			if s, err := m.cluster.Host(n.ID).State(ctx); err != nil || s != cluster.Running {
				continue
			}
			if st, err := m.clients.Status(ctx, n.ID); err == nil && st.Leader != "" {
				follow[st.Leader]++
				most = max(most, follow[st.Leader])
			}
		}
		if most >= majority {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d nodes follow one leader: %w", most, len(nodes),
				context.Cause(ctx))
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// try injects and heals a fault again and again.
func (m *measurer) try(ctx context.Context, f nemesis.Fault) measuredFault {
	res := measuredFault{Fault: f}
	begin := time.Now()
	for i := range m.times {
		if time.Since(begin) > m.budget || ctx.Err() != nil {
			break
		}
		if err := m.settled(ctx); err != nil {
			res.why = "the cluster did not come back: " + err.Error()
			break
		}
		targets := f.Targets()
		step := nemesis.Step{ID: 1 + i, Fault: f.Name(), Target: targets[i%len(targets)],
			For: 100 * time.Millisecond, Seed: uint64(i)}
		at := time.Now()
		eff, err := f.Inject(ctx, m.env, step)
		took := time.Since(at)
		if err == nil {
			res.installed++
			res.apply = append(res.apply, took)
			if text, err := json.Marshal(eff.Evidence); err == nil {
				res.evidence = string(text)
			}
		} else {
			res.why = err.Error()
		}
		if eff.Undo == nil {
			continue
		}
		at = time.Now()
		if _, uerr := eff.Undo(ctx); uerr != nil {
			res.why = "heal: " + uerr.Error()
		} else if err == nil {
			res.heal = append(res.heal, time.Since(at))
		}
		if nemesis.Skipped(err) && i == 2 {
			break // it can not be done here
		}
	}
	return res
}

// outcome is a word for a cell of the table.
func (f measuredFault) outcome() string {
	switch {
	case f.installed > 0 && f.why == "":
		return "installed"
	case f.installed > 0:
		return fmt.Sprintf("installed (%d; last other: %s)", f.installed, oneLine(f.why))
	}
	return "not installed: " + oneLine(f.why)
}

func oneLine(s string) string {
	s = strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", "/")
	if len(s) > 120 {
		s = s[:117] + "…"
	}
	return s
}
