package wire

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
)

// MaxLine bounds one line of the protocol. A longer one ends the stream.
const MaxLine = 1 << 20

// ErrClosed is what calls answer once the stream to the agent has ended.
var ErrClosed = errors.New("the stream to the agent has ended")

// Client speaks to one agent. Its methods may be called concurrently; each returns when the agent
// has answered or ctx ends. A call given up does not undo what it asked for.
type Client struct {
	w io.Writer

	wmu sync.Mutex // guards writes to w, so that lines stay whole

	mu      sync.Mutex // guards the fields below
	next    uint64
	waiting map[uint64]chan Reply
	err     error // why the stream ended

	done chan struct{} // closed when the reader has ended
}

// NewClient speaks to the agent that reads w and writes r. It reads r until its end; closing the
// stream is for the caller, and ends every call that waits.
func NewClient(r io.Reader, w io.Writer) *Client {
	c := &Client{w: w, waiting: map[uint64]chan Reply{}, done: make(chan struct{})}
	go c.read(r)
	return c
}

// Done is closed when the agent's stream has ended; [Client.Err] then says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err says why the stream ended; nil while it lasts.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *Client) read(r io.Reader) {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 0, 4096), MaxLine)
	var err error
	for err == nil && sc.Scan() {
		var rep Reply
		if err = json.Unmarshal(sc.Bytes(), &rep); err != nil {
			err = fmt.Errorf("reply %.80q: %w", sc.Bytes(), err)
			break
		}
		c.deliver(rep)
	}
	if err == nil {
		err = sc.Err()
	}
	c.mu.Lock()
	c.err = ErrClosed
	if err != nil {
		c.err = fmt.Errorf("%w: %w", ErrClosed, err)
	}
	c.mu.Unlock()
	close(c.done)
}

func (c *Client) deliver(rep Reply) {
	c.mu.Lock()
	ch := c.waiting[rep.ID]
	delete(c.waiting, rep.ID)
	c.mu.Unlock()
	if ch != nil { // nil if the caller gave up
		ch <- rep
	}
}

// Call sends one op and waits for its reply. The result is decoded into out unless that is nil.
// What the agent refused is an [*Error]; any other error leaves open whether the op took effect.
func (c *Client) Call(ctx context.Context, op string, args, out any) error {
	id, ch, line, err := c.prepare(op, args)
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	defer c.forget(id)
	c.wmu.Lock()
	_, err = c.w.Write(line)
	c.wmu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w: %w", op, ErrClosed, err)
	}
	select {
	case rep := <-ch:
		return decode(op, rep, out)
	case <-c.done:
		select {
		case rep := <-ch: // it came just before the end
			return decode(op, rep, out)
		default:
			return fmt.Errorf("%s: %w", op, c.Err())
		}
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", op, context.Cause(ctx))
	}
}

func (c *Client) prepare(op string, args any) (uint64, chan Reply, []byte, error) {
	req := Request{Op: op}
	if args != nil {
		raw, err := json.Marshal(args)
		if err != nil {
			return 0, nil, nil, err
		}
		req.Args = raw
	}
	ch := make(chan Reply, 1) // so that deliver never waits
	c.mu.Lock()
	c.next++
	req.ID = c.next
	c.waiting[req.ID] = ch
	c.mu.Unlock()
	line, err := json.Marshal(req)
	return req.ID, ch, append(line, '\n'), err
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	delete(c.waiting, id)
	c.mu.Unlock()
}

func decode(op string, rep Reply, out any) error {
	if rep.Error != nil {
		return fmt.Errorf("%s: %w", op, rep.Error)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(rep.Result, out); err != nil {
		return fmt.Errorf("%s: result %.80q: %w", op, rep.Result, err)
	}
	return nil
}

// Ping asks who is there.
func (c *Client) Ping(ctx context.Context) (Hello, error) {
	var h Hello
	err := c.Call(ctx, OpPing, nil, &h)
	if err == nil && h.Version != Version {
		err = fmt.Errorf("the agent speaks version %d, this harness version %d", h.Version, Version)
	}
	return h, err
}

// Probe asks what works where the agent is.
func (c *Client) Probe(ctx context.Context) ([]Ability, error) {
	var res ProbeResult
	err := c.Call(ctx, OpProbe, nil, &res)
	return res.Abilities, err
}

// State asks how the node's processes stand.
func (c *Client) State(ctx context.Context) (Node, error) {
	var n Node
	err := c.Call(ctx, OpState, nil, &n)
	return n, err
}

// Signal sends "stop", "cont" or "kill" to the node and waits until it shows.
func (c *Client) Signal(ctx context.Context, sig string) (Node, error) {
	var n Node
	err := c.Call(ctx, OpSignal, SignalArgs{Signal: sig}, &n)
	return n, err
}

// Cut replaces the sets of addresses whose packets are dropped on arrival.
func (c *Client) Cut(ctx context.Context, args CutArgs) (CutResult, error) {
	var res CutResult
	err := c.Call(ctx, OpCut, args, &res)
	return res, err
}

// Dropped counts what was dropped, by sender.
func (c *Client) Dropped(ctx context.Context) (map[netip.Addr]uint64, error) {
	var res DroppedResult
	err := c.Call(ctx, OpDropped, nil, &res)
	return res.Dropped, err
}

// Shape replaces all shaped links.
func (c *Client) Shape(ctx context.Context, args ShapeArgs) (ShapeResult, error) {
	var res ShapeResult
	err := c.Call(ctx, OpShape, args, &res)
	return res, err
}

// Shaped counts what went over shaped links.
func (c *Client) Shaped(ctx context.Context) (ShapeResult, error) {
	var res ShapeResult
	err := c.Call(ctx, OpShaped, nil, &res)
	return res, err
}

// Reset breaks all connections with the peers.
func (c *Client) Reset(ctx context.Context, peers []netip.Addr) (ResetResult, error) {
	var res ResetResult
	err := c.Call(ctx, OpReset, ResetArgs{Peers: peers}, &res)
	return res, err
}

// Skew replaces the skews of the node's clocks.
func (c *Client) Skew(ctx context.Context, args SkewArgs) (ClocksResult, error) {
	var res ClocksResult
	err := c.Call(ctx, OpSkew, args, &res)
	return res, err
}

// Clocks has the node's processes read their clocks.
func (c *Client) Clocks(ctx context.Context) (ClocksResult, error) {
	var res ClocksResult
	err := c.Call(ctx, OpClocks, nil, &res)
	return res, err
}
