package fake

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// The store in memory has no packets, so that what is done to them does nothing but count.

// CutData implements [cluster.DataCutter]: to this store data is all there is.
func (n *node) CutData(_ context.Context, from []sut.NodeID) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	return n.cutOff(n.muted, from)
}

// CutClients implements [cluster.ClientCutter].
func (n *node) CutClients(_ context.Context, cut bool) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.lonely = cut
	return nil
}

// Limit implements [cluster.Limiter]: the store in memory needs nothing.
func (n *node) Limit(context.Context, cluster.Limits) error { return nil }

// Reset implements [cluster.Resetter]: there is one connection to each peer.
func (n *node) Reset(_ context.Context, peers []sut.NodeID) (int, error) { return len(peers), nil }

// Freeze implements [cluster.Freezer].
func (n *node) Freeze(ctx context.Context) error { return n.Signal(ctx, cluster.Stop) }

// Thaw implements [cluster.Freezer].
func (n *node) Thaw(ctx context.Context) error { return n.Signal(ctx, cluster.Cont) }

// Shape implements [cluster.Shaper].
func (n *node) Shape(_ context.Context, to map[sut.NodeID]cluster.Link, _ uint64) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.shaped = to
	return nil
}

// Shaped implements [cluster.Shaper]: between two calls each shaped link has carried one packet.
func (n *node) Shaped(context.Context) (map[sut.NodeID]cluster.LinkCount, error) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	counts := map[sut.NodeID]cluster.LinkCount{}
	for id := range n.shaped {
		n.carried++
		counts[id] = cluster.LinkCount{Packets: n.carried}
	}
	return counts, nil
}

// SkewClocks implements [cluster.ClockSkewer]: the store in memory looks at no clock.
func (n *node) SkewClocks(_ context.Context, wall, monotonic *cluster.Skew) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	n.wall, n.mono, n.skewed = cluster.Skew{}, cluster.Skew{}, time.Now()
	if wall != nil {
		n.wall = *wall
	}
	if monotonic != nil {
		n.mono = *monotonic
	}
	return nil
}

// ReadClocks implements [cluster.ClockSkewer].
func (n *node) ReadClocks(context.Context) (wall, monotonic time.Duration, err error) {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	ahead := func(s cluster.Skew) time.Duration {
		if s.Rate == 0 {
			return s.Offset
		}
		return s.Offset + time.Duration((s.Rate-1)*float64(time.Since(n.skewed)))
	}
	return ahead(n.wall), ahead(n.mono), nil
}

// ErrDown says that there is no cluster.
var ErrDown = errors.New("the fake store is not up")

// conn is a client of one node.
type conn struct {
	store *Store
	id    sut.NodeID
	hint  *sut.NodeID // shared with views

	serial uint64
	seq    uint64 // the last request that may be sent again
	once   uint64 // the number of the request of a view, from 1
}

// Dial implements [sut.System].
func (s *Store) Dial(_ context.Context, n sut.Node) (sut.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialled++
	return &conn{store: s, id: n.ID, serial: s.dialled, hint: new(sut.NodeID)}, nil
}

// Status implements [sut.System].
func (s *Store) Status(ctx context.Context, n sut.Node) (sut.Status, error) {
	st := sut.Status{ID: n.ID}
	err := s.serve(ctx, n.ID, func(n *node) error {
		st.Term, st.Role = n.knows, "follower"
		st.Commit, st.Applied = n.have, n.have
		if n.leads {
			st.Role = "leader"
		}
		if n.leader != nil && (n == n.leader || talks(n, n.leader)) {
			st.Leader = n.leader.ID
		}
		st.Digest = n.digest()
		return nil
	})
	return st, err
}

// digest is the same for equal data.
func (n *node) digest() string {
	var sum uint64
	for k, v := range n.data {
		h := fnv.New64a()
		fmt.Fprintf(h, "%s=%s", k, v.text)
		sum += h.Sum64()
	}
	if n.store.behaviour.Diverge && n.ID == "n1" {
		sum++
	}
	return fmt.Sprintf("%016x", sum)
}

// serve calls do on the node as soon as its process runs. A process that is gone refuses; one that
// is stopped leaves the client waiting.
func (s *Store) serve(ctx context.Context, id sut.NodeID, do func(*node) error) error {
	for {
		s.mu.Lock()
		if s.up == nil {
			s.mu.Unlock()
			return sut.Failed(ErrDown)
		}
		n := s.up.Host(id).(*node)
		if n.lonely {
			s.mu.Unlock()
			<-ctx.Done()
			return ctx.Err()
		}
		switch n.state {
		case cluster.Running:
			err := do(n)
			s.mu.Unlock()
			return err
		case cluster.Gone:
			s.mu.Unlock()
			return sut.Failed(errors.New("connection refused"))
		}
		resumed := n.resumed
		s.mu.Unlock()
		select {
		case <-resumed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// request is serve for the requests of clients.
func (c *conn) request(ctx context.Context, do func(*node) error) error {
	*c.hint = ""
	return c.store.serve(ctx, c.id, func(n *node) error {
		if n.ID == "n1" && c.store.behaviour.Crash > 0 {
			if c.store.seen++; c.store.seen == c.store.behaviour.Crash {
				n.log(n.ID, "panic: runtime error: index out of range [3] with length 3")
				n.end(2, false)
				n.elect()
				return errors.New("EOF")
			}
		}
		return do(n)
	})
}

// Leader is whom the node last named.
func (c *conn) Leader() sut.NodeID { return *c.hint }

// Close implements [sut.Conn].
func (c *conn) Close() error { return nil }

// lead refuses if n does not lead.
func (c *conn) lead(n *node) error {
	switch {
	case n == n.leader, n.leads && c.store.behaviour.EarlyAck:
		return nil
	case n.leader == nil || !talks(n, n.leader):
		return sut.Failed(errors.New("no_leader"))
	}
	*c.hint = n.leader.ID
	return sut.Failed(errors.New("not_leader"))
}
