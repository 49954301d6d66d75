package peer

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
)

const helloLimit = 2 * time.Second

func (t *Transport) accept() {
	var conns connSet
	for {
		conn, err := t.opts.Listener.Accept()
		if t.ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			conns.closeAll()
			return
		}
		if err != nil {
			t.opts.Log.Warn("accept peer", "error", err)
			time.Sleep(redialPause) // out of file descriptors, most likely
			continue
		}
		t.wg.Go(func() {
			conns.add(conn)
			defer conns.remove(conn)
			if err := t.serve(conn); err != nil && t.ctx.Err() == nil {
				t.opts.Log.Debug("connection from peer ended",
					"remote", conn.RemoteAddr().String(), "error", err)
			}
		})
	}
}

// serve answers the hello and then does what the connection is for.
func (t *Transport) serve(raw net.Conn) error {
	conn := raw
	if tcp, ok := raw.(*net.TCPConn); ok {
		if err := tcp.SetKeepAliveConfig(keepAlive); err != nil {
			return err
		}
	}
	setStuckTimeout(raw, t.opts.Stuck)
	if t.opts.TLS != nil {
		conn = tls.Server(raw, t.opts.TLS)
	}
	if err := conn.SetDeadline(time.Now().Add(helloLimit)); err != nil {
		return err
	}
	h, err := readHello(conn)
	if err != nil {
		return err // it does not speak our protocol, or has no certificate: an answer would help nobody
	}
	err = t.check(h)
	if secure, ok := conn.(*tls.Conn); ok && err == nil {
		err = secure.ConnectionState().PeerCertificates[0].VerifyHostname(h.from.String())
	}
	if err == nil {
		err = t.known(h.from, h.incarnation)
	}
	if err != nil {
		return errors.Join(err, refuseHello(conn, err.Error()))
	}
	if err := acceptHello(conn, t.opts.Incarnation); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return err
	}
	if h.purpose == purposeSnapshot {
		t.opts.ServeSnapshot(conn, h.from)
		return nil
	}
	t.greet(h, conn)
	return t.read(conn, h.from)
}

func (t *Transport) check(h hello) error {
	switch {
	case h.cluster != t.opts.Cluster:
		return fmt.Errorf("this is cluster %q, not %q", t.opts.Cluster, h.cluster)
	case h.to != t.opts.ID:
		return fmt.Errorf("this is node %s, not %s", t.opts.ID, h.to)
	case h.from == t.opts.ID || h.from == 0:
		return fmt.Errorf("%s is no other node", h.from)
	case h.purpose == purposeMessages:
		return nil
	case h.purpose == purposeSnapshot && t.opts.ServeSnapshot != nil:
		return nil
	}
	return fmt.Errorf("unknown purpose %d", h.purpose)
}

// greet takes note of a peer that called: its older connection is dead, its address may be new to
// us, and it can be reached now.
func (t *Transport) greet(h hello, conn net.Conn) {
	t.mu.Lock()
	old := t.inbound[h.from]
	t.inbound[h.from] = conn
	s := t.senders[h.from]
	t.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	if s == nil && h.addr != "" {
		t.AddPeer(h.from, h.addr)
	}
	if s != nil {
		signal(s.call)
	}
}

// read delivers messages until the connection ends. Frames that arrived together are delivered
// together.
func (t *Transport) read(conn net.Conn, from raft.ID) error {
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.inbound[from] == conn {
			delete(t.inbound, from)
		}
	}()
	r := bufio.NewReaderSize(conn, 64<<10)
	var batch []Envelope
	for {
		m, err := ReadFrame(r)
		if err != nil {
			return err
		}
		if m.From != from || m.To != t.opts.ID {
			return fmt.Errorf("%w: from %s to %s on the connection from %s", ErrFrame,
				m.From, m.To, from)
		}
		batch = append(batch, m)
		if !frameBuffered(r) {
			t.received.Add(uint64(len(batch)))
			t.opts.Receive(batch)
			batch = nil
		}
	}
}

// ReadFrame reads one frame and returns its message.
func ReadFrame(r io.Reader) (Envelope, error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Envelope{}, err
	}
	size, crc, err := parseHeader(head[:])
	if err != nil {
		return Envelope{}, err
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return Envelope{}, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return decodePayload(payload, crc)
}

// frameBuffered says that the next frame can be read without waiting.
func frameBuffered(r *bufio.Reader) bool {
	if r.Buffered() < frameHeader {
		return false
	}
	head, err := r.Peek(frameHeader)
	if err != nil {
		return false
	}
	size, _, err := parseHeader(head)
	return err == nil && r.Buffered() >= frameHeader+size
}

// connSet closes what is still open when the listener ends.
type connSet struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func (c *connSet) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		_ = conn.Close()
		return
	}
	if c.conns == nil {
		c.conns = map[net.Conn]struct{}{}
	}
	c.conns[conn] = struct{}{}
}

func (c *connSet) remove(conn net.Conn) {
	c.mu.Lock()
	delete(c.conns, conn)
	c.mu.Unlock()
	_ = conn.Close()
}

func (c *connSet) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for conn := range c.conns {
		_ = conn.Close()
	}
}
