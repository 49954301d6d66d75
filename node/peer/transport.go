// Package peer carries messages between nodes: plain TCP, own frames, one connection in each
// direction.
//
//	Send ─► queue of n2 (bounded; drops) ─► dial, hello ─► frames ─► n2's reader ─► Receive
//
// It promises little, and Raft asks for no more: a message arrives once or not at all, unchanged;
// those on one connection arrive in order. A queue that is full, or that has no connection, drops:
// waiting would hold up the leader for the sake of a follower that is gone, and what is dropped is
// sent again by the protocol. What matters is to be back quickly when a link heals, so a connection
// whose data nobody acknowledges is given up after [Options.Stuck], and dialing goes on several
// times a second.
package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
)

// Options says who this node is and whom it talks to.
type Options struct {
	ID          raft.ID
	Incarnation [16]byte
	Cluster     string             // nodes of different clusters do not talk
	Addr        string             // where others reach this node; told to each peer
	Peers       map[raft.ID]string // host:port of each; more become known when they call
	Listener    net.Listener       // closed by Close
	// Known is asked about each peer that is met, on either side of a connection, with the
	// incarnation that it has; an error refuses it. nil knows everybody.
	Known func(id raft.ID, incarnation [16]byte) error
	// Receive takes messages, in the order in which they came from one peer. It is called from
	// several goroutines and must not block for long.
	Receive func(messages []Envelope)
	// ServeSnapshot answers a peer that called Fetch; the connection is closed when it returns.
	ServeSnapshot func(conn net.Conn, to raft.ID)
	Log           *slog.Logger
	// TLS, if not nil, encrypts and authenticates both sides: a certificate has to carry the node's
	// name ("n1") as a DNS name.
	TLS *tls.Config

	Stuck       time.Duration // give up a connection whose data stays unacknowledged; 1 s
	QueueLength int           // messages kept per peer; 4096
	QueueBytes  int           // and their entries' size; 16 MiB
}

// Transport talks to the other nodes until it is closed.
type Transport struct {
	opts   Options
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.RWMutex // guards the maps
	senders map[raft.ID]*sender
	inbound map[raft.ID]net.Conn // the latest connection of messages from each peer

	received, dropped atomic.Uint64
}

// Start begins to listen and to dial.
func Start(opts Options) *Transport {
	if opts.Stuck == 0 {
		opts.Stuck = time.Second
	}
	if opts.QueueLength == 0 {
		opts.QueueLength = 4096
	}
	if opts.QueueBytes == 0 {
		opts.QueueBytes = 16 << 20
	}
	if opts.Known == nil {
		opts.Known = func(raft.ID, [16]byte) error { return nil }
	}
	t := &Transport{opts: opts, senders: map[raft.ID]*sender{}, inbound: map[raft.ID]net.Conn{}}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	for id, addr := range opts.Peers {
		t.AddPeer(id, addr)
	}
	t.wg.Go(t.accept)
	return t
}

// AddPeer makes a peer known. The address of one that is known already is replaced.
func (t *Transport) AddPeer(id raft.ID, addr string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id == t.opts.ID || t.ctx.Err() != nil {
		return
	}
	if s, ok := t.senders[id]; ok {
		s.addr.Store(&addr)
		return
	}
	s := newSender(t, id, addr)
	t.senders[id] = s
	t.wg.Go(s.run)
}

// Addr is where a peer is reached; empty if it is not known.
func (t *Transport) Addr(id raft.ID) string {
	if s := t.sender(id); s != nil {
		return *s.addr.Load()
	}
	return ""
}

func (t *Transport) sender(id raft.ID) *sender {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.senders[id]
}

// Send queues messages for their receivers; it never blocks.
func (t *Transport) Send(messages ...Envelope) {
	for i := range messages {
		if s := t.sender(messages[i].To); s == nil || !s.push(messages[i]) {
			t.dropped.Add(1)
		}
	}
}

// Stats counts messages since the start.
type Stats struct{ Received, Dropped uint64 }

// Stats returns the counters.
func (t *Transport) Stats() Stats { return Stats{t.received.Load(), t.dropped.Load()} }

// Close ends all connections and waits for what it started.
func (t *Transport) Close() error {
	t.cancel()
	err := t.opts.Listener.Close()
	t.mu.Lock()
	for _, c := range t.inbound {
		err = errors.Join(err, ignoreClosed(c.Close()))
	}
	t.mu.Unlock()
	t.wg.Wait()
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
