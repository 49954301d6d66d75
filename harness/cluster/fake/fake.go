// Package fake is a cluster in memory: a store that is linearizable, or wrong in a way that one
// asks for, on nodes that can be cut off, stopped and killed. With it whole runs take milliseconds
// and their verdicts are known beforehand. It has no consensus of its own: one lock is its quorum.
package fake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Behaviour is how the store behaves. The zero value is correct.
type Behaviour struct {
	// LocalReads: a node answers reads from its own state without asking anyone.
	LocalReads bool
	// EarlyAck: a leader acknowledges a write before a majority has it, so that what it took
	// while it was cut off is lost.
	EarlyAck bool
	// Diverge: the state of n1 differs from that of the others.
	Diverge bool
	// NeverReady: no node ever knows a leader.
	NeverReady bool
	// DieAtBoot: n1 ends when it is started.
	DieAtBoot bool
	// TwiceApplied: a request that is sent again is carried out again.
	TwiceApplied bool
	// TornReads: of two reads in a transaction the second sometimes finds what was there before.
	TornReads bool
	// Crash: n1 panics, unasked, when it has served this many requests; 0 for never.
	Crash int
}

// Store is both the system and the runtime: it makes clusters of itself. One Store makes one
// cluster at a time.
type Store struct {
	behaviour Behaviour

	mu   sync.Mutex // guards all below
	up   *memory
	seen int // requests served by n1
	// dialled counts connections.
	dialled uint64
}

// New makes a Store.
func New(b Behaviour) *Store { return &Store{behaviour: b} }

// Name implements [sut.System] and [cluster.Runtime].
func (*Store) Name() string { return "fake" }

// Command implements [sut.System]; there is no process to start.
func (*Store) Command(sut.Node, []sut.Node) sut.Command { return sut.Command{} }

// Check implements [cluster.Runtime].
func (*Store) Check(context.Context) error { return nil }

// Up implements [cluster.Runtime].
func (s *Store) Up(_ context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	m := &memory{store: s, exits: make(chan cluster.Exit, 1024), term: 1, logDir: spec.LogDir,
		lines: spec.Lines, answers: map[[2]uint64]any{},
		before: map[string]cell{}}
	for i := range spec.Nodes + spec.Spares {
		id := sut.NodeID(fmt.Sprintf("n%d", i+1))
		addr := netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)})
		n := &node{
			memory: m, Node: sut.Node{ID: id, Addr: addr}, member: true,
			state: cluster.Running, cut: map[sut.NodeID]bool{}, muted: map[sut.NodeID]bool{},
			dropped: map[sut.NodeID]uint64{}, data: map[string]cell{},
		}
		m.nodes = append(m.nodes, n)
		if i >= spec.Nodes {
			n.member, n.state = false, cluster.Gone
			m.spares = append(m.spares, n.Node)
			continue
		}
		m.log(id, "started")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.up != nil {
		return nil, errors.New("the fake store is up already")
	}
	s.up = m
	m.elect()
	if s.behaviour.DieAtBoot {
		m.log("n1", "panic: no configuration")
		m.nodes[0].end(2, false)
	}
	return m, nil
}

// memory is a cluster of the Store. The Store's lock guards all of it.
type memory struct {
	store  *Store
	nodes  []*node
	spares []sut.Node // those of the nodes that were not started at first
	exits  chan cluster.Exit
	down   bool
	logDir string
	lines  func(sut.NodeID, []byte)

	term    uint64
	leader  *node
	answers map[[2]uint64]any // to requests that may come again
	before  map[string]cell   // what each key held before its last change
}

// cell is what stands under a key.
type cell struct {
	text    string
	version uint64
}

// node is one member. Its data is what it has heard of; the leader's is what counts.
type node struct {
	*memory
	sut.Node
	member  bool
	state   cluster.State
	resumed chan struct{} // closed when it is stopped no more; nil if it is not stopped
	cut     map[sut.NodeID]bool
	muted   map[sut.NodeID]bool // cut for data
	dropped map[sut.NodeID]uint64
	lonely  bool // cut off from clients
	shaped  map[sut.NodeID]cluster.Link
	carried uint64 // packets on shaped links
	wall    cluster.Skew
	mono    cluster.Skew
	skewed  time.Time
	data    map[string]cell
	have    uint64 // how many writes it has applied
	knows   uint64 // the newest term that it has heard of
	leads   bool   // it believes to lead; it may be wrong when it is cut off
}

// Nodes implements [cluster.Cluster].
func (m *memory) Nodes() []sut.Node {
	var all []sut.Node
	for _, n := range m.nodes[:len(m.nodes)-len(m.spares)] {
		all = append(all, n.Node)
	}
	return all
}

// Host implements [cluster.Cluster].
func (m *memory) Host(id sut.NodeID) cluster.Host {
	for _, n := range m.nodes {
		if n.ID == id {
			return n
		}
	}
	return nil
}

// Exits implements [cluster.Cluster].
func (m *memory) Exits() <-chan cluster.Exit { return m.exits }

// Collect implements [cluster.Cluster]; the logs are written as things happen.
func (m *memory) Collect(context.Context, string) error { return nil }

