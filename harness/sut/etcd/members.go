package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/harness/sut"
)

type member struct {
	ID       number   `json:"ID"`
	Name     string   `json:"name"`
	PeerURLs []string `json:"peerURLs"`
	Learner  bool     `json:"isLearner"`
}

// Changing is etcd whose members can be changed while it runs, which has to be asked for: a member
// that is removed ends by itself, and looks like a node that died.
type Changing struct{ *System }

var _ sut.Membership = Changing{}

// Joining implements [sut.Membership]: etcd has to be told first, and gives whoever comes back a
// new identity, with which an old disk does not go.
func (s Changing) Joining(self sut.Node, members, _ []sut.Node) sut.Joining {
	return sut.Joining{
		Command:  s.command(self, append(slices.Clone(members), self), "existing"),
		AddFirst: true, Wipe: true,
	}
}

// list asks for the members, as far as the node knows.
func (c *Conn) list(ctx context.Context) ([]member, error) {
	var a struct {
		Members []member `json:"members"`
	}
	err := c.call(ctx, "cluster/member/list", object{"linearizable": false}, &a)
	return a.Members, err
}

// Members implements [sut.Membership].
func (s Changing) Members(ctx context.Context, n sut.Node) ([]sut.NodeID, error) {
	c := s.conn(n)
	defer c.Close()
	list, err := c.list(ctx)
	if err != nil {
		return nil, fmt.Errorf("members by %s: %w", n.ID, err)
	}
	var ids []sut.NodeID
	for _, m := range list {
		if !m.Learner {
			ids = append(ids, s.idOf(m))
		}
	}
	return ids, nil
}

// idOf is the name of a member. One that has not started yet has only an address.
func (s *System) idOf(m member) sut.NodeID {
	if m.Name != "" || len(m.PeerURLs) == 0 {
		return sut.NodeID(m.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addresses[m.PeerURLs[0]]
}

// knows remembers the addresses of nodes.
func (s *System) knows(nodes ...sut.Node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addresses == nil {
		s.addresses = map[string]sut.NodeID{}
	}
	for _, n := range nodes {
		s.addresses[peerURL(n)] = n.ID
	}
}

// SetMembers implements [sut.Membership]. etcd adds or removes one member at a time.
func (s Changing) SetMembers(ctx context.Context, n sut.Node, want []sut.Node) error {
	s.knows(append(slices.Clone(want), n)...)
	c := s.conn(n)
	defer c.Close()
	return s.setMembers(ctx, c, want)
}

func (s *System) setMembers(ctx context.Context, c *Conn, want []sut.Node) error {
	list, err := c.list(ctx)
	if err != nil { // and nothing has been changed
		return sut.Failed(fmt.Errorf("ask for the members: %w", err))
	}
	var gone []member
	fresh := slices.Clone(want)
	for _, m := range list {
		id := s.idOf(m)
		fresh = slices.DeleteFunc(fresh, func(n sut.Node) bool { return n.ID == id })
		if !slices.ContainsFunc(want, func(n sut.Node) bool { return n.ID == id }) {
			gone = append(gone, m)
		}
	}
	switch {
	case len(gone)+len(fresh) == 0:
		return nil
	case len(gone)+len(fresh) > 1:
		return sut.Failed(fmt.Errorf("etcd changes one member at a time: %w", errors.ErrUnsupported))
	case len(fresh) == 1:
		return c.call(ctx, "cluster/member/add",
			object{"peerURLs": []string{peerURL(fresh[0])}}, &struct{}{})
	}
	return c.call(ctx, "cluster/member/remove", object{"ID": fmt.Sprint(gone[0].ID)}, &struct{}{})
}

// Transfer implements [sut.Membership].
func (s Changing) Transfer(ctx context.Context, n, to sut.Node) error {
	s.knows(n, to)
	c := s.conn(n)
	defer c.Close()
	list, err := c.list(ctx)
	if err != nil {
		return sut.Failed(fmt.Errorf("ask for the members: %w", err))
	}
	for _, m := range list {
		if s.idOf(m) == to.ID {
			return c.call(ctx, "maintenance/transfer-leadership",
				object{"targetID": fmt.Sprint(m.ID)}, &struct{}{})
		}
	}
	return sut.Failed(fmt.Errorf("%s is no member", to.ID))
}
