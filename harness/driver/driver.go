// Package driver carries out client operations: [Local] in this process, [Serve] and [Remote] as
// the two ends of a stream, so that clients can work from inside the cluster's network while the
// harness stays outside.
//
//	harness ── Remote ══ JSON lines over the container's stdin and stdout ══ Serve ── Local ── nodes
//
// The driver stamps the begin and the end of each operation with one monotonic clock, so that how
// long a line takes through the pipe widens no interval.
package driver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Do carries an operation out over a connection and says how it ended.
type Do func(ctx context.Context, conn sut.Conn, op history.Op) history.Op

// Done is an operation that has ended. In Op, Start and Time are when it began and ended.
type Done struct {
	Op history.Op
	// Leader is the node that the one asked believes to lead, if it said so.
	Leader sut.NodeID
}

// Local carries operations out in this process. Its methods may be called concurrently, but not
// for the same process of the history.
type Local struct {
	system  sut.System
	do      Do
	timeout time.Duration
	now     func() time.Duration
	nodes   map[sut.NodeID]sut.Node

	mu    sync.Mutex
	conns map[history.Process]*boundConn // by process, guarded by mu
}

type boundConn struct {
	sut.Conn
	node sut.NodeID
}

// NewLocal makes a Local. Each operation may take timeout, then its outcome is as its error says.
// now is the clock that stamps operations.
func NewLocal(
	system sut.System, nodes []sut.Node, do Do, timeout time.Duration, now func() time.Duration,
) *Local {
	byID := make(map[sut.NodeID]sut.Node, len(nodes))
	for _, n := range nodes {
		byID[n.ID] = n
	}
	return &Local{
		system: system, do: do, timeout: timeout, now: now,
		nodes: byID, conns: map[history.Process]*boundConn{},
	}
}

// Do carries op out on op.Node. It never returns an error: how it went is in the Type of the
// operation. A process that is to be retired (its operation ended in Info) loses its connection.
func (l *Local) Do(ctx context.Context, op history.Op) Done {
	conn, err := l.conn(ctx, op)
	if err != nil {
		op.Start = l.now()
		op.Type, op.Error, op.Time = history.Fail, err.Error(), op.Start
		return Done{Op: op}
	}
	start := l.now()
	opCtx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	done := l.do(opCtx, conn.Conn, op)
	done.Start, done.Time = start, l.now()
	d := Done{Op: done}
	if hint, ok := conn.Conn.(LeaderHint); ok {
		d.Leader = hint.Leader()
	}
	if done.Type == history.Info {
		l.drop(op.Process)
	}
	return d
}

// LeaderHint is a connection that remembers whom its node called the leader in the last answer;
// empty if it said nothing.
type LeaderHint interface{ Leader() sut.NodeID }

// conn finds the connection of op's process, and makes one if there is none to op's node. That no
// connection could be made proves that the operation did not happen.
func (l *Local) conn(ctx context.Context, op history.Op) (*boundConn, error) {
	node, ok := l.nodes[sut.NodeID(op.Node)]
	if !ok {
		return nil, fmt.Errorf("there is no node %q", op.Node)
	}
	l.mu.Lock()
	c := l.conns[op.Process]
	l.mu.Unlock()
	if c != nil && c.node == node.ID {
		return c, nil
	}
	if c != nil {
		l.drop(op.Process)
	}
	conn, err := l.system.Dial(ctx, node)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", node.ID, err)
	}
	c = &boundConn{Conn: conn, node: node.ID}
	l.mu.Lock()
	l.conns[op.Process] = c
	l.mu.Unlock()
	return c, nil
}

func (l *Local) drop(p history.Process) {
	l.mu.Lock()
	c := l.conns[p]
	delete(l.conns, p)
	l.mu.Unlock()
	if c != nil {
		_ = c.Close() // nothing depends on how it closes
	}
}

// Status asks a node about itself.
func (l *Local) Status(ctx context.Context, id sut.NodeID) (sut.Status, error) {
	node, ok := l.nodes[id]
	if !ok {
		return sut.Status{}, fmt.Errorf("there is no node %q", id)
	}
	return l.system.Status(ctx, node)
}

// Close closes all connections.
func (l *Local) Close() error {
	l.mu.Lock()
	conns := l.conns
	l.conns = map[history.Process]*boundConn{}
	l.mu.Unlock()
	var errs []error
	for _, c := range conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