// Down implements [cluster.Cluster].
func (m *memory) Down(context.Context) error {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if m.down {
		return nil
	}
	m.down = true
	for _, n := range m.nodes {
		n.resume()
		n.state = cluster.Gone
	}
	close(m.exits)
	m.store.up = nil
	return nil
}

// log appends a line to a node's log.
func (m *memory) log(id sut.NodeID, line string) {
	if m.lines != nil {
		m.lines(id, []byte(line+"\n"))
	}
	if m.logDir == "" {
		return
	}
	name := filepath.Join(m.logDir, string(id)+".log")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return // a run that needs the log will miss it
	}
	defer f.Close()
	fmt.Fprintln(f, line)
}

// hears says whether packets get from one node to another.
func (n *node) hears(from *node) bool {
	return n == from || !n.cut[from.ID] && !n.muted[from.ID]
}

// talks says whether two nodes run and can talk to each other.
func talks(a, b *node) bool {
	return a.state == cluster.Running && b.state == cluster.Running && a.hears(b) && b.hears(a)
}

// quorum says whether a majority can talk to n.
func (m *memory) quorum(n *node) bool {
	with, of := 0, 0 // of the members
	for _, o := range m.nodes {
		if o.member {
			of++
			if talks(n, o) {
				with++
			}
		}
	}
	return n.member && with > of/2
}

// elect lets everything take effect that follows from a change: a leader without a majority is no
// leader, the next one is the node that has applied most, and whoever it can talk to catches up.
func (m *memory) elect() {
	if m.store.behaviour.NeverReady {
		return
	}
	if m.leader == nil || !m.quorum(m.leader) {
		old := m.leader
		m.leader = nil
		for _, n := range m.nodes {
			if m.quorum(n) && (m.leader == nil || n.have > m.leader.have) {
				m.leader = n
			}
		}
		if m.leader != nil && m.leader != old {
			m.lead(m.leader)
		}
	}
	for _, n := range m.nodes {
		alone := m.leader == nil || !talks(n, m.leader)
		// A deposed leader does not know until somebody tells it.
		n.leads = n == m.leader || alone && n.leads && n.state != cluster.Gone
		if !alone {
			n.knows = m.term
		}
	}
	m.replicate()
}

// lead makes n the leader of the next term.
func (m *memory) lead(n *node) {
	m.leader = n
	m.term++
	m.log(n.ID, fmt.Sprintf(`{"ev":"vote_granted","term":%d}`, m.term))
	m.log(n.ID, fmt.Sprintf(`{"ev":"become_leader","term":%d}`, m.term))
	m.log(n.ID, fmt.Sprintf(`{"ev":"commit","term":%d}`, m.term))
}

// replicate brings everyone whom the leader can talk to up to date.
func (m *memory) replicate() {
	if m.leader == nil {
		return
	}
	for _, n := range m.nodes {
		if n == m.leader || !talks(n, m.leader) || n.have == m.leader.have && !n.astray() {
			continue
		}
		clear(n.data)
		maps.Copy(n.data, m.leader.data)
		n.have = m.leader.have
	}
}

// astray says whether n may hold what the leader does not: it took writes alone.
func (n *node) astray() bool { return n.store.behaviour.EarlyAck }

// Cut implements [cluster.Host].
func (n *node) Cut(_ context.Context, from []sut.NodeID) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	return n.cutOff(n.cut, from)
}

// cutOff makes from the nodes in a set of those that are not heard.
func (n *node) cutOff(set map[sut.NodeID]bool, from []sut.NodeID) error {
	for _, id := range from {
		if n.Host(id) == nil {
			return fmt.Errorf("there is no node %s", id)
		}
	}
	clear(set)
	for _, id := range from {
		set[id] = true
	}
	n.elect()
	return nil
}

// Dropped implements [cluster.Host]. The nodes are thought to talk all the time: between two calls
// each link that is cut has dropped one packet more.
func (n *node) Dropped(context.Context) (map[sut.NodeID]uint64, error) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	all := map[sut.NodeID]uint64{}
	for _, set := range []map[sut.NodeID]bool{n.cut, n.muted} {
		for id := range set {
			n.dropped[id]++
		}
	}
	maps.Copy(all, n.dropped)
	return all, nil
}

// Signal implements [cluster.Host].
func (n *node) Signal(_ context.Context, sig cluster.Signal) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	switch {
	case n.state == cluster.Gone:
		return nil
	case sig == cluster.Kill:
		n.end(137, true)
	case sig == cluster.Stop && n.state == cluster.Running:
		n.state, n.resumed = cluster.Stopped, make(chan struct{})
	case sig == cluster.Cont:
		n.resume()
		n.state = cluster.Running
	}
	n.elect()
	return nil
}

func (n *node) resume() {
	if n.resumed != nil {
		close(n.resumed)
		n.resumed = nil
	}
}

// end ends the process.
func (n *node) end(code int, asked bool) {
	n.resume()
	n.state, n.leads = cluster.Gone, false
	n.exits <- cluster.Exit{Node: n.ID, At: time.Now(), Code: code, Asked: asked}
}

// State implements [cluster.Host].
func (n *node) State(context.Context) (cluster.State, error) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	return n.state, nil
}

// Start implements [cluster.Host].
func (n *node) Start(context.Context) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	if n.state == cluster.Gone {
		n.state = cluster.Running
		n.log(n.ID, "started")
	}
	n.elect()
	return nil
}
