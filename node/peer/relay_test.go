package peer

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
)

func asRefused(err error) (*RefusedError, bool) { return errors.AsType[*RefusedError](err) }

// relay forwards connections. While it is cut it accepts them and stops reading.
type relay struct {
	ln     net.Listener
	target string
	mu     sync.Mutex
	cond   *sync.Cond
	isCut  bool
	closed bool
}

func newRelay(t *testing.T, target string) *relay {
	r := &relay{ln: listen(t, "127.0.0.1:0"), target: target}
	r.cond = sync.NewCond(&r.mu)
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = r.ln.Close()
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		r.cond.Broadcast()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := r.ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { r.forward(conn) })
		}
	})
	return r
}

func (r *relay) addr() string { return r.ln.Addr().String() }

func (r *relay) cut(on bool) {
	r.mu.Lock()
	r.isCut = on
	r.mu.Unlock()
	r.cond.Broadcast()
}

func (r *relay) wait() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.isCut && !r.closed {
		r.cond.Wait()
	}
	return !r.closed
}

func (r *relay) forward(client net.Conn) {
	defer client.Close()
	if !r.wait() {
		return
	}
	server, err := net.Dial("tcp", r.target)
	if err != nil {
		return
	}
	defer server.Close()
	var wg sync.WaitGroup
	wg.Go(func() { r.copy(server, client) })
	r.copy(client, server)
	wg.Wait()
}

func (r *relay) copy(dst, src net.Conn) {
	defer dst.Close()
	buf := make([]byte, 32<<10)
	for r.wait() {
		n, err := src.Read(buf)
		if n > 0 && r.wait() {
			if _, err := dst.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = src.Close()
			}
			return
		}
	}
}
