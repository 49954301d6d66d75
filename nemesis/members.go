package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// members keeps who the members are, as faults have made them.
type members struct {
	change sync.Mutex // one change at a time

	mu     sync.Mutex // guards all below
	now    []sut.NodeID
	next   []sut.NodeID        // of a change that is under way, or of which nobody knows; nil for none
	joined map[sut.NodeID]bool // has been started as a newcomer, or was a member from the start
	lost   map[sut.NodeID]bool // lost its disk, and the system does not take it back
	moved  bool                // they were others once than at the beginning
}

// list is who the members are now. The slice is the caller's.
func (m *members) list(e *Env) []sut.NodeID {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.init(e)
	return slices.Clone(m.now)
}

// init begins with the nodes of the cluster. The caller has mu.
func (m *members) init(e *Env) {
	if m.now != nil {
		return
	}
	m.joined, m.lost = map[sut.NodeID]bool{}, map[sut.NodeID]bool{}
	for _, n := range e.Cluster.Nodes() {
		m.now = append(m.now, n.ID)
		m.joined[n.ID] = true
	}
}

// configurations lists the sets of nodes of which a majority each has to agree.
func (m *members) configurations(e *Env) [][]sut.NodeID {
	now := m.list(e)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == nil {
		return [][]sut.NodeID{now}
	}
	return [][]sut.NodeID{now, slices.Clone(m.next)}
}

// settle notes that the members are ids, and that nothing is under way.
func (m *members) settle(ids []sut.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now, m.next = sorted(ids), nil
}

func (m *members) begin(next []sut.NodeID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next = sorted(next)
}

// sorted puts nodes in the order of their numbers: n2 is before n10.
func sorted(ids []sut.NodeID) []sut.NodeID {
	ids = slices.Clone(ids)
	number := func(id sut.NodeID) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(string(id), "n"))
		return n
	}
	slices.SortFunc(ids, func(a, b sut.NodeID) int {
		if d := number(a) - number(b); d != 0 {
			return d
		}
		return strings.Compare(string(a), string(b))
	})
	return ids
}

// changedMembers lists the members, and is nil if they are still those of the beginning.
func (e *Env) changedMembers() []sut.NodeID {
	now := e.ids()
	var first []sut.NodeID
	for _, n := range e.Cluster.Nodes() {
		first = append(first, n.ID)
	}
	e.members.mu.Lock()
	defer e.members.mu.Unlock()
	if e.members.moved = e.members.moved || !slices.Equal(now, first); !e.members.moved {
		return nil
	}
	return now
}

// canChange says why the members can not be changed, if so.
func (e *Env) canChange() error {
	if _, ok := e.System.(sut.Membership); !ok {
		return Skip("the members of this system can not be changed")
	}
	return nil
}

// newcomers finds n nodes that can become members: none that a fault holds down. Fresh ones never
// were members.
func (e *Env) newcomers(n int, fresh bool) ([]sut.NodeID, error) {
	now := e.ids()
	down := e.hosts.down()
	e.members.mu.Lock()
	defer e.members.mu.Unlock()
	var old, free []sut.NodeID
	for _, id := range e.all() {
		switch {
		case slices.Contains(now, id), e.members.lost[id], down[id]:
		case !e.members.joined[id]:
			free = append(free, id)
		case !fresh:
			old = append(old, id)
		}
	}
	if old = append(old, free...); len(old) < n {
		return nil, Skip("%d nodes could join, and %d are needed", len(old), n)
	}
	return old[:n], nil
}

// start makes the process of a newcomer run, among members.
func (e *Env) start(ctx context.Context, id sut.NodeID, members []sut.NodeID) error {
	how := e.joining(id, members)
	host := e.Cluster.Host(id)
	e.members.mu.Lock()
	known := e.members.joined[id]
	e.members.mu.Unlock()
	if known && !how.Wipe {
		if err := host.Start(ctx); err != nil {
			return fmt.Errorf("start %s: %w", id, err)
		}
		return expect(ctx, e, id, cluster.Running)
	}
	joiner, ok := host.(cluster.Joiner)
	if !ok {
		return Skip("nodes can not join here")
	}
	if err := joiner.Join(ctx, how.Command); err != nil {
		return fmt.Errorf("start %s: %w", id, err)
	}
	e.members.mu.Lock()
	defer e.members.mu.Unlock()
	e.members.joined[id] = true
	return nil
}

func (e *Env) joining(id sut.NodeID, members []sut.NodeID) sut.Joining {
	var self sut.Node
	var among []sut.Node
	for _, n := range e.nodes() {
		if n.ID == id {
			self = n
		}
		if slices.Contains(members, n.ID) {
			among = append(among, n)
		}
	}
	m, _ := e.System.(sut.Membership) // whoever joins has asked for it
	return m.Joining(self, among, e.nodes())
}

