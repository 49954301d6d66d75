package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"

	"github.com/raftcheck/raftcheck/node/client"
	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/wire"
)

// hashicorpArgument makes this program a server on hashicorp/raft and raft-wal, with our state
// machine and our binary protocol, so that only the consensus and the log differ.
const hashicorpArgument = "hashicorp-server"

// runHashicorp serves; arguments: id, directory, peer address, client address, all peers.
func runHashicorp(args []string) error {
	id, dir, peerAddr, clientAddr, peers := args[0], args[1], args[2], args[3], args[4]
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	store, err := wal.Open(dir)
	if err != nil {
		return err
	}
	snapshots, err := raft.NewFileSnapshotStore(dir, 1, io.Discard)
	if err != nil {
		return err
	}
	transport, err := raft.NewTCPTransport(peerAddr, nil, 3, 10*time.Second, io.Discard)
	if err != nil {
		return err
	}
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(id)
	cfg.Logger = hclog.NewNullLogger()
	cfg.SnapshotThreshold = 1 << 30 // as ours, which takes none in the time of a measurement
	machine := &hashicorpMachine{kv: kv.New()}
	node, err := raft.NewRaft(cfg, machine, store, store, snapshots, transport)
	if err != nil {
		return err
	}
	var members raft.Configuration
	for field := range strings.SplitSeq(peers, ",") {
		name, addr, _ := strings.Cut(field, "=")
		members.Servers = append(members.Servers, raft.Server{
			ID: raft.ServerID(name), Address: raft.ServerAddress(addr)})
	}
	if err := node.BootstrapCluster(members).Error(); err != nil {
		return err
	}
	ln, err := net.Listen("tcp", clientAddr)
	if err != nil {
		return err
	}
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go (&hashicorpConn{conn: conn, node: node, machine: machine,
			wake: make(chan struct{}, 1)}).serve()
	}
}

// hashicorpMachine is our state machine behind a lock.
type hashicorpMachine struct {
	mu sync.Mutex
	kv *kv.Machine
}

// Apply implements raft.FSM.
func (m *hashicorpMachine) Apply(l *raft.Log) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kv.Apply(l.Index, l.Data)
}

// ApplyBatch implements raft.BatchingFSM.
func (m *hashicorpMachine) ApplyBatch(logs []*raft.Log) []any {
	m.mu.Lock()
	defer m.mu.Unlock()
	results := make([]any, len(logs))
	for i, l := range logs {
		if l.Type == raft.LogCommand {
			results[i] = m.kv.Apply(l.Index, l.Data)
		}
	}
	return results
}

// Snapshot implements raft.FSM; none is taken here.
func (m *hashicorpMachine) Snapshot() (raft.FSMSnapshot, error) {
	return nil, errors.New("no snapshots in a benchmark")
}

// Restore implements raft.FSM.
func (m *hashicorpMachine) Restore(io.ReadCloser) error { return errors.New("no snapshots") }

// hashicorpConn serves one client.
type hashicorpConn struct {
	conn    net.Conn
	node    *raft.Raft
	machine *hashicorpMachine
	mu      sync.Mutex
	out     []byte
	wake    chan struct{}
}

func (c *hashicorpConn) serve() {
	defer c.conn.Close()
	r := bufio.NewReaderSize(c.conn, 64<<10)
	if _, err := r.Discard(len(wire.Magic)); err != nil {
		return
	}
	done := make(chan struct{})
	defer close(done)
	go c.writeAll(done)
	for {
		id, tag, body, err := wire.ReadFrame(r)
		if err != nil {
			return
		}
		if wire.Kind(tag) == wire.KindWrite {
			future := c.node.Apply(body, 0)
			go func() {
				if err := future.Error(); err != nil {
					c.refuse(id, err)
					return
				}
				c.answer(id, future.Response().(kv.Result))
			}()
			continue
		}
		go func() {
			if err := c.node.VerifyLeader().Error(); err != nil {
				c.refuse(id, err)
				return
			}
			c.machine.mu.Lock()
			item, found := c.machine.kv.Get(string(body))
			c.machine.mu.Unlock()
			c.answer(id, kv.Result{Found: found, Value: item.Value, Version: item.Version})
		}()
	}
}

func (c *hashicorpConn) answer(id uint64, r kv.Result) {
	c.mu.Lock()
	c.out = wire.AppendResult(c.out, id, &r)
	c.mu.Unlock()
	c.signal()
}

func (c *hashicorpConn) refuse(id uint64, err error) {
	c.mu.Lock()
	c.out = wire.AppendError(c.out, id, &wire.Error{HTTP: 503, Code: "refused", Message: err.Error()})
	c.mu.Unlock()
	c.signal()
}

func (c *hashicorpConn) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *hashicorpConn) writeAll(done <-chan struct{}) {
	var buf []byte
	for {
		select {
		case <-done:
			return
		case <-c.wake:
		}
		c.mu.Lock()
		buf, c.out = c.out, buf[:0]
		c.mu.Unlock()
		if _, err := c.conn.Write(buf); err != nil {
			return
		}
	}
}

// hashicorp is a cluster of three of these.
type hashicorp struct {
	processes
	addrs []string
	lead  int
	conns []*client.Conn
}

func (h *hashicorp) name() string { return "hashicorp" }

func (h *hashicorp) start(ctx context.Context, dir string) error {
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var peers []string
	for i := range 3 {
		peers = append(peers, fmt.Sprintf("n%d=127.0.0.1:%d", i+1, ports[i]))
		h.addrs = append(h.addrs, fmt.Sprintf("127.0.0.1:%d", ports[3+i]))
	}
	for i := range 3 {
		id := fmt.Sprintf("n%d", i+1)
		err := h.spawn(dir, id, self, hashicorpArgument, id, filepath.Join(dir, id),
			fmt.Sprintf("127.0.0.1:%d", ports[i]), h.addrs[i], strings.Join(peers, ","))
		if err != nil {
			return err
		}
	}
	return waitUntil(ctx, "a leader", func() bool {
		for i, addr := range h.addrs {
			conn, err := client.Dial(ctx, addr)
			if err != nil {
				continue
			}
			_, err = conn.Do(ctx, &kv.Command{Op: kv.OpPut, Key: "first", Value: "v"})
			_ = conn.Close()
			if err == nil {
				h.lead = i
				return true
			}
		}
		return false
	})
}

func (h *hashicorp) follower() int { return h.pids()[(h.lead+1)%3] }

// syncs is not known: the library does not count them.
func (h *hashicorp) syncs() (uint64, error) { return 0, nil }

func (h *hashicorp) stop() error {
	for _, c := range h.conns {
		_ = c.Close()
	}
	return h.processes.stop()
}

func (h *hashicorp) worker(i, _ int) (worker, error) {
	for len(h.conns) <= i%connections {
		c, err := client.Dial(context.Background(), h.addrs[h.lead])
		if err != nil {
			return nil, err
		}
		h.conns = append(h.conns, c)
	}
	return &pipeWorker{h.conns[i%connections]}, nil
}
