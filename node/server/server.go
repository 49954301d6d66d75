// Package server runs a node for real: it drives the core of node/raft with a disk, a network and a
// clock, keeps the state machine, and serves clients over HTTP. API.md, one folder up, is the
// contract with clients.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/peer"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/snapshot"
	"github.com/raftcheck/raftcheck/node/wal"
)

// Server is a running node.
type Server struct {
	cfg      Config
	log      *slog.Logger
	identity Identity
	book     *peerbook
	lock     *os.File    // keeps other processes out of the data directory
	tls      *tls.Config // for peers; nil for none

	listeners listeners
	wal       *wal.Log
	transport *peer.Transport
	inbox     *inbox
	loop      *loop
	disk      *disk
	applier   *applier
	tracer    *tracer
	store     *snapshot.Store
	snapshots *snapshots
	http      *http.Server
	split     *splitter
	metrics   metrics

	wg       sync.WaitGroup
	firstID  uint64 // message ids begin after it
	failOnce sync.Once
	failed   chan struct{} // closed when the node cannot go on; then err says why
	err      error
	stopOnce sync.Once
	stopErr  error
}

type listeners struct{ client, peer net.Listener }

func (l listeners) close() error { return errors.Join(l.client.Close(), l.peer.Close()) }

// DiskError says that the disk failed: the node does not know what is on it and has stopped.
type DiskError struct{ Err error }

func (e *DiskError) Error() string { return "disk failed: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DiskError) Unwrap() error { return e.Err }

// Start brings a node up: it binds its ports first, so that nobody is refused while the log is
// read, recovers, and begins to take part.
func Start(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: cfg.Log, inbox: newInbox(), failed: make(chan struct{}),
	}
	var err error
	if s.tls, err = cfg.PeerTLS.load(); err != nil {
		return nil, err
	}
	if s.listeners, err = bind(cfg); err != nil {
		return nil, err
	}
	start := time.Now()
	node, machine, err := s.recover()
	if err != nil {
		return nil, errors.Join(err, s.listeners.close())
	}
	s.assemble(node, machine, start)
	return s, nil
}

func bind(cfg Config) (listeners, error) {
	self := cfg.self()
	p, err := net.Listen("tcp", net.JoinHostPort(cfg.Listen, strconv.Itoa(self.PeerPort)))
	if err != nil {
		return listeners{}, fmt.Errorf("listen for peers: %w", err)
	}
	c, err := net.Listen("tcp", net.JoinHostPort(cfg.Listen, strconv.Itoa(self.ClientPort)))
	if err != nil {
		return listeners{}, errors.Join(fmt.Errorf("listen for clients: %w", err), p.Close())
	}
	return listeners{c, p}, nil
}

// assemble starts the goroutines.
func (s *Server) assemble(node *raft.Node, machine *kv.Machine, start time.Time) {
	incarnation, _ := s.identity.incarnation() // has been looked at
	addrs := map[raft.ID]string{}
	for _, p := range s.cfg.Peers {
		if p.ID != s.cfg.ID {
			addrs[p.ID] = p.PeerAddr()
		}
	}
	s.snapshots = &snapshots{store: s.store, inbox: s.inbox, log: s.log}
	s.snapshots.ctx, s.snapshots.cancel = context.WithCancel(context.Background())
	s.tracer = newTracer(s.cfg.Trace, s.cfg.ID, start, s.cfg.TraceMessages, s.log)
	s.transport = peer.Start(peer.Options{
		ID: s.cfg.ID, Incarnation: incarnation, Cluster: s.cfg.Cluster,
		Addr: s.cfg.self().PeerAddr(), Peers: addrs, Listener: s.listeners.peer,
		TLS: s.tls, Known: s.book.check, Receive: s.inbox.addMessages, Log: s.log,
		ServeSnapshot: func(conn net.Conn, to raft.ID) { s.snapshots.serve(conn, to) },
	})
	s.snapshots.transport = s.transport
	s.disk = newDisk(s.wal, s.transport, s.inbox, func(err error) { s.fail(&DiskError{err}) })
	s.applier = newApplier(machine, s.inbox, s.store,
		snapshotPolicy{s.cfg.SnapshotBytes, s.cfg.SnapshotEntries}, s.fail, &s.metrics)
	if s.cfg.TraceEntries {
		s.applier.tracer = s.tracer
	}
	s.loop = &loop{
		node: node, inbox: s.inbox, disk: s.disk, applier: s.applier, transport: s.transport,
		metrics: &s.metrics, tracer: s.tracer, sent: s.firstID, snapshots: s.snapshots, start: start,
		reads:    map[uint64][]*read{},
		patience: raft.Time(4 * s.cfg.ElectionTimeout),
		stop:     make(chan struct{}), stopped: make(chan struct{}),
	}
	s.http = &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 5 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.wg.Go(s.disk.run)
	s.wg.Go(s.applier.run)
	s.wg.Go(s.loop.run)
	s.split = newSplitter(s.listeners.client, s.servePipe)
	s.wg.Go(s.split.run)
	s.wg.Go(func() {
		if err := s.http.Serve(s.split); !errors.Is(err, http.ErrServerClosed) {
			s.fail(fmt.Errorf("serve clients: %w", err))
		}
	})
}