// change has the newcomers take the place of those who leave, in one change of the membership, and
// in two where the system has to know of a newcomer before it runs.
func (e *Env) change(ctx context.Context, come, leave []sut.NodeID) error {
	if err := e.canChange(); err != nil {
		return err
	}
	e.members.change.Lock()
	defer e.members.change.Unlock()
	now := e.ids()
	// Whoever chose them did so before it was alone.
	for _, id := range come {
		if slices.Contains(now, id) && !slices.Contains(leave, id) {
			return Skip("%s has become a member meanwhile", id)
		}
	}
	if !subset(leave, now) {
		return Skip("some of %v have left meanwhile", leave)
	}
	want := slices.DeleteFunc(slices.Clone(now), func(id sut.NodeID) bool {
		return slices.Contains(leave, id)
	})
	if len(come) > 0 && e.joining(come[0], now).AddFirst {
		return e.changeThenStart(ctx, want, come)
	}
	err := each(come, func(id sut.NodeID) error { return e.start(ctx, id, now) })
	if err != nil {
		return err
	}
	return e.setMembers(ctx, append(want, come...))
}

// changeThenStart makes want the members and lets newcomers follow one by one.
func (e *Env) changeThenStart(ctx context.Context, want, come []sut.NodeID) error {
	if len(come) > 1 {
		return Skip("this system takes newcomers in one at a time")
	}
	if len(want) < len(e.ids()) {
		if err := e.setMembers(ctx, want); err != nil {
			return err
		}
	}
	for _, id := range come {
		if err := e.setMembers(ctx, append(want, id)); err != nil {
			return err
		}
		if err := e.start(ctx, id, e.ids()); err != nil {
			return err
		}
	}
	return nil
}

// MemberOp is a line of the history about the members: what a fault asked of a node, and again how
// that ended.
type MemberOp struct {
	Op      string       `json:"op"` // "set-members" or "transfer"
	Members []sut.NodeID `json:"members,omitempty"`
	To      sut.NodeID   `json:"to,omitempty"`
	// Type is as that of client operations: "invoke", then "ok", "fail" or "info".
	Type  string `json:"type"`
	Error string `json:"error,omitempty"`
}

// asked writes op down, does it, and writes down how it ended.
func (e *Env) asked(via sut.NodeID, op MemberOp, do func() error) error {
	note := func(kind string, err error) {
		op.Type = kind
		if err != nil {
			op.Error = err.Error()
		}
		if e.Note != nil {
			e.Note("membership", via, op)
		}
	}
	note("invoke", nil)
	err := do()
	switch {
	case err == nil:
		note("ok", nil)
	case sut.Definite(err):
		note("fail", err)
	default:
		note("info", err)
	}
	return err
}

const (
	// changeLimit bounds how long a change is asked for again and again.
	changeLimit = 8 * time.Second
	// changePause lies between two tries.
	changePause = 100 * time.Millisecond
)

// setMembers asks whoever leads, again and again, until the members are those of want. The caller
// has members.change.
func (e *Env) setMembers(ctx context.Context, want []sut.NodeID) error {
	want = sorted(want)
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	e.members.begin(want)
	unknown := false // whether a change may be under way
	var last error
	for ctx.Err() == nil {
		via := e.leads(ctx)
		if via == "" {
			last = errors.New("nobody leads")
			rest(ctx, changePause)
			continue
		}
		last = e.asked(via, MemberOp{Op: "set-members", Members: want}, func() error {
			return e.Admin.SetMembers(ctx, via, want)
		})
		switch {
		case last == nil:
			e.members.settle(want)
			return nil
		case errors.Is(last, errors.ErrUnsupported) && !unknown:
			e.members.settle(e.ids())
			return Skip("%v", last)
		case !sut.Definite(last):
			unknown = true
		}
		rest(ctx, changePause)
	}
	if !unknown {
		e.members.settle(e.ids())
	}
	return fmt.Errorf("make %v the members within %v: %w", want, changeLimit, last)
}

// rest waits for d or for the end of ctx.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// refresh learns how a change ended of which nobody knew. It is to be called when all is healed.
func (e *Env) refresh(ctx context.Context) error {
	e.members.mu.Lock()
	open := e.members.next != nil
	e.members.mu.Unlock()
	if !open {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, changeLimit)
	defer cancel()
	sets := e.members.configurations(e)
	var last error
	err := poll(ctx, func() bool {
		via := e.leads(ctx)
		if via == "" {
			return false
		}
		var ids []sut.NodeID
		if ids, last = e.Admin.Members(ctx, via); last != nil {
			return false
		}
		ids = sorted(ids)
		for _, set := range sets {
			if slices.Equal(ids, set) {
				e.members.settle(ids)
				return true
			}
		}
		last = fmt.Errorf("%s says that the members are %v", via, ids)
		return false
	})
	if err != nil {
		return errors.Join(errors.New("nobody knows who the members are"), err, last)
	}
	return nil
}
