package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

const (
	// cleanLimit bounds each step of cleaning up, which goes on when the run was interrupted.
	cleanLimit = 30 * time.Second
	// quietLimit bounds the wait for all nodes to have applied the same.
	quietLimit = 10 * time.Second
	// retryPause lies between two tries of a final read.
	retryPause = 100 * time.Millisecond
)

// Run carries t out. The history is on disk, but for the recorder's Close, when it returns, with or
// without an error; the cluster is being taken down then, see [Outcome.TornDown]. The error is the
// harness's own trouble, and says nothing about the system. An interrupted run is no error.
func Run(ctx context.Context, t *Test) (*Outcome, error) {
	c, err := t.Runtime.Up(ctx, t.Spec)
	if err != nil {
		return &Outcome{Interrupted: ctx.Err() != nil, TornDown: closed()}, err
	}
	r := &run{Test: t, cluster: c, began: time.Now()}
	defer func() {
		if p := recover(); p != nil {
			_ = <-r.tearDown(ctx) // the panic is what is told
			panic(p)
		}
	}()
	err = r.drive(ctx)
	r.out.Interrupted = ctx.Err() != nil
	r.out.TornDown = r.tearDown(ctx)
	return &r.out, err
}

func closed() <-chan error {
	ch := make(chan error)
	close(ch)
	return ch
}

// run is a Test whose cluster is up.
type run struct {
	*Test
	cluster cluster.Cluster
	began   time.Time
	out     Outcome
}

func (r *run) now() time.Duration { return time.Since(r.began) }

func (r *run) leaderless() bool {
	s, ok := r.Spec.System.(sut.Leaderless)
	return ok && s.Leaderless()
}

// tearDown takes the cluster down beside whatever else goes on.
func (r *run) tearDown(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*cleanLimit)
		defer cancel()
		done <- r.cluster.Down(ctx)
		close(done)
	}()
	return done
}

// drive is the run between boot and teardown.
func (r *run) drive(ctx context.Context) error {
	nodes := r.cluster.Nodes()
	clients, err := r.Clients(ctx, r.cluster, r.now)
	if err != nil {
		return fmt.Errorf("start the clients: %w", err)
	}
	defer func() {
		if err := clients.Close(); err != nil {
			r.Log.Debug("close the clients", "error", err)
		}
	}()
	w := newWatcher(clients, nodes, r.now)
	if err := r.boot(ctx, w); err != nil {
		return err
	}
	rec, err := r.Begin(nodes)
	if err != nil {
		return fmt.Errorf("begin the history: %w", err)
	}
	in := newInterpreter(r.Test, rec, clients, nodes, r.now)
	in.observed, in.seen = w.out, w.seen
	in.named, in.moved = r.named, w.follow
	watchCtx, stopWatch := context.WithCancel(ctx)
	watching := make(chan struct{})
	go func() { defer close(watching); w.run(watchCtx, r.cluster.Exits(), r.began) }()
	defer func() { stopWatch(); <-watching }()
	stop := in.start(context.WithoutCancel(ctx))
	defer stop()
	return errors.Join(r.phases(ctx, in, w), r.collect(ctx))
}

// boot waits until every node serves and knows the same leader.
func (r *run) boot(ctx context.Context, w *watcher) error {
	ctx, cancel := context.WithTimeout(ctx, r.BootLimit)
	defer cancel()
	var died error
	all, ok := w.await(ctx, func(all map[sut.NodeID]sut.Status) bool {
		select {
		case e, open := <-r.cluster.Exits():
			if open {
				died = r.diedAtBoot(e)
				cancel()
			}
		default:
		}
		agree, _ := settled(all, len(w.members()), r.leaderless())
		return agree
	})
	switch {
	case died != nil:
		return died
	case ok:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return r.notReady(all)
	}
	return context.Cause(ctx)
}

// BootError is a cluster that did not come to serve.
type BootError struct {
	Node sut.NodeID
	// Text says what happened, Tail is the end of the node's log.
	Text, Tail string
}

func (e *BootError) Error() string {
	if e.Tail == "" {
		return e.Text
	}
	return e.Text + "; the last lines of its log:\n" + e.Tail
}

// Hint says what to do about it.
func (e *BootError) Hint() string {
	return "run the image by hand to see why it does not come up, or keep the cluster with --keep"
}

func (r *run) diedAtBoot(e cluster.Exit) error {
	why := fmt.Sprintf("node %s ended while it booted, with exit code %d", e.Node, e.Code)
	if e.OOM {
		why += " (out of memory)"
	}
	return &BootError{Node: e.Node, Text: why, Tail: r.tail(e.Node)}
}