func (s *Server) fail(err error) {
	s.failOnce.Do(func() {
		s.err = err
		close(s.failed)
	})
}

// Failed is closed when the node cannot go on; Err then says why. It still has to be stopped.
func (s *Server) Failed() <-chan struct{} { return s.failed }

// Err is why the node cannot go on; a [DiskError] if the disk is to blame. nil while it can.
func (s *Server) Err() error {
	select {
	case <-s.failed:
		return s.err
	default:
		return nil
	}
}

// write takes a command through the log and waits for its result. What the state machine refused
// comes back as an error, like everything else that went wrong.
func (s *Server) write(c kv.Command, timeout time.Duration) answer {
	done := newWaiter()
	w := &write{data: c.Encode(), to: done}
	if err := s.inbox.addRequests([]*write{w}, nil); err != nil {
		return answer{err: err}
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case a := <-done:
		if a.err == nil {
			a.err = resultError(a.Result)
		}
		return a
	case <-timer.C:
		return answer{err: errTimeout(w.abandon())}
	}
}

// read reads from the state machine, linearizably or, if stale, as it is.
func (s *Server) read(r read, stale bool, timeout time.Duration) answer {
	done := newWaiter()
	r.to = done
	if err := s.submitRead(&r, stale); err != nil {
		return answer{err: err}
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case a := <-done:
		return a
	case <-timer.C:
		return answer{err: errReadAborted()}
	}
}

func (s *Server) submitRead(r *read, stale bool) *Error {
	if stale {
		s.applier.add(applyJob{reads: []readJob{{0, []*read{r}}}})
		return nil
	}
	return s.inbox.addRequests(nil, []*read{r})
}

// Stop ends the node in good order: leadership is handed over, so that nobody has to wait for an
// election; requests under way are answered as long as ctx allows, new ones are refused, and
// everything is on disk when it returns.
func (s *Server) Stop(ctx context.Context) error {
	s.stopOnce.Do(func() {
		s.handOver(ctx)
		s.inbox.close()
		err := s.http.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, s.http.Close())
		}
		s.stopErr = errors.Join(err, s.end(s.wal.Close))
	})
	return s.stopErr
}

// handOver gives leadership away, if there is anybody to take it and it does not take longer than
// an election would.
func (s *Server) handOver(ctx context.Context) {
	var to raft.ID
	if s.onLoop(func(l *loop) *Error {
		if l.node.Role() != raft.Leader {
			return errNotLeader(0)
		}
		return l.transferTo(&to)
	}) != nil {
		return
	}
	deadline := time.Now().Add(s.cfg.ElectionTimeout)
	_ = s.waitFor(deadline, func(st Status) bool {
		return ctx.Err() != nil || st.Role != raft.Leader.String() && st.Pending == 0
	})
}

// Kill ends the node as a crash would: nothing is finished, nothing is marked.
func (s *Server) Kill() {
	s.stopOnce.Do(func() {
		s.inbox.close()
		_ = s.http.Close()
		s.stopErr = s.end(s.wal.Abandon)
	})
}

func (s *Server) end(closeLog func() error) error {
	close(s.loop.stop)
	<-s.loop.stopped
	s.snapshots.close()
	s.disk.close()
	s.applier.close()
	s.tracer.add([]raft.Event{{Kind: "stop"}})
	s.tracer.close()
	s.split.closePipes()
	err := errors.Join(s.transport.Close(), closeLog(), s.unlock())
	s.wg.Wait()
	return err
}
