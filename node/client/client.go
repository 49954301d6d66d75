// Package client speaks the binary protocol of package wire: many requests at a time over one
// connection. It retries nothing and redirects nothing, so that whoever uses it knows what
// happened.
package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/wire"
)

// Conn is a connection to one node. Any number of goroutines may use it.
type Conn struct {
	conn net.Conn
	wake chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	out     []byte
	next    uint64
	waiting map[uint64]chan<- reply
	err     error // why nothing more can be asked
}

type reply struct {
	tag  byte
	body []byte
	err  error
}

// ErrBroken says that the connection is gone. What became of requests that were under way is not
// known; those that got this error from the start have not been sent.
var ErrBroken = errors.New("connection is gone")

// ErrNotSent says that a request has not left this program.
var ErrNotSent = errors.New("not sent")

// Dial connects to the client port of a node.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte(wire.Magic)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	c := &Conn{conn: conn, wake: make(chan struct{}, 1), waiting: map[uint64]chan<- reply{}}
	c.wg.Go(c.writeAll)
	c.wg.Go(c.readAll)
	return c, nil
}

// Close ends the connection.
func (c *Conn) Close() error {
	c.fail(net.ErrClosed)
	c.wg.Wait()
	return nil
}

// Do carries out a command. An error of type [wire.Error] is the node's answer; any other leaves it
// open whether the command was carried out, unless it is [ErrNotSent].
func (c *Conn) Do(ctx context.Context, command *kv.Command) (kv.Result, error) {
	return c.roundTrip(ctx, wire.KindWrite, command.Encode())
}

// Get reads a key, linearizably.
func (c *Conn) Get(ctx context.Context, key string) (kv.Result, error) {
	return c.roundTrip(ctx, wire.KindGet, []byte(key))
}

func (c *Conn) roundTrip(ctx context.Context, kind wire.Kind, body []byte) (kv.Result, error) {
	ch := make(chan reply, 1)
	id, err := c.send(kind, body, ch)
	if err != nil {
		return kv.Result{}, err
	}
	select {
	case r := <-ch:
		if r.err != nil {
			return kv.Result{}, r.err
		}
		return wire.DecodeResponse(r.tag, r.body)
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.waiting, id)
		c.mu.Unlock()
		return kv.Result{}, context.Cause(ctx)
	}
}

func (c *Conn) send(kind wire.Kind, body []byte, ch chan<- reply) (id uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, fmt.Errorf("%w: %w: %w", ErrNotSent, ErrBroken, c.err)
	}
	c.next++
	c.waiting[c.next] = ch
	c.out = wire.AppendRequest(c.out, c.next, kind, body)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return c.next, nil
}

// fail ends the connection and tells everybody who waits.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	for _, ch := range c.waiting {
		ch <- reply{err: fmt.Errorf("%w: %w", ErrBroken, err)}
	}
	clear(c.waiting)
	_ = c.conn.Close()
	close(c.wake)
}

func (c *Conn) writeAll() {
	var buf []byte
	for range c.wake {
		c.mu.Lock()
		buf, c.out = c.out, buf[:0]
		c.mu.Unlock()
		if _, err := c.conn.Write(buf); err != nil {
			c.fail(err)
			return
		}
	}
}

func (c *Conn) readAll() {
	r := bufio.NewReaderSize(c.conn, 64<<10)
	for {
		id, tag, body, err := wire.ReadFrame(r)
		if err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		ch := c.waiting[id]
		delete(c.waiting, id)
		c.mu.Unlock()
		if ch != nil {
			ch <- reply{tag: tag, body: body}
		}
	}
}
