// Package etcd is the adapter of etcd, 3.5 and later, over the JSON gateway that every etcd serves
// beside gRPC. It pins a node and never retries, which etcd's own client does not promise.
package etcd

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/harness/sut/web"
)

// Name is what --system takes.
const Name = "etcd"

const (
	clientPort = 2379
	peerPort   = 2380
	volume     = "/data"
	// dataDir is within the volume, so that etcd makes it with the permissions that it wants.
	dataDir = volume + "/etcd"
	// Heartbeat and election are what the documentation advises for a network as quick as a
	// bridge, in milliseconds: ten round trips at the least.
	heartbeatMS = "50"
	electionMS  = "500"
)

// Options says, for people, which options [New] takes.
const Options = "reads=linearizable|serializable, members=fixed|change (one that is removed ends " +
	"by itself, and counts as dead), args=FLAGS (further flags of etcd), " +
	"retries=N (a broken client: it tries each request again after half a second)"

// System is etcd. Its zero value has no options.
type System struct {
	serializable bool
	retries      int
	args         []string

	mu sync.Mutex // guards what follows
	// addresses are those of nodes that have been named, by where they talk among themselves.
	addresses map[string]sut.NodeID
	names     map[number]sut.NodeID // by member id, as it stands in answers
	applied   map[sut.NodeID]uint64 // by node, when it was last asked
	led       map[sut.NodeID]number // by node, the newest term in which it has shown that it led
}

// New makes the system with options, see [Options].
func New(options map[string]string) (sut.System, error) {
	s := &System{}
	changing := false
	for name, value := range options {
		switch name {
		case "reads":
			if value != "linearizable" && value != "serializable" {
				return nil, fmt.Errorf("option reads=%s of etcd: want linearizable or serializable", value)
			}
			s.serializable = value == "serializable"
		case "members":
			if value != "fixed" && value != "change" {
				return nil, fmt.Errorf("option members=%s of etcd: want fixed or change", value)
			}
			changing = value == "change"
		case "retries":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > maxRetries {
				return nil, fmt.Errorf("option retries=%s of etcd: want 1 to %d", value, maxRetries)
			}
			s.retries = n
		case "args":
			s.args = strings.Fields(value)
		default:
			return nil, fmt.Errorf("etcd has no option %q; it has %s", name, Options)
		}
	}
	if changing {
		return Changing{s}, nil
	}
	return s, nil
}

const (
	maxRetries = 100
	// patience is how long a client that tries again waits for an answer.
	patience = 500 * time.Millisecond
)

// Name implements [sut.System]. A client that breaks its contract is part of what is tested,
// so that nobody takes what comes of it for a bug of etcd.
func (s *System) Name() string {
	if s.retries > 0 {
		return "etcd through a client that tries again"
	}
	return Name
}

// ElectionTimeout implements [sut.Timing]: etcd draws between one and two of its timeouts.
func (s *System) ElectionTimeout() time.Duration { return time.Second }

// Command implements [sut.System].
func (s *System) Command(self sut.Node, all []sut.Node) sut.Command {
	return s.command(self, all, "new")
}

// command starts self in a cluster that is "new", or "existing".
func (s *System) command(self sut.Node, all []sut.Node, state string) sut.Command {
	peers := make([]string, len(all))
	for i, n := range all {
		peers[i] = string(n.ID) + "=" + peerURL(n)
	}
	client := "http://" + netip.AddrPortFrom(self.Addr, clientPort).String()
	args := []string{
		"--name", string(self.ID), "--data-dir", dataDir, "--logger", "zap", "--log-level", "warn",
		"--listen-peer-urls", peerURL(self), "--initial-advertise-peer-urls", peerURL(self),
		"--listen-client-urls", client, "--advertise-client-urls", client,
		"--initial-cluster", strings.Join(peers, ","), "--initial-cluster-token", "raftcheck",
		"--initial-cluster-state", state,
		"--heartbeat-interval", heartbeatMS, "--election-timeout", electionMS,
	}
	return sut.Command{Args: append(args, s.args...), DataDir: volume}
}

// Abilities implements [sut.Able].
func (s *System) Abilities() []sut.Ability {
	return []sut.Ability{
		sut.AbleKV, sut.AbleDelete, sut.AbleRange, sut.AbleTxn, sut.AbleGuard, sut.AbleStale,
		sut.AbleVersions, sut.AbleWatch,
	}
}

func peerURL(n sut.Node) string {
	return "http://" + netip.AddrPortFrom(n.Addr, peerPort).String()
}

// Dial implements [sut.System]. It connects with the first request.
func (s *System) Dial(_ context.Context, n sut.Node) (sut.Conn, error) { return s.conn(n), nil }

func (s *System) conn(n sut.Node) *Conn {
	return &Conn{
		web: web.New(netip.AddrPortFrom(n.Addr, clientPort)), serializable: s.serializable,
		retries: s.retries,
	}
}

// Conn is a client of one node.
type Conn struct {
	web          *web.Client
	serializable bool
	retries      int
}

// Close implements [sut.Conn].
func (c *Conn) Close() error { return c.web.Close() }

// call asks for a method of etcd's API and reads its answer.
func (c *Conn) call(ctx context.Context, path string, body, answer any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return sut.Failed(fmt.Errorf("%s: %w", path, err))
	}
	err = c.once(ctx, path, raw, answer)
	for range c.retries { // only the broken client has any
		if err == nil || sut.Definite(err) || ctx.Err() != nil {
			break
		}
		if err = c.once(ctx, path, raw, answer); sut.Definite(err) {
			err = fmt.Errorf("tried again: %w", errors.New(err.Error())) // the first may have happened
		}
	}
	return err
}

// once asks once.
func (c *Conn) once(ctx context.Context, path string, body []byte, answer any) error {
	if c.retries > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, patience)
		defer cancel()
	}
	status, got, err := c.web.Do(ctx, web.Request{
		Method: "POST", Path: "/v3/" + path, Type: "application/json", Body: body,
	})
	if err != nil {
		return err
	}
	if status != 200 {
		return refused(status, got)
	}
	if err := json.Unmarshal(got, answer); err != nil {
		return fmt.Errorf("answer %.100q: %w", got, err)
	}
	return nil
}

// number is a 64-bit integer. The gateway writes it as a string, and zero not at all; members among
// themselves write it as a number.
type number uint64

// UnmarshalJSON implements [json.Unmarshaler].
func (n *number) UnmarshalJSON(raw []byte) error {
	v, err := strconv.ParseUint(strings.Trim(string(raw), `"`), 10, 64)
	*n = number(v)
	return err
}

// text is a key or a value as the gateway wants it.
func text(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
