package etcd

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"

	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/harness/sut/web"
)

type answerHeader struct {
	MemberID number `json:"member_id"`
	Revision number `json:"revision"`
}

type statusAnswer struct {
	Header       answerHeader `json:"header"`
	Leader       number       `json:"leader"`
	RaftIndex    number       `json:"raftIndex"`
	RaftTerm     number       `json:"raftTerm"`
	AppliedIndex number       `json:"raftAppliedIndex"`
	Learner      bool         `json:"isLearner"`
}

// Status implements [sut.System]. The digest is etcd's own hash of all keys and all their
// revisions. It is asked for only when the node has applied nothing since it was asked last, since
// etcd writes everything to disk before it counts, and is told only if nothing was applied
// meanwhile.
func (s *System) Status(ctx context.Context, n sut.Node) (sut.Status, error) {
	c := s.conn(n)
	defer c.Close()
	return s.status(ctx, n, c)
}

func (s *System) status(ctx context.Context, n sut.Node, c *Conn) (sut.Status, error) {
	var a statusAnswer
	if err := c.call(ctx, "maintenance/status", object{}, &a); err != nil {
		return sut.Status{}, fmt.Errorf("status of %s: %w", n.ID, err)
	}
	st := sut.Status{
		ID: n.ID, Term: uint64(a.RaftTerm), Role: role(a),
		Commit: uint64(a.RaftIndex), Applied: uint64(a.AppliedIndex),
	}
	if st.Role == "leader" && !s.leads(ctx, n.ID, c, a) {
		st.Role = "candidate"
	}
	var err error
	if st.Leader, err = s.nameOf(ctx, c, a.Leader); err != nil {
		return sut.Status{}, fmt.Errorf("members by %s: %w", n.ID, err)
	}
	if s.quiet(n.ID, st.Applied) {
		st.Digest = s.digest(ctx, n, c, a)
	}
	return st, nil
}

func role(a statusAnswer) string {
	switch {
	case a.Learner:
		return "learner"
	case a.Leader == 0:
		return "candidate"
	case a.Leader == a.Header.MemberID:
		return "leader"
	}
	return "follower"
}

// leads says whether the node that answered a, and calls itself the leader, leads in the term that
// it named. What etcd tells is the term of the last entry that it has applied: one that was elected
// just now names an earlier one. So the node has to carry out a linearizable read, for which a
// leader needs an applied entry of its own term, and to tell the same once more. Once in each term
// is enough.
func (s *System) leads(ctx context.Context, n sut.NodeID, c *Conn, a statusAnswer) bool {
	s.mu.Lock()
	known := s.led[n] == a.RaftTerm
	s.mu.Unlock()
	if known {
		return true
	}
	if !c.leads(ctx, a) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.led == nil {
		s.led = map[sut.NodeID]number{}
	}
	s.led[n] = a.RaftTerm
	return true
}

func (c *Conn) leads(ctx context.Context, a statusAnswer) bool {
	read := object{"key": text("\x00"), "count_only": true}
	var after statusAnswer
	return c.call(ctx, "kv/range", read, &struct{}{}) == nil &&
		c.call(ctx, "maintenance/status", object{}, &after) == nil &&
		after.Leader == a.Leader && after.RaftTerm == a.RaftTerm
}

// quiet says whether n had applied as much when it was last asked, and remembers it.
func (s *System) quiet(n sut.NodeID, applied uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.applied[n]
	if s.applied == nil {
		s.applied = map[sut.NodeID]uint64{}
	}
	s.applied[n] = applied
	return before == applied
}

// digest is the hash of the node's keys as they were at a; empty if it was not to be had.
func (s *System) digest(ctx context.Context, n sut.Node, c *Conn, a statusAnswer) string {
	hash, err := hashKV(ctx, n, c)
	if err != nil {
		return ""
	}
	var after statusAnswer
	if c.call(ctx, "maintenance/status", object{}, &after) != nil ||
		after.AppliedIndex != a.AppliedIndex {
		return ""
	}
	return fmt.Sprintf("%08x at revision %d", hash.Hash, hash.Header.Revision)
}

type hashAnswer struct {
	Header answerHeader `json:"header"`
	Hash   uint32       `json:"hash"`
}

// hashKV asks for the hash. The gateway has it since 3.6 only; before, members ask each other for
// it where they talk among themselves.
func hashKV(ctx context.Context, n sut.Node, c *Conn) (hash hashAnswer, err error) {
	if c.call(ctx, "maintenance/hashkv", object{}, &hash) == nil {
		return hash, nil
	}
	peer := web.New(netip.AddrPortFrom(n.Addr, peerPort))
	defer peer.Close()
	status, body, err := peer.Do(ctx, web.Request{
		Method: http.MethodGet, Path: "/members/hashkv", Type: "application/json",
		Body: []byte(`{"revision":0}`),
	})
	if err != nil {
		return hash, err
	}
	if status != http.StatusOK {
		return hash, refused(status, body)
	}
	err = json.Unmarshal(body, &hash)
	return hash, err
}

// nameOf is the name of a member by its id; empty for none, and for one that has not started yet.
func (s *System) nameOf(ctx context.Context, c *Conn, id number) (sut.NodeID, error) {
	if id == 0 {
		return "", nil
	}
	s.mu.Lock()
	name, known := s.names[id]
	s.mu.Unlock()
	if known {
		return name, nil
	}
	list, err := c.list(ctx)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = map[number]sut.NodeID{}
	}
	for _, m := range list {
		if m.Name != "" {
			s.names[m.ID] = sut.NodeID(m.Name)
		}
	}
	return s.names[id], nil
}
