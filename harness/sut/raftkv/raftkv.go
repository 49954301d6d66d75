// Package raftkv is the adapter of our own store, raftnode: HTTP and JSON, one connection to one
// node, no retry and no redirect.
package raftkv

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// clientPort is where a node serves clients.
const clientPort = 7000

// dataDir is where a node keeps its data.
const dataDir = "/data"

// dialTimeout is shorter than any operation may take, so that a node which does not even accept a
// connection gives a definite error.
const dialTimeout = 500 * time.Millisecond

// System is raftnode. The zero value is ready for use.
type System struct{}

// Name implements [sut.System].
func (System) Name() string { return "raftkv" }

// MainPackage implements [sut.Builder].
func (System) MainPackage() string { return "./cmd/raftnode" }

// ElectionTimeout implements [sut.Timing]: twice the node's default election timeout.
func (System) ElectionTimeout() time.Duration { return 600 * time.Millisecond }

// Command implements [sut.System].
func (System) Command(self sut.Node, all []sut.Node) sut.Command {
	peers := make([]string, len(all))
	for i, n := range all {
		peers[i] = string(n.ID) + "=" + n.Addr.String()
	}
	return sut.Command{
		Args: []string{
			"--id", string(self.ID), "--peers", strings.Join(peers, ","), "--data", dataDir,
			"--trace-entries",
		},
		DataDir: dataDir,
	}
}

// Dial implements [sut.System]. It connects with the first request.
func (System) Dial(_ context.Context, n sut.Node) (sut.Conn, error) { return newConn(n), nil }

// Status implements [sut.System].
func (System) Status(ctx context.Context, n sut.Node) (sut.Status, error) {
	var st sut.Status
	err := getStatus(ctx, n, &st)
	return st, err
}

// Conn is a client of one node.
type Conn struct {
	base   string
	client *http.Client
	leader *sut.NodeID // shared with views

	session, seq uint64    // the open session, if it is not 0, and the last number used in it
	once         *identity // of the request of a view that [Conn.Once] made
}

func newConn(n sut.Node) *Conn {
	transport := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		MaxIdleConnsPerHost: 1,
		DisableCompression:  true,
	}
	return &Conn{
		leader: new(sut.NodeID),
		base:   "http://" + netip.AddrPortFrom(n.Addr, clientPort).String(),
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Leader is whom the node called the leader when it last refused because it does not lead.
func (c *Conn) Leader() sut.NodeID { return *c.leader }

// Close implements [sut.Conn].
func (c *Conn) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

type keyRequest struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

type valueAnswer struct {
	Found   bool   `json:"found"`
	Value   string `json:"value"`
	Version uint64 `json:"version"`
	Swapped bool   `json:"swapped"`
}

func (a valueAnswer) value() sut.Value {
	return sut.Value{Data: a.Value, Present: a.Found, Version: a.Version}
}

// Get implements [sut.KV]: a linearizable read.
func (c *Conn) Get(ctx context.Context, key string) (sut.Value, error) {
	var a valueAnswer
	if err := c.post(ctx, "get", keyRequest{Key: key}, &a); err != nil {
		return sut.Value{}, err
	}
	return a.value(), nil
}

// Put implements [sut.KV].
func (c *Conn) Put(ctx context.Context, key, value string) error {
	return c.post(ctx, "put", keyRequest{Key: key, Value: value}, &struct{}{})
}

// CAS implements [sut.KV].
func (c *Conn) CAS(ctx context.Context, key, old, new string) (sut.CASResult, error) {
	res, _, err := c.CASVersioned(ctx, key, old, new)
	return res, err
}

func (c *Conn) post(ctx context.Context, op string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err == nil && c.once != nil {
		raw, err = c.once.join(raw)
	}
	if err != nil {
		return sut.Failed(fmt.Errorf("%s: %w", op, err))
	}
	url := c.base + "/v1/" + op
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(raw))
	if err != nil {
		return sut.Failed(fmt.Errorf("%s: %w", op, err))
	}
	req.Header.Set("Content-Type", "application/json")
	// Without a way to read the body twice net/http can not send the request again by itself.
	req.GetBody = nil
	return c.send(req, answer)
}

// refusal is the body of an answer that is not 200.
type refusal struct {
	Error    string     `json:"error"`
	Code     string     `json:"code"`
	Definite bool       `json:"definite"`
	Leader   sut.NodeID `json:"leader"`
}

// send carries a request out. Definite are a node that could not be reached at all, and what the
// node itself calls definite; whatever else goes wrong leaves it open.
func (c *Conn) send(req *http.Request, answer any) error {
	*c.leader = ""
	resp, err := c.client.Do(req)
	if err != nil {
		if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
			return sut.Failed(dial)
		}
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, answer); err != nil {
			return fmt.Errorf("answer %.100q: %w", body, err)
		}
		return nil
	}
	var r refusal
	if json.Unmarshal(body, &r) != nil || r.Code == "" {
		return fmt.Errorf("status %d: %.100q", resp.StatusCode, body)
	}
	*c.leader = r.Leader
	err = fmt.Errorf("%s: %s", r.Code, r.Error)
	if r.Definite {
		return sut.Failed(err)
	}
	return err
}

// maxAnswer bounds how much of an answer is read.
const maxAnswer = 16 << 20
