package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
)

// Status is what GET /v1/status answers.
type Status struct {
	ID        string     `json:"id"`
	Term      raft.Term  `json:"term"`
	Role      string     `json:"role"`
	Leader    string     `json:"leader,omitempty"`
	Commit    raft.Index `json:"commit"`
	Applied   raft.Index `json:"applied"`
	LastIndex raft.Index `json:"last_index"`
	LastTerm  raft.Term  `json:"last_term"`
	Durable   raft.Index `json:"durable"`
	First     raft.Index `json:"first_index"`
	// Digest is over the whole state after Applied.
	Digest      string       `json:"digest"`
	Keys        int          `json:"keys"`
	Voters      []string     `json:"voters"`
	OldVoters   []string     `json:"old_voters,omitempty"` // while the configuration is joint
	Learners    []string     `json:"learners,omitempty"`
	ConfigIndex raft.Index   `json:"config_index"` // where the membership stands in the log
	Snapshot    raft.Index   `json:"snapshot"`
	LogBytes    int          `json:"log_bytes"` // payload of the log in memory
	Sessions    int          `json:"sessions"`
	Pending     int          `json:"pending"` // writes appended and not decided
	Transfer    string       `json:"transfer,omitempty"`
	Peers       []PeerStatus `json:"peers,omitempty"` // the leader's view
	Incarnation string       `json:"incarnation"`
	Cluster     string       `json:"cluster"`
}

// PeerStatus is what a leader knows of another member.
type PeerStatus struct {
	ID       string     `json:"id"`
	Match    raft.Index `json:"match"`
	Next     raft.Index `json:"next"`
	State    string     `json:"state"`
	Inflight int        `json:"inflight"`
	SeenMS   int64      `json:"seen_ms"` // since it was last heard of
}

const statusLimit = 2 * time.Second

// Status asks the loop for a picture of the node.
func (s *Server) Status() (Status, error) {
	ch := make(chan Status, 1)
	ok := s.inbox.call(func(l *loop) { ch <- s.picture(l) })
	if !ok {
		return Status{}, errStopping()
	}
	select {
	case st := <-ch:
		return st, nil
	case <-s.loop.stopped:
		return Status{}, errStopping()
	case <-time.After(statusLimit):
		return Status{}, errTimeout(true)
	}
}

func (s *Server) picture(l *loop) Status {
	st, now := l.node.Status(), l.now()
	a := s.applier.state.Load()
	out := Status{
		ID: st.ID.String(), Term: st.Term, Role: st.Role.String(), Leader: name(st.Leader),
		Commit: st.Commit, Applied: a.index, LastIndex: st.Last, LastTerm: st.LastTerm,
		Durable: st.Durable, First: st.First,
		Digest: fmt.Sprintf("%016x", a.digest), Keys: a.keys,
		Voters: names(st.Config.Voters), OldVoters: names(st.Config.Old),
		Learners: names(st.Config.Learners), Snapshot: st.Snapshot.Index,
		ConfigIndex: st.ConfigAt, LogBytes: st.LogBytes, Sessions: a.sessions, Pending: l.writes.len(),
		Transfer: name(st.Transfer), Incarnation: s.identity.Incarnation, Cluster: s.identity.Cluster,
	}
	for _, p := range st.Peers {
		out.Peers = append(out.Peers, PeerStatus{
			p.ID.String(), p.Match, p.Next, p.State, p.Inflight,
			time.Duration(now - p.LastSeen).Milliseconds(),
		})
	}
	return out
}

func name(id raft.ID) string {
	if id == 0 {
		return ""
	}
	return id.String()
}

func names(ids []raft.ID) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = id.String()
	}
	return out
}

func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	st, err := s.Status()
	if err != nil {
		s.writeError(w, errStopping())
		return
	}
	body, err := json.Marshal(st)
	if err != nil {
		s.writeError(w, &Error{Status: http.StatusInternalServerError, Code: "internal",
			Message: err.Error(), Definite: true})
		return
	}
	writeBody(w, http.StatusOK, append(body, '\n'))
}

func (s *Server) serveReady(w http.ResponseWriter, _ *http.Request) {
	st, err := s.Status()
	switch {
	case err != nil:
		s.writeError(w, errStopping())
	case st.Leader == "":
		s.writeError(w, errNotLeader(0))
	default:
		writeBody(w, http.StatusOK, []byte("{\"ready\":true}\n"))
	}
}
