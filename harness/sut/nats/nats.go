// Package nats is the adapter of NATS JetStream as a key-value store: a bucket that is replicated
// by NATS's own Raft. It sends bare requests and tries none twice, which the client library's own
// key-value store does.
package nats

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// Name is what --system takes.
const Name = "nats"

const (
	clientPort  = 4222
	clusterPort = 6222
	volume      = "/data"
	// dialTimeout is shorter than any operation may take.
	dialTimeout = 500 * time.Millisecond
)

// Options says, for people, which options [New] takes.
const Options = "reads=leader|direct (any replica answers, as NATS's own clients ask for), " +
	"replicas=1|3|5"

// System is NATS JetStream. It is made by [New].
type System struct {
	direct   bool
	replicas int

	mu   sync.Mutex // guards made
	made bool       // the bucket has been made; it never is again
}

// New makes the system with options, see [Options].
func New(options map[string]string) (*System, error) {
	s := &System{replicas: 3}
	for name, value := range options {
		var ok bool
		switch name {
		case "reads":
			ok = value == "leader" || value == "direct"
			s.direct = value == "direct"
		case "replicas":
			var err error
			s.replicas, err = strconv.Atoi(value)
			ok = err == nil && (s.replicas == 1 || s.replicas == 3 || s.replicas == 5)
		default:
			return nil, fmt.Errorf("nats has no option %q; it has %s", name, Options)
		}
		if !ok {
			return nil, fmt.Errorf("option %s=%s of nats; it has %s", name, value, Options)
		}
	}
	return s, nil
}

// Name implements [sut.System].
func (s *System) Name() string { return Name }

// ElectionTimeout implements [sut.Timing]: NATS draws from 4 to 9 seconds, which can not be set.
func (s *System) ElectionTimeout() time.Duration { return 9 * time.Second }

// Command implements [sut.System].
func (s *System) Command(self sut.Node, all []sut.Node) sut.Command {
	routes := make([]string, len(all))
	for i, n := range all {
		routes[i] = url(n, clusterPort)
	}
	return sut.Command{DataDir: volume, Args: []string{
		"--name", string(self.ID), "--addr", self.Addr.String(), "--port", strconv.Itoa(clientPort),
		"--jetstream", "--store_dir", volume, "--cluster_name", "raftcheck",
		"--cluster", url(self, clusterPort), "--routes", strings.Join(routes, ","),
	}}
}

func url(n sut.Node, port uint16) string {
	return "nats://" + netip.AddrPortFrom(n.Addr, port).String()
}

// Dial implements [sut.System]. It connects with the first operation.
func (s *System) Dial(_ context.Context, n sut.Node) (sut.Conn, error) {
	return &Conn{url: url(n, clientPort), direct: s.direct}, nil
}

// Conn is a client of one node. A connection that broke is made anew for the next operation.
type Conn struct {
	url    string
	direct bool
	nc     *nats.Conn
}

// Close implements [sut.Conn].
func (c *Conn) Close() error {
	if c.nc != nil {
		c.nc.Close()
	}
	return nil
}

// connect connects with the node and with no other, whatever it tells of others. A node that is
// paused is not given up: pings come too seldom for that.
func (c *Conn) connect() (err error) {
	if c.nc != nil && c.nc.IsConnected() {
		return nil
	}
	_ = c.Close()
	c.nc, err = nats.Connect(c.url, nats.NoReconnect(), nats.Timeout(dialTimeout),
		nats.PingInterval(time.Hour), nats.IgnoreDiscoveredServers())
	return err
}

// ask sends a request and waits for its answer. Definite are that there is no connection, and that
// nobody listens: then the node has dropped the request.
func (c *Conn) ask(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	if err := c.connect(); err != nil {
		return nil, sut.Failed(fmt.Errorf("connect to %s: %w", c.url, err))
	}
	reply, err := c.nc.RequestMsgWithContext(ctx, m)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, sut.Failed(err)
	}
	return reply, err
}
