package wire

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// pair is a client and the agent's end of its streams.
func pair(t *testing.T) (c *Client, requests *bufio.Scanner, replies io.WriteCloser) {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	t.Cleanup(func() { inR.Close(); outW.Close() })
	return NewClient(outR, inW), bufio.NewScanner(inR), outW
}

func next(t *testing.T, requests *bufio.Scanner) Request {
	t.Helper()
	if !requests.Scan() {
		t.Error("no request came")
	}
	var req Request
	if err := json.Unmarshal(requests.Bytes(), &req); err != nil {
		t.Error(err)
	}
	return req
}

// TestOutOfOrder answers two calls in the reverse order.
func TestOutOfOrder(t *testing.T) {
	c, requests, replies := pair(t)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			n, err := c.State(t.Context())
			if err != nil || n.State != Running && n.State != Gone {
				t.Errorf("got %+v, %v", n, err)
			}
		})
	}
	first, second := next(t, requests), next(t, requests)
	fmt.Fprintf(replies, "{\"id\":%d,\"result\":{\"state\":\"gone\"}}\n", second.ID)
	fmt.Fprintf(replies, "{\"id\":%d,\"result\":{\"state\":\"running\"}}\n", first.ID)
	wg.Wait()
}

func TestCutOnTheWire(t *testing.T) {
	c, requests, replies := pair(t)
	a := netip.MustParseAddr("10.0.0.2")
	go func() {
		req := next(t, requests)
		if req.Op != OpCut || string(req.Args) != `{"from":["10.0.0.2"]}` {
			t.Errorf("got %s %s", req.Op, req.Args)
		}
		fmt.Fprintf(replies, "{\"id\":%d,\"result\":{\"installed\":[\"10.0.0.2\"],"+
			"\"dropped\":{\"10.0.0.2\":7}}}\n", req.ID)
	}()
	got, err := c.Cut(t.Context(), CutArgs{From: []netip.Addr{a}})
	if err != nil {
		t.Fatal(err)
	}
	want := CutResult{Installed: []netip.Addr{a}, Dropped: map[netip.Addr]uint64{a: 7}}
	if d := cmp.Diff(got, want, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
		t.Errorf("got - want +\n%s", d)
	}
}

// TestRefusal keeps the kind of an error, by which a fault decides.
func TestRefusal(t *testing.T) {
	c, requests, replies := pair(t)
	go func() {
		fmt.Fprintf(replies, "{\"id\":%d,\"error\":{\"kind\":\"unable\",\"text\":\"no nftables\"}}\n",
			next(t, requests).ID)
	}()
	_, err := c.Dropped(t.Context())
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Kind != Unable || !strings.Contains(err.Error(), "no nftables") {
		t.Errorf("got %v, want an error of kind %s", err, Unable)
	}
}

// TestGiveUp ends a call by its context; the answer that comes late disturbs nobody.
func TestGiveUp(t *testing.T) {
	c, requests, replies := pair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	var late Request
	go func() {
		late = next(t, requests)
		cancel(why)
		req := next(t, requests)
		fmt.Fprintf(replies, "{\"id\":%d,\"result\":{\"state\":\"gone\"}}\n", late.ID)
		fmt.Fprintf(replies, "{\"id\":%d,\"result\":{\"state\":\"stopped\"}}\n", req.ID)
	}()
	if _, err := c.State(ctx); !errors.Is(err, why) {
		t.Errorf("got %v, want %v", err, why)
	}
	if n, err := c.State(t.Context()); err != nil || n.State != Stopped {
		t.Errorf("the next call: got %+v, %v", n, err)
	}
}

// TestEnd ends the stream: what waits and what comes later both fail, and say why.
func TestEnd(t *testing.T) {
	for _, c := range []struct{ name, last, why string }{
		{"the agent is gone", "", "ended"},
		{"the agent writes nonsense", "panic: no\n", "panic: no"},
		{"the agent's line never ends", strings.Repeat("x", MaxLine+1), "too long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, requests, replies := pair(t)
			go func() {
				next(t, requests)
				_, _ = io.WriteString(replies, c.last)
				replies.Close()
			}()
			_, err := client.State(t.Context())
			if !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("the call that waits: got %v, want %q in it", err, c.why)
			}
			<-client.Done()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			go requests.Scan()
			if _, err := client.State(ctx); !errors.Is(err, ErrClosed) {
				t.Errorf("the next call: got %v, want %v", err, ErrClosed)
			}
		})
	}
}
