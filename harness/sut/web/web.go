// Package web is the HTTP client of adapters: it talks to one node and to no other, follows no
// redirect, and sends no write twice.
package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

const (
	// dialTimeout is shorter than any operation may take, so that a node which does not even
	// accept a connection gives a definite error.
	dialTimeout = 500 * time.Millisecond
	// maxAnswer bounds how much of an answer is read, in bytes.
	maxAnswer = 64 << 20
)

// Client talks to one node. It does one thing at a time.
type Client struct {
	base   string
	client *http.Client
}

// New makes a client of what listens at addr. It connects with the first request.
func New(addr netip.AddrPort) *Client {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		MaxIdleConnsPerHost: 1,
		DisableCompression:  true,
	}
	return &Client{
		base: "http://" + addr.String(),
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Request is what is asked. Path begins with a slash; Type is the content type of Body. Only what
// reads may be a GET or HEAD: net/http sends such a one again when a connection that it had kept
// turns out to be dead.
type Request struct {
	Method, Path, Type string
	Body               []byte
}

// Do asks, and returns whatever the node answers. The error is definite if the node could not be
// reached at all; whatever else goes wrong leaves open what came of it.
func (c *Client) Do(ctx context.Context, r Request) (status int, body []byte, err error) {
	status, stream, err := c.Stream(ctx, r)
	if err != nil {
		return 0, nil, err
	}
	defer stream.Close()
	if body, err = io.ReadAll(io.LimitReader(stream, maxAnswer)); err != nil {
		return 0, nil, fmt.Errorf("read the answer: %w", err)
	}
	return status, body, nil
}

// Stream asks as [Client.Do] does, and returns the answer while it comes. The caller closes it.
func (c *Client) Stream(ctx context.Context, r Request) (int, io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, c.base+r.Path, bytes.NewReader(r.Body))
	if err != nil {
		return 0, nil, sut.Failed(fmt.Errorf("%s %s: %w", r.Method, r.Path, err))
	}
	if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	// Without a way to read the body twice net/http can not send the request again by itself.
	req.GetBody = nil
	resp, err := c.client.Do(req)
	if err != nil {
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			return 0, nil, sut.Failed(dial)
		}
		return 0, nil, err
	}
	return resp.StatusCode, resp.Body, nil
}

// Close lets the connection go.
func (c *Client) Close() error {
	c.client.CloseIdleConnections()
	return nil
}
