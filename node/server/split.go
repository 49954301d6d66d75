package server

import (
	"bufio"
	"net"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/node/wire"
)

// splitter tells the two protocols on the client port apart by how a connection begins. It is the
// listener of the HTTP server; connections of the binary protocol it serves itself.
type splitter struct {
	net.Listener
	pipe  func(net.Conn, *bufio.Reader)
	http  chan net.Conn
	ended chan struct{}
	once  sync.Once

	wg    sync.WaitGroup
	mu    sync.Mutex            // guards conns
	conns map[net.Conn]struct{} // neither known to be HTTP nor ended; nil when closed
}

// firstBytes is how long a connection may stay silent at first.
const firstBytes = time.Minute

func newSplitter(ln net.Listener, pipe func(net.Conn, *bufio.Reader)) *splitter {
	return &splitter{Listener: ln, pipe: pipe, http: make(chan net.Conn), ended: make(chan struct{}),
		conns: map[net.Conn]struct{}{}}
}

// Accept returns the next connection that speaks HTTP.
func (s *splitter) Accept() (net.Conn, error) {
	select {
	case c := <-s.http:
		return c, nil
	case <-s.ended:
		return nil, net.ErrClosed
	}
}

func (s *splitter) run() {
	for {
		conn, err := s.Listener.Accept()
		if err != nil {
			select {
			case <-s.ended:
				return
			case <-time.After(5 * time.Millisecond): // out of file descriptors, most likely
				continue
			}
		}
		if s.track(conn) {
			s.wg.Go(func() { s.sort(conn) })
		}
	}
}

// Close ends the listener, but not the connections of the binary protocol.
func (s *splitter) Close() error {
	s.once.Do(func() { close(s.ended) })
	return s.Listener.Close()
}

// closePipes ends the connections of the binary protocol and waits for them.
func (s *splitter) closePipes() {
	s.mu.Lock()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.conns = nil
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *splitter) track(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		_ = conn.Close()
		return false
	}
	s.conns[conn] = struct{}{}
	return true
}

func (s *splitter) untrack(conn net.Conn) {
	s.mu.Lock()
	delete(s.conns, conn)
	s.mu.Unlock()
}

func (s *splitter) sort(conn net.Conn) {
	defer s.untrack(conn)
	r := bufio.NewReaderSize(conn, 32<<10)
	_ = conn.SetReadDeadline(time.Now().Add(firstBytes))
	first, err := r.Peek(1)
	if err == nil && first[0] == wire.Magic[0] {
		first, err = r.Peek(len(wire.Magic))
	}
	if err != nil {
		_ = conn.Close()
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	if string(first) == wire.Magic {
		_, _ = r.Discard(len(wire.Magic))
		s.pipe(conn, r)
		_ = conn.Close()
		return
	}
	s.untrack(conn)
	select {
	case s.http <- &sniffed{conn, r}:
	case <-s.ended:
		_ = conn.Close()
	}
}

// sniffed is a connection of which the first bytes have been read already.
type sniffed struct {
	net.Conn
	r *bufio.Reader
}

func (s *sniffed) Read(p []byte) (int, error) {
	if s.r != nil {
		if s.r.Buffered() > 0 {
			return s.r.Read(p)
		}
		s.r = nil // the buffer may go
	}
	return s.Conn.Read(p)
}
