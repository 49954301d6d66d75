package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// processes stops, continues and kills the node: every process of the namespace but the agent. A
// node may be several processes (a launcher and its children), and one that was left out would go
// on talking.
type processes struct {
	self int

	mu sync.Mutex // one signal at a time: a stop and a continue that race prove nothing
}

// signalTimeout bounds the wait for a signal to show. A process in an uninterruptible sleep can
// take long to stop.
const signalTimeout = 5 * time.Second

func (p *processes) handlers() map[string]handler {
	return map[string]handler{wire.OpState: p.state, wire.OpSignal: p.signal}
}

func (p *processes) probe() wire.Ability {
	a := wire.Ability{Name: "pause and kill processes", Needs: "/proc, pidfd_open, CAP_KILL"}
	fd, err := unix.PidfdOpen(p.self, 0)
	if err == nil {
		_ = unix.Close(fd)
		_, err = p.look()
	}
	if err != nil {
		a.Missing = err.Error()
	}
	return a
}

// close leaves the processes as they are: they are the node's.
func (p *processes) close() error { return nil }

func (p *processes) state(context.Context, json.RawMessage) (any, error) {
	return p.look()
}

// look reads how the node stands now.
func (p *processes) look() (wire.Node, error) {
	all, err := p.living()
	if err != nil {
		return wire.Node{}, err
	}
	n := wire.Node{State: wire.Gone, Processes: plain(all)}
	for _, pr := range all {
		stopped, err := allThreadsStopped(pr.PID)
		if err != nil {
			return wire.Node{}, err
		}
		if !stopped {
			n.State = wire.Running
			return n, nil
		}
		n.State = wire.Stopped
	}
	return n, nil
}

// plain are the processes as the harness sees them.
func plain(all []procStat) []wire.Process {
	var list []wire.Process
	for _, st := range all {
		list = append(list, st.Process)
	}
	return list
}

// processKey names a process once and for all.
type processKey struct {
	pid     int
	started uint64
}

// living lists the processes of which something still runs, or could.
func (p *processes) living() ([]procStat, error) {
	all, err := listProcesses(p.self)
	if err != nil {
		return nil, fmt.Errorf("list the node's processes: %w", err)
	}
	return slices.DeleteFunc(all, procStat.dead), nil
}

func (p *processes) signal(ctx context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.SignalArgs](raw)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, signalTimeout)
	defer cancel()
	switch args.Signal {
	case "stop":
		return p.until(ctx, unix.SIGSTOP, wire.Stopped)
	case "cont":
		return p.until(ctx, unix.SIGCONT, wire.Running)
	case "kill":
		return p.kill(ctx)
	}
	return nil, wire.Errorf(wire.Refused, "signal %q: want stop, cont or kill", args.Signal)
}

// until sends sig to all processes, those included that appear meanwhile, until the node is as
// wanted. A node that is gone has nothing to stop or continue: that is its answer, not an error.
func (p *processes) until(ctx context.Context, sig unix.Signal, want string) (wire.Node, error) {
	sent := map[processKey]bool{}
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 5*time.Millisecond) {
		n, err := p.look()
		if err != nil || n.State == wire.Gone {
			return n, err
		}
		sending, err := p.send(sig, sent)
		if err != nil {
			return n, err
		}
		if n.State == want && !sending {
			return n, nil
		}
		if !sleep(ctx, wait) {
			return n, wire.Errorf(wire.Unverified, "%s was sent, but the node is still not %s: %+v",
				unix.SignalName(sig), want, n.Processes)
		}
	}
}

// send sends sig to those that did not get it yet, and says whether there were any. A process is
// told to stop only when its parent has stopped: a parent that waits for a child to become another
// program can not stop before that, and the child could not become it.
func (p *processes) send(sig unix.Signal, sent map[processKey]bool) (some bool, err error) {
	alive, err := p.living()
	if err != nil {
		return false, err
	}
	for _, st := range alive {
		key := processKey{st.PID, st.Started}
		if sent[key] {
			continue
		}
		some = true
		if sig == unix.SIGSTOP && slices.ContainsFunc(alive, func(other procStat) bool {
			if other.PID != st.parent {
				return false
			}
			stopped, err := allThreadsStopped(other.PID)
			return err == nil && !stopped
		}) {
			continue
		}
		if err := unix.Kill(st.PID, sig); err != nil && !gone(err) {
			return some, wire.Errorf(wire.Unable, "send %s to process %d (%s): %v",
				unix.SignalName(sig), st.PID, st.Name, err)
		}
		sent[key] = true
	}
	return some, nil
}

// kill ends all processes, and returns those that it ended once the last thread of each is gone.
func (p *processes) kill(ctx context.Context) (wire.Node, error) {
	n := wire.Node{State: wire.Gone}
	for {
		alive, err := p.living()
		if err != nil || len(alive) == 0 {
			return n, err
		}
		for _, pr := range alive {
			if err := killAndWait(ctx, pr.Process); err != nil {
				return n, err
			}
		}
		n.Processes = append(n.Processes, plain(alive)...)
	}
}

// killAndWait ends one process through a pidfd, which becomes readable when it has ended, its last
// thread included, whether or not its parent noticed.
func killAndWait(ctx context.Context, pr wire.Process) error {
	fd, err := unix.PidfdOpen(pr.PID, 0)
	if gone(err) {
		return nil
	}
	if err != nil {
		return wire.Errorf(wire.Unable, "open process %d (%s): %v", pr.PID, pr.Name, err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !gone(err) {
		return wire.Errorf(wire.Unable, "kill process %d (%s): %v", pr.PID, pr.Name, err)
	}
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		switch ready, err := unix.Poll(fds, 100); {
		case err != nil && err != unix.EINTR:
			return fmt.Errorf("wait for process %d (%s): %w", pr.PID, pr.Name, err)
		case ready > 0:
			return nil
		case ctx.Err() != nil:
			return wire.Errorf(wire.Unverified, "process %d (%s) was killed and is still there",
				pr.PID, pr.Name)
		}
	}
}

// sleep waits for d, and says false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
