package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
)

// A SYN that was lost is sent again by the kernel only after a second, and then ever more rarely.
// So that a link that heals is used at once, another one is sent every synEvery, up to synCount at
// a time; the first connection that comes about is taken.
const (
	synEvery = 250 * time.Millisecond
	synCount = 8
	// helloWait bounds the wait for the answer to a hello. A node that is paused accepts
	// connections, by its kernel, and answers when it goes on.
	helloWait = 2 * time.Second
)

var keepAlive = net.KeepAliveConfig{
	Enable: true, Idle: time.Second, Interval: time.Second, Count: 3,
}

// Fetch connects to a peer to read a snapshot from it; its ServeSnapshot has the other end.
func (t *Transport) Fetch(ctx context.Context, from raft.ID) (net.Conn, error) {
	addr := t.Addr(from)
	if addr == "" {
		return nil, fmt.Errorf("fetch snapshot: no address of %s is known", from)
	}
	conn, err := t.dial(ctx, from, addr, purposeSnapshot)
	if err != nil {
		return nil, fmt.Errorf("fetch snapshot from %s: %w", from, err)
	}
	return conn, nil
}

// dial connects, says hello and waits for the answer.
func (t *Transport) dial(ctx context.Context, to raft.ID, addr string, why purpose,
) (net.Conn, error) {
	conn, err := connect(ctx, addr)
	if err != nil {
		return nil, err
	}
	setStuckTimeout(conn, t.opts.Stuck)
	if t.opts.TLS != nil {
		cfg := t.opts.TLS.Clone()
		cfg.ServerName = to.String()
		conn = tls.Client(conn, cfg)
	}
	ctx, cancel := context.WithTimeout(ctx, helloWait)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	h := hello{why, t.opts.ID, to, t.opts.Incarnation, t.opts.Cluster, t.opts.Addr}
	if _, err = conn.Write(h.encode()); err == nil {
		var incarnation [16]byte
		if incarnation, err = readAnswer(conn); err == nil {
			err = t.known(to, incarnation)
		}
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// connect dials again and again while nothing answers. An answer, even a refusal, ends it.
func connect(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, synEvery*(synCount+1))
	defer cancel()
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, synCount)
	d := net.Dialer{KeepAliveConfig: keepAlive}
	launch := func() {
		conn, err := d.DialContext(ctx, "tcp", addr)
		results <- result{conn, err}
	}
	ticker := time.NewTicker(synEvery)
	defer ticker.Stop()
	launched := 1
	go launch()
	for {
		select {
		case <-ticker.C:
			if launched < synCount {
				launched++
				go launch()
			}
		case first := <-results:
			cancel()
			for range launched - 1 { // they end at once, now that ctx is done
				if late := <-results; late.conn != nil {
					_ = late.conn.Close()
				}
			}
			return first.conn, first.err
		}
	}
}
