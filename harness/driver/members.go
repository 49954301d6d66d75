package driver

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// change is a question or a wish about who the members are. Exactly one of Members, Transfer and
// neither is set: neither asks who they are.
type change struct {
	// Node is who is asked.
	Node sut.NodeID `json:"node"`
	// Members are to be the voting members.
	Members []sut.NodeID `json:"members,omitempty"`
	// Transfer is to lead.
	Transfer sut.NodeID `json:"transfer,omitempty"`
}

// changeLimit bounds a change; one that has not come about then may still.
const changeLimit = 10 * time.Second

// Members asks via who the members are. An error that wraps [errors.ErrUnsupported] says that the
// system can not do that; so it is with SetMembers and Transfer.
func (l *Local) Members(ctx context.Context, via sut.NodeID) ([]sut.NodeID, error) {
	return l.change(ctx, change{Node: via})
}

// SetMembers asks via to make want the voting members, and returns when they are.
func (l *Local) SetMembers(ctx context.Context, via sut.NodeID, want []sut.NodeID) error {
	_, err := l.change(ctx, change{Node: via, Members: want})
	return err
}

// Transfer asks via to hand leadership over.
func (l *Local) Transfer(ctx context.Context, via, to sut.NodeID) error {
	_, err := l.change(ctx, change{Node: via, Transfer: to})
	return err
}

// change carries c out, and returns who the members are if that was asked.
func (l *Local) change(ctx context.Context, c change) ([]sut.NodeID, error) {
	m, ok := l.system.(sut.Membership)
	if !ok {
		return nil, sut.Failed(fmt.Errorf("the members of %s can not be changed: %w",
			l.system.Name(), errors.ErrUnsupported))
	}
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	via, err := l.named(c.Node)
	if err != nil {
		return nil, err
	}
	switch {
	case c.Transfer != "":
		to, err := l.named(c.Transfer)
		if err != nil {
			return nil, err
		}
		return nil, m.Transfer(ctx, via, to)
	case len(c.Members) == 0:
		return m.Members(ctx, via)
	}
	var want []sut.Node
	for _, id := range c.Members {
		n, err := l.named(id)
		if err != nil {
			return nil, err
		}
		want = append(want, n)
	}
	return nil, m.SetMembers(ctx, via, want)
}

func (l *Local) named(id sut.NodeID) (sut.Node, error) {
	n, ok := l.nodes[id]
	if !ok {
		return n, sut.Failed(fmt.Errorf("there is no node %q", id))
	}
	return n, nil
}

// changed is how a change ended, on its way through a stream.
type changed struct {
	Members     []sut.NodeID `json:"members,omitempty"`
	Error       string       `json:"error,omitempty"`
	Definite    bool         `json:"definite,omitempty"`
	Unsupported bool         `json:"unsupported,omitempty"`
}

func wrapChanged(ids []sut.NodeID, err error) *changed {
	c := &changed{Members: ids, Definite: sut.Definite(err),
		Unsupported: errors.Is(err, errors.ErrUnsupported)}
	if err != nil {
		c.Error = err.Error()
	}
	return c
}

// unsupported is an error of the other side that says that something can not be done at all.
type unsupported struct{ text string }

func (u unsupported) Error() string { return u.text }

// Is makes it an [errors.ErrUnsupported].
func (u unsupported) Is(target error) bool { return target == errors.ErrUnsupported }

func (c *changed) unwrap() ([]sut.NodeID, error) {
	if c.Error == "" {
		return c.Members, nil
	}
	err := errors.New(c.Error)
	if c.Unsupported {
		err = unsupported{c.Error}
	}
	if c.Definite {
		err = sut.Failed(err)
	}
	return nil, err
}

// Members asks via who the members are; see [Local.Members].
func (r *Remote) Members(ctx context.Context, via sut.NodeID) ([]sut.NodeID, error) {
	return r.change(ctx, change{Node: via})
}

// SetMembers asks via to make want the voting members; see [Local.SetMembers].
func (r *Remote) SetMembers(ctx context.Context, via sut.NodeID, want []sut.NodeID) error {
	_, err := r.change(ctx, change{Node: via, Members: want})
	return err
}

// Transfer asks via to hand leadership over; see [Local.Transfer].
func (r *Remote) Transfer(ctx context.Context, via, to sut.NodeID) error {
	_, err := r.change(ctx, change{Node: via, Transfer: to})
	return err
}

func (r *Remote) change(ctx context.Context, c change) ([]sut.NodeID, error) {
	rep, err := r.askWithin(ctx, request{Change: &c}, changeLimit+5*time.Second)
	switch {
	case err != nil:
		return nil, err
	case rep.Changed == nil:
		return nil, errors.New("the client driver answered nonsense")
	}
	return rep.Changed.unwrap()
}