// notReady says which nodes hold the boot up.
func (r *run) notReady(all map[sut.NodeID]sut.Status) error {
	for _, n := range r.cluster.Nodes() {
		st, answered := all[n.ID]
		switch {
		case !answered:
			return &BootError{
				Node: n.ID, Tail: r.tail(n.ID),
				Text: fmt.Sprintf("node %s did not answer within %v", n.ID, r.BootLimit),
			}
		case st.Leader == "" && !r.leaderless():
			return &BootError{
				Node: n.ID, Tail: r.tail(n.ID),
				Text: fmt.Sprintf("node %s knew no leader after %v", n.ID, r.BootLimit),
			}
		}
	}
	return &BootError{Text: fmt.Sprintf("the nodes did not agree on a leader within %v", r.BootLimit)}
}

// tail is the last few lines of a node's log, as far as it has been written.
func (r *run) tail(id sut.NodeID) string {
	raw, err := os.ReadFile(filepath.Join(r.Spec.LogDir, string(id)+".log"))
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	lines = lines[max(0, len(lines)-10):]
	return "  " + strings.Join(lines, "\n  ")
}

// phases is the work itself: quiet and faults, heal, final reads, final status.
func (r *run) phases(ctx context.Context, in *interpreter, w *watcher) error {
	if err := in.phase("work"); err != nil {
		return err
	}
	start := r.now()
	if r.Nemesis != nil {
		nemesis, err := r.Nemesis(Site{
			Cluster: r.cluster, Clients: in.clients, Start: start,
			Note: func(f string, node sut.NodeID, value any) {
				w.send(ctx, observation(r.now(), f, string(node), value))
			},
		})
		if err != nil {
			return err
		}
		in.nemesis = nemesis
	}
	err := in.run(ctx, generator.Until(start+r.TimeLimit, r.Operations), true)
	err = errors.Join(err, r.heal(ctx, in))
	if err != nil || ctx.Err() != nil {
		return err
	}
	if err := in.phase("final"); err != nil {
		return err
	}
	end := r.now() + r.RecoverLimit
	if err := in.run(ctx, r.finalReads(in.counts.Nodes, end), false); err != nil || ctx.Err() != nil {
		return err
	}
	return r.finalStatus(ctx, in, w)
}

// named finds nodes by name, spares too.
func (r *run) named(ids []sut.NodeID) []sut.Node {
	all := r.cluster.Nodes()
	if reserve, ok := r.cluster.(cluster.Reserve); ok {
		all = append(all, reserve.Spares()...)
	}
	return slices.DeleteFunc(all, func(n sut.Node) bool { return !slices.Contains(ids, n.ID) })
}

// finalReads reads everything on every member.
func (r *run) finalReads(members []sut.Node, end time.Duration) generator.Generator {
	var ops []history.Op
	for _, op := range r.Final() {
		for _, n := range members {
			op.Node = string(n.ID)
			ops = append(ops, op)
		}
	}
	return generator.EachUntilOk(ops, end, retryPause)
}

// heal mends everything, whatever has happened.
func (r *run) heal(ctx context.Context, in *interpreter) error {
	if in.nemesis == nil {
		return nil
	}
	if err := in.phase("heal"); err != nil {
		r.Log.Error("note the beginning of the heal", "error", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	invoke := history.Op{
		Process: history.Nemesis, Type: history.Invoke, F: "heal", Time: r.now(),
	}
	err := in.record(invoke)
	done, failed := in.healing(func() history.Op { return in.nemesis.Heal(ctx) })
	in.follow(in.nemesis.Members())
	done.Process, done.Type, done.Time = history.Nemesis, history.Info, r.now()
	return errors.Join(err, failed, in.record(done), in.rec.Flush())
}

// finalStatus notes how every node stands when all have applied the same, or when they have been
// given time enough to.
func (r *run) finalStatus(ctx context.Context, in *interpreter, w *watcher) error {
	ctx, cancel := context.WithTimeout(ctx, quietLimit)
	defer cancel()
	calm := 0 // answers in a row: some nodes tell a digest only when nothing has changed in between
	all, _ := w.await(ctx, func(all map[sut.NodeID]sut.Status) bool {
		calm++
		if _, quiescent := settled(all, len(w.members()), r.leaderless()); !quiescent {
			calm = 0
		}
		return calm == 2
	})
	for _, n := range w.members() {
		if st, ok := all[n.ID]; ok {
			if err := in.observe("final_status", string(n.ID), st); err != nil {
				return err
			}
		}
	}
	return in.phase("done")
}

func (r *run) collect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
	defer cancel()
	if err := r.cluster.Collect(ctx, r.Spec.LogDir); err != nil {
		return fmt.Errorf("collect the logs: %w", err)
	}
	return nil
}
