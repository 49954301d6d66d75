package server

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/wire"
)

// pipe is a connection of the binary protocol. Requests that arrive together go to the loop
// together, and answers that are ready together leave in one write.
type pipe struct {
	s    *Server
	conn net.Conn

	mu       sync.Mutex // guards the fields below
	out      []byte
	inflight int
	ended    bool
	room     *sync.Cond // inflight has shrunk, or it has ended
	wake     chan struct{}
}

// maxInflight bounds the requests of one connection that are not answered; beyond it the node stops
// reading.
const maxInflight = 8 << 10

// maxUnread bounds the answers that wait for a client to read them, in bytes.
const maxUnread = 8 << 20

func (s *Server) servePipe(conn net.Conn, r *bufio.Reader) {
	p := &pipe{s: s, conn: conn, wake: make(chan struct{}, 1)}
	p.room = sync.NewCond(&p.mu)
	written := make(chan struct{})
	go func() {
		defer close(written)
		p.writeAll()
	}()
	err := p.readAll(r)
	if errors.Is(err, wire.ErrFrame) {
		s.log.Warn("client connection", "remote", conn.RemoteAddr().String(), "error", err)
	}
	p.end()
	<-written
}

func (p *pipe) end() {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	p.room.Broadcast()
	signal(p.wake)
	_ = p.conn.Close()
}

// readAll takes requests until the connection ends.
func (p *pipe) readAll(r *bufio.Reader) error {
	var writes []*write
	var reads []*read
	for {
		id, tag, body, err := wire.ReadFrame(r)
		if err != nil {
			return err
		}
		if !p.admit() {
			return net.ErrClosed
		}
		switch kind := wire.Kind(tag); kind {
		case wire.KindWrite:
			if e := checkCommand(body); e != nil {
				p.answer(id, answer{err: e})
				break
			}
			writes = append(writes, &write{data: body, id: id, to: p})
		case wire.KindGet, wire.KindStale:
			rd := &read{key: string(body), id: id, to: p}
			if e := validate(&kv.Command{Op: kv.OpGet, Key: rd.key}); e != nil {
				rd.fail(e)
			} else if kind == wire.KindStale {
				_ = p.s.submitRead(rd, true) // is never refused
			} else {
				reads = append(reads, rd)
			}
		default:
			p.answer(id, answer{err: errBadRequest(fmt.Sprintf("no request of kind %d", tag))})
		}
		if len(writes)+len(reads) > 0 && !wire.FrameBuffered(r) {
			p.submit(writes, reads)
			clear(writes)
			clear(reads)
			writes, reads = writes[:0], reads[:0]
		}
	}
}

func checkCommand(body []byte) *Error {
	err := kv.Check(body)
	switch {
	case errors.Is(err, kv.ErrTooLarge):
		return errTooLarge(err.Error())
	case err != nil:
		return errBadRequest(err.Error())
	}
	return nil
}

func (p *pipe) submit(writes []*write, reads []*read) {
	e := p.s.inbox.addRequests(writes, reads)
	if e == nil {
		return
	}
	for _, w := range writes {
		w.fail(e)
	}
	for _, r := range reads {
		r.fail(e)
	}
}

// admit counts a request in, when there is room.
func (p *pipe) admit() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for (p.inflight >= maxInflight || len(p.out) > maxUnread) && !p.ended {
		p.room.Wait()
	}
	p.inflight++
	return !p.ended
}

// answer implements answerer.
func (p *pipe) answer(id uint64, a answer) {
	if a.err == nil {
		a.err = resultError(a.Result)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if a.err != nil {
		p.s.metrics.refused.add(a.err.Code)
		p.out = wire.AppendError(p.out, id, &wire.Error{
			HTTP: a.err.Status, Code: a.err.Code, Message: a.err.Message,
			Definite: a.err.Definite, Leader: uint64(a.err.Leader),
		})
	} else {
		p.out = wire.AppendResult(p.out, id, &a.Result)
	}
	p.inflight--
	if p.inflight == maxInflight-1 {
		p.room.Broadcast()
	}
	signal(p.wake)
}

// writeAll writes answers until the connection ends.
func (p *pipe) writeAll() {
	var buf []byte
	for range p.wake {
		p.mu.Lock()
		if len(p.out) > maxUnread {
			p.room.Broadcast()
		}
		buf, p.out = p.out, buf[:0]
		ended := p.ended
		p.mu.Unlock()
		if len(buf) > 0 {
			if _, err := p.conn.Write(buf); err != nil {
				p.end()
				return
			}
		}
		if ended {
			return
		}
		if cap(buf) > 1<<20 {
			buf = nil
		}
	}
}
