package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/beside"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// pod is one node: the agent that holds the namespaces, and the node's process in them.
type pod struct {
	c       *localCluster
	node    sut.Node
	program string
	dir     string // its part of the run's directory
	group   group

	stream *streams // to the agent
	logs   *nodeLog

	process sync.Mutex   // one change of the node's process at a time; guards command
	command *sut.Command // nil for a spare that never joined

	mu     sync.Mutex // guards the fields below
	proc   *process   // the last one that was started; nil if none was
	frozen bool

	beside.Hand
}

// process is one life of a node.
type process struct {
	asked bool          // we have killed it; guarded by the pod's mu
	ooms  int           // what the control group had counted when it began
	ended chan struct{} // closed when it is gone
}

var (
	_ cluster.Host        = (*pod)(nil)
	_ cluster.Joiner      = (*pod)(nil)
	_ cluster.Freezer     = (*pod)(nil)
	_ cluster.ClockSkewer = (*pod)(nil)
	_ cluster.Limiter     = (*pod)(nil)
)

// callTimeout bounds what is asked of one node.
const callTimeout = 30 * time.Second

// up starts the agent and waits until it has settled.
func (p *pod) up(ctx context.Context) error {
	var err error
	if p.logs, err = openLog(p.c.spec.LogDir, p.node.ID, p.c.spec.Lines); err != nil {
		return err
	}
	s, theirs, err := newStreams()
	if err != nil {
		return err
	}
	defer closeAll(theirs)
	p.stream = s
	p.Agent, p.LastWords = wire.NewClient(s, s), s.errs.String
	err = p.c.fabric.ask(ctx, request{Op: opPod, Name: string(p.node.ID), Addr: p.node.Addr,
		Nodes: len(p.c.pods),
		Argv:  p.c.cfg.Pod, Env: environment(p.c.spec.Run),
		Pod: &podSpec{Name: string(p.node.ID), Root: filepath.Join(p.dir, "root"),
			Disk: filepath.Join(p.dir, "disk"), Program: p.program, Hosts: p.c.hosts()},
	}, func(event) {}, theirs...)
	if err != nil {
		return err
	}
	closeAll(theirs) // else an agent that dies would leave its end open
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := p.Agent.Ping(ctx); err != nil {
		return fmt.Errorf("start the agent: %w", p.Explain(err))
	}
	if slices.ContainsFunc(p.c.nodes, func(n sut.Node) bool { return n.ID == p.node.ID }) {
		p.command = new(p.c.spec.System.Command(p.node, p.c.Nodes()))
	}
	return nil
}

// start starts the node's process, which must not be there. It has been executed when it returns.
func (p *pod) start(ctx context.Context) error {
	if p.command == nil {
		return errNeverJoined
	}
	out, err := p.logs.pipe()
	if err != nil {
		return err
	}
	defer out.Close()
	proc := &process{ooms: p.group.ooms(), ended: make(chan struct{})}
	env := append(environment(p.c.spec.Run), "HOSTNAME="+string(p.node.ID))
	for _, name := range slices.Sorted(maps.Keys(p.command.Env)) {
		env = append(env, name+"="+p.command.Env[name])
	}
	p.mu.Lock()
	before := p.proc
	p.proc = proc
	p.mu.Unlock()
	err = p.c.fabric.ask(ctx, request{Op: opNode, Name: string(p.node.ID), Program: podProgram,
		Argv: append([]string{filepath.Base(p.program)}, p.command.Args...), Env: env,
		DataDir: p.command.DataDir, Tasks: p.group.tasks(), Group: p.group.Unified,
	}, func(ev event) { p.ended(proc, ev) }, out)
	if err != nil {
		p.mu.Lock()
		p.proc = before
		p.mu.Unlock()
	}
	return err
}

// errNeverJoined is about a spare that was never asked to join.
var errNeverJoined = errors.New("it is a spare that has not joined yet")

// killedCode is the exit code of a process that SIGKILL ended.
const killedCode = 128 + 9

// ended tells that a life is over.
func (p *pod) ended(proc *process, ev event) {
	p.mu.Lock()
	x := cluster.Exit{Node: p.node.ID, At: ev.At, Code: ev.Code}
	x.Asked = proc.asked && ev.Code == killedCode
	x.OOM = !x.Asked && ev.Code == killedCode && p.group.ooms() > proc.ooms
	p.frozen = p.frozen && p.proc != proc
	p.mu.Unlock()
	p.c.exits.report(x)
	close(proc.ended)
}

// Signal implements [cluster.Host].
func (p *pod) Signal(ctx context.Context, sig cluster.Signal) error {
	p.process.Lock()
	defer p.process.Unlock()
	var err error
	if sig == cluster.Kill {
		err = p.kill(ctx)
	} else {
		_, err = p.Agent.Signal(ctx, string(sig))
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", sig, p.node.ID, p.Explain(err))
	}
	return nil
}

// kill ends all processes of the node, and waits until its exit was told.
func (p *pod) kill(ctx context.Context) error {
	p.mu.Lock()
	proc, frozen := p.proc, p.frozen
	if proc != nil {
		proc.asked = true
	}
	p.mu.Unlock()
	if frozen { // the signal waits for the thaw, and comes before anything else then
		if err := errors.Join(p.group.kill(), p.freeze(ctx, false)); err != nil {
			return err
		}
	}
	if _, err := p.Agent.Signal(ctx, string(cluster.Kill)); err != nil {
		return err
	}
	if proc == nil {
		return nil
	}
	select {
	case <-proc.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for its exit: %w", context.Cause(ctx))
	}
}

// State implements [cluster.Host].
func (p *pod) State(ctx context.Context) (cluster.State, error) {
	n, err := p.Agent.State(ctx)
	if err != nil {
		return "", fmt.Errorf("look at %s: %w", p.node.ID, p.Explain(err))
	}
	switch n.State {
	case wire.Running:
		if p.isFrozen() {
			return cluster.Stopped, nil
		}
		return cluster.Running, nil
	case wire.Stopped:
		return cluster.Stopped, nil
	case wire.Gone:
		return cluster.Gone, nil
	}
	return "", fmt.Errorf("look at %s: the agent says %q", p.node.ID, n.State)
}

// Start implements [cluster.Host].
func (p *pod) Start(ctx context.Context) error {
	p.process.Lock()
	defer p.process.Unlock()
	n, err := p.Agent.State(ctx)
	if err == nil && n.State == wire.Gone {
		err = p.start(ctx)
	}
	if err != nil {
		return fmt.Errorf("start %s: %w", p.node.ID, p.Explain(err))
	}
	return nil
}

// Join implements [cluster.Joiner]. The agent, and with it all that is done to the node's network,
// stays.
func (p *pod) Join(ctx context.Context, cmd sut.Command) error {
	p.process.Lock()
	defer p.process.Unlock()
	err := p.kill(ctx)
	if err == nil {
		data := filepath.Join(p.dir, "disk", dataName)
		err = errors.Join(os.RemoveAll(data), os.Mkdir(data, 0o755))
	}
	if err == nil {
		p.command = &cmd
		err = p.start(ctx)
	}
	if err != nil {
		return fmt.Errorf("start %s anew: %w", p.node.ID, p.Explain(err))
	}
	return nil
}
