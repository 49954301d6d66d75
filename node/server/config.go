package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// The defaults of [Config].
const (
	DefaultClientPort      = 7000
	DefaultPeerPort        = 7100
	DefaultHeartbeat       = 50 * time.Millisecond
	DefaultElectionTimeout = 300 * time.Millisecond
	DefaultCluster         = "raft"
	DefaultSnapshotBytes   = 64 << 20
	DefaultSnapshotEntries = 200_000
)

// Config says what node to run. Zero means the default where one is named.
type Config struct {
	ID      raft.ID
	Cluster string // nodes of other clusters are refused; "raft"
	// Peers are the members at the cluster's first start, this node among them, and any others
	// whose addresses are worth knowing.
	Peers []Peer
	// Voters are those of the Peers that vote at the first start; empty means all of them. A node
	// that is not among them waits to be added.
	Voters []raft.ID
	Data   string // directory
	Listen string // address to bind; all interfaces if empty

	PeerTLS PeerTLS // for Raft traffic; none if empty

	Heartbeat       time.Duration // of a leader; 50 ms
	ElectionTimeout time.Duration // the shortest; the longest is twice that; 300 ms
	SegmentSize     int64         // of the write-ahead log, in bytes; 16 MiB

	// A snapshot is taken when the log has grown by SnapshotBytes and twice the last snapshot, or
	// by SnapshotEntries; 64 MiB, 200,000.
	SnapshotBytes   int64
	SnapshotEntries int
	// KeepTail is how many entries before a snapshot stay in memory, so that a follower that is a
	// little behind needs no snapshot; 4096.
	KeepTail int

	// openFS opens the data directory; tests put faults under it.
	openFS func(dir string) wal.FS

	Trace         io.Writer // one JSON line per protocol event
	TraceMessages bool      // also for messages that carry the log, heartbeats and reads
	TraceEntries  bool      // also for each entry that is applied, with its command

	// LeaseReads lets a leader answer reads without asking; see raft.Options for what it rests on.
	LeaseReads  bool
	MaxDriftPPM int // 500
	Log         *slog.Logger
}

// Peer is where a node can be reached.
type Peer struct {
	ID                   raft.ID
	Host                 string
	PeerPort, ClientPort int
}

// PeerAddr is the address for Raft traffic.
func (p Peer) PeerAddr() string { return net.JoinHostPort(p.Host, strconv.Itoa(p.PeerPort)) }

// ClientAddr is the address of the HTTP API.
func (p Peer) ClientAddr() string { return net.JoinHostPort(p.Host, strconv.Itoa(p.ClientPort)) }

// ParseID reads "n3".
func ParseID(s string) (raft.ID, error) {
	digits, ok := strings.CutPrefix(s, "n")
	n, err := strconv.ParseUint(digits, 10, 64)
	if !ok || err != nil || n == 0 || raft.ID(n).String() != s {
		return 0, fmt.Errorf("node id %q is not n and a number from 1", s)
	}
	return raft.ID(n), nil
}

// ParseIDs reads "n1,n2"; nothing gives nothing.
func ParseIDs(s string) ([]raft.ID, error) {
	var ids []raft.ID
	for field := range strings.SplitSeq(s, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		id, err := ParseID(field)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// ParsePeers reads "n1=10.0.0.11,n2=10.0.0.12:7101:7001": hosts, with a peer port and a client port
// where they differ from the ones given.
func ParsePeers(s string, peerPort, clientPort int) ([]Peer, error) {
	var peers []Peer
	for field := range strings.SplitSeq(s, ",") {
		if field = strings.TrimSpace(field); field == "" {
			continue
		}
		name, addr, ok := strings.Cut(field, "=")
		if !ok {
			return nil, fmt.Errorf("peer %q is not id=host", field)
		}
		id, err := ParseID(name)
		if err != nil {
			return nil, err
		}
		p := Peer{ID: id, Host: addr, PeerPort: peerPort, ClientPort: clientPort}
		if i := strings.LastIndexByte(addr, ']'); strings.Contains(addr[i+1:], ":") {
			ports := strings.Split(addr[i+1:], ":")
			if len(ports) != 3 {
				return nil, fmt.Errorf("peer %q is not id=host or id=host:peerport:clientport", field)
			}
			p.Host = addr[:i+1] + ports[0]
			if p.PeerPort, err = parsePort(ports[1]); err != nil {
				return nil, fmt.Errorf("peer %s: %w", id, err)
			}
			if p.ClientPort, err = parsePort(ports[2]); err != nil {
				return nil, fmt.Errorf("peer %s: %w", id, err)
			}
		}
		p.Host = strings.Trim(p.Host, "[]")
		if p.Host == "" {
			return nil, fmt.Errorf("peer %s has no host", id)
		}
		peers = append(peers, p)
	}
	return peers, nil
}

func parsePort(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("port %q is not a number from 1 to 65535", s)
	}
	return int(n), nil
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	if c.openFS == nil {
		c.openFS = func(dir string) wal.FS { return wal.OSDir(dir) }
	}
	if c.Cluster == "" {
		c.Cluster = DefaultCluster
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = DefaultHeartbeat
	}
	if c.ElectionTimeout == 0 {
		c.ElectionTimeout = DefaultElectionTimeout
	}
	if c.SnapshotBytes == 0 {
		c.SnapshotBytes = DefaultSnapshotBytes
	}
	if c.SnapshotEntries == 0 {
		c.SnapshotEntries = DefaultSnapshotEntries
	}
	if len(c.Voters) == 0 {
		for _, p := range c.Peers {
			c.Voters = append(c.Voters, p.ID)
		}
	}
	c.Voters = slices.Sorted(slices.Values(c.Voters))
	if c.Trace == nil {
		c.Trace = io.Discard
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports all mistakes, joined.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	complain := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf(format, args...))
	}
	if c.ID == 0 {
		complain("the node has no id")
	}
	if c.Data == "" {
		complain("no data directory")
	}
	seen := map[raft.ID]bool{}
	addrs := map[string]raft.ID{}
	for _, p := range c.Peers {
		if seen[p.ID] {
			complain("peer %s is named twice", p.ID)
		}
		seen[p.ID] = true
		if other, dup := addrs[p.PeerAddr()]; dup {
			complain("peers %s and %s have the same address %s", other, p.ID, p.PeerAddr())
		}
		addrs[p.PeerAddr()] = p.ID
	}
	if c.ID != 0 && !seen[c.ID] {
		complain("the peers lack this node, %s", c.ID)
	}
	for _, id := range c.Voters {
		if !seen[id] {
			complain("voter %s is none of the peers", id)
		}
	}
	if len(slices.Compact(slices.Clone(c.Voters))) != len(c.Voters) && len(errs) == 0 {
		complain("a voter is named twice")
	}
	if c.Heartbeat < 0 || c.ElectionTimeout < 2*c.Heartbeat {
		complain("election timeout %v is less than two heartbeats of %v", c.ElectionTimeout, c.Heartbeat)
	}
	return errors.Join(errs...)
}

// self is the peer that this node is.
func (c Config) self() Peer {
	i := slices.IndexFunc(c.Peers, func(p Peer) bool { return p.ID == c.ID })
	return c.Peers[i]
}
