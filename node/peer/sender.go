package peer

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
)

// How long to wait before a peer is dialed again.
const (
	redialPause = 50 * time.Millisecond // it is not there
	refusedWait = time.Second           // it is there, and does not want us
)

// sender owns the connection to one peer.
type sender struct {
	t    *Transport
	id   raft.ID
	addr atomic.Pointer[string]

	mu        sync.Mutex // guards the fields below
	queue     []Envelope
	bytes     int
	connected bool

	wake chan struct{} // there is something in the queue
	call chan struct{} // the peer called us: dial it now
}

func newSender(t *Transport, id raft.ID, addr string) *sender {
	s := &sender{t: t, id: id, wake: make(chan struct{}, 1), call: make(chan struct{}, 1)}
	s.addr.Store(&addr)
	return s
}

func entryBytes(m *raft.Message) int {
	n := 0
	for i := range m.Entries {
		n += len(m.Entries[i].Data)
	}
	return n
}

// push queues a message unless there is no connection or no room.
func (s *sender) push(m Envelope) bool {
	size := entryBytes(&m.Message)
	s.mu.Lock()
	if !s.connected || len(s.queue) >= s.t.opts.QueueLength ||
		len(s.queue) > 0 && s.bytes+size > s.t.opts.QueueBytes {
		s.mu.Unlock()
		return false
	}
	s.queue = append(s.queue, m)
	s.bytes += size
	s.mu.Unlock()
	signal(s.wake)
	return true
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// take empties the queue into the one given, which becomes the queue.
func (s *sender) take(empty []Envelope) []Envelope {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queue
	s.queue, s.bytes = empty[:0], 0
	return q
}

func (s *sender) setConnected(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.connected = on
	if !on {
		s.queue, s.bytes = nil, 0
	}
}

func (s *sender) run() {
	log := s.t.opts.Log.With("peer", s.id.String())
	var reported string
	for s.t.ctx.Err() == nil {
		conn, err := s.t.dial(s.t.ctx, s.id, *s.addr.Load(), purposeMessages)
		if err == nil {
			log.Debug("connected to peer")
			s.setConnected(true)
			err = s.write(conn)
			s.setConnected(false)
			reported = ""
		}
		if s.t.ctx.Err() != nil {
			return
		}
		pause, level := redialPause, slog.LevelDebug
		if _, refused := errors.AsType[*RefusedError](err); refused {
			pause, level = refusedWait, slog.LevelWarn
		}
		if msg := err.Error(); msg != reported {
			log.Log(s.t.ctx, level, "no connection to peer", "error", msg)
			reported = msg
		}
		select {
		case <-s.t.ctx.Done():
		case <-s.call:
		case <-time.After(pause):
		}
	}
}

// write sends what is queued until the connection fails, which it always does with an error.
func (s *sender) write(conn net.Conn) error {
	// The peer never says anything on this connection, so reading tells when it has gone.
	gone := make(chan error, 1)
	s.t.wg.Go(func() {
		var b [1]byte
		_, err := conn.Read(b[:])
		if err == nil {
			err = errors.New("peer spoke out of turn")
		}
		gone <- err
	})
	err := s.pump(conn, gone)
	return errors.Join(err, ignoreClosed(conn.Close()))
}

func (s *sender) pump(conn net.Conn, gone <-chan error) error {
	var queue []Envelope
	var buf []byte
	for {
		select {
		case <-s.t.ctx.Done():
			return s.t.ctx.Err()
		case err := <-gone:
			return err
		case <-s.wake:
		}
		queue = s.take(queue)
		buf = buf[:0]
		for i := range queue {
			buf = AppendFrame(buf, &queue[i])
		}
		clear(queue) // the entries may go
		if len(buf) == 0 {
			continue
		}
		if err := conn.SetWriteDeadline(time.Now().Add(2 * s.t.opts.Stuck)); err != nil {
			return err
		}
		if _, err := conn.Write(buf); err != nil {
			return err
		}
		if cap(buf) > 4<<20 {
			buf = nil
		}
	}
}
