package fake

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

var (
	_ cluster.Reserve = (*memory)(nil)
	_ cluster.Joiner  = (*node)(nil)
	_ sut.Membership  = (*Store)(nil)
)

// Spares implements [cluster.Reserve].
func (m *memory) Spares() []sut.Node { return slices.Clone(m.spares) }

// Join implements [cluster.Joiner]: the node starts without data.
func (n *node) Join(context.Context, sut.Command) error {
	n.store.mu.Lock()
	defer n.store.mu.Unlock()
	if n.state != cluster.Gone {
		n.end(137, true)
	}
	clear(n.data)
	n.have, n.knows, n.state = 0, 0, cluster.Running
	n.log(n.ID, "started")
	n.elect()
	return nil
}

// Joining implements [sut.Membership].
func (*Store) Joining(_ sut.Node, _, _ []sut.Node) sut.Joining { return sut.Joining{} }

// Members implements [sut.Membership].
func (s *Store) Members(ctx context.Context, n sut.Node) (ids []sut.NodeID, err error) {
	err = s.serve(ctx, n.ID, func(n *node) error {
		for _, o := range n.nodes {
			if o.member {
				ids = append(ids, o.ID)
			}
		}
		return nil
	})
	return ids, err
}

// SetMembers implements [sut.Membership]. The old members and the new ones must agree.
func (s *Store) SetMembers(ctx context.Context, via sut.Node, want []sut.Node) error {
	return s.serve(ctx, via.ID, func(n *node) error {
		if n != n.leader {
			return sut.Failed(errors.New("not_leader"))
		}
		with := 0
		for _, w := range want {
			if o, ok := n.Host(w.ID).(*node); ok && talks(n, o) {
				with++
			}
		}
		if with <= len(want)/2 {
			return sut.Failed(errors.New("the new members are no majority"))
		}
		for _, o := range n.nodes {
			o.member = slices.ContainsFunc(want, func(w sut.Node) bool { return w.ID == o.ID })
		}
		n.log(n.ID, `{"ev":"config"}`)
		n.elect()
		return nil
	})
}

// Transfer implements [sut.Membership].
func (s *Store) Transfer(ctx context.Context, via, to sut.Node) error {
	return s.serve(ctx, via.ID, func(n *node) error {
		o, ok := n.Host(to.ID).(*node)
		switch {
		case n != n.leader:
			return sut.Failed(errors.New("not_leader"))
		case !ok || !n.quorum(o) || !talks(n, o):
			return sut.Failed(fmt.Errorf("%s can not lead", to.ID))
		}
		n.leader = nil
		n.lead(o)
		n.elect()
		return nil
	})
}
