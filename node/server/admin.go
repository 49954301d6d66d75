package server

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
)

// adminRequest is the body of the admin operations; each uses some fields.
type adminRequest struct {
	Voters    []string `json:"voters"`
	Learners  []string `json:"learners"`
	To        string   `json:"to"`
	Wait      bool     `json:"wait"` // answer when the change is done, not when it has begun
	TimeoutMS int64    `json:"timeout_ms"`
}

// onLoop runs f on the loop and waits for what it returns.
func (s *Server) onLoop(f func(*loop) *Error) *Error {
	ch := make(chan *Error, 1)
	if !s.inbox.call(func(l *loop) { ch <- f(l) }) {
		return errStopping()
	}
	select {
	case e := <-ch:
		return e
	case <-s.loop.stopped:
		return errStopping()
	}
}

// waitFor asks for the status until cond holds.
func (s *Server) waitFor(deadline time.Time, cond func(Status) bool) *Error {
	for {
		st, err := s.Status()
		if err != nil {
			return errStopping()
		}
		if cond(st) {
			return nil
		}
		if time.Now().After(deadline) {
			return errTimeout(false)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// serveMembers starts a change to the membership named in the request, whatever it is now.
func (s *Server) serveMembers(w http.ResponseWriter, r *http.Request) {
	var req adminRequest
	e := readBody(w, r, &req)
	var target raft.Config
	if e == nil {
		target, e = parseTarget(req)
	}
	var timeout time.Duration
	if e == nil {
		timeout, e = parseTimeout(req.TimeoutMS)
	}
	if e == nil {
		e = s.onLoop(func(l *loop) *Error { return s.change(l, target) })
	}
	if e == nil && req.Wait {
		e = s.waitFor(time.Now().Add(timeout), func(st Status) bool {
			return st.Commit >= st.ConfigIndex && len(st.OldVoters) == 0 &&
				slices.Equal(st.Voters, names(target.Voters)) &&
				slices.Equal(st.Learners, names(target.Learners))
		})
	}
	if e != nil {
		s.writeError(w, e)
		return
	}
	writeBody(w, http.StatusOK, []byte("{\"ok\":true}\n"))
}

func parseTarget(req adminRequest) (target raft.Config, e *Error) {
	for _, list := range []struct {
		names []string
		ids   *[]raft.ID
	}{{req.Voters, &target.Voters}, {req.Learners, &target.Learners}} {
		for _, name := range list.names {
			id, err := ParseID(name)
			if err != nil {
				return target, errBadRequest(err.Error())
			}
			*list.ids = append(*list.ids, id)
		}
		slices.Sort(*list.ids)
		if len(slices.Compact(slices.Clone(*list.ids))) < len(*list.ids) {
			return target, errBadConfig("a member is named twice")
		}
	}
	return target, nil
}

// change asks the core for a change, provided that the way to each member is known.
func (s *Server) change(l *loop, target raft.Config) *Error {
	if l.node.Role() == raft.Leader {
		for _, id := range slices.Concat(target.Voters, target.Learners) {
			if id != s.cfg.ID && s.transport.Addr(id) == "" {
				return errBadConfig(fmt.Sprintf("no address of %s is known: start it first", id))
			}
		}
	}
	switch err := l.node.ChangeTo(l.now(), target); {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrConfigBusy):
		return errConfigBusy(err.Error())
	case errors.Is(err, raft.ErrBadConfig):
		return errBadConfig(err.Error())
	default:
		return l.refusal(err)
	}
}

// serveTransfer hands leadership to the node named, or to the one that has most of the log.
func (s *Server) serveTransfer(w http.ResponseWriter, r *http.Request) {
	var req adminRequest
	e := readBody(w, r, &req)
	var to raft.ID
	if e == nil && req.To != "" {
		var err error
		if to, err = ParseID(req.To); err != nil {
			e = errBadRequest(err.Error())
		}
	}
	var timeout time.Duration
	if e == nil {
		timeout, e = parseTimeout(req.TimeoutMS)
	}
	if e == nil {
		e = s.onLoop(func(l *loop) *Error { return l.transferTo(&to) })
	}
	if e == nil && req.Wait {
		e = s.waitFor(time.Now().Add(timeout), func(st Status) bool { return st.Leader == to.String() })
	}
	if e != nil {
		s.writeError(w, e)
		return
	}
	writeBody(w, http.StatusOK, fmt.Appendf(nil, "{\"to\":%q}\n", to))
}

// transferTo starts a transfer; zero is filled in with the voter that has most of the log.
func (l *loop) transferTo(to *raft.ID) *Error {
	if *to == 0 {
		var best raft.Index
		st := l.node.Status()
		for _, p := range st.Peers {
			if slices.Contains(st.Config.Voters, p.ID) && (*to == 0 || p.Match > best) {
				*to, best = p.ID, p.Match
			}
		}
	}
	switch err := l.node.Transfer(l.now(), *to); {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotVoter):
		return errBadConfig(err.Error())
	default:
		return l.refusal(err)
	}
}

// serveSnapshot takes a snapshot now, on this node.
func (s *Server) serveSnapshot(w http.ResponseWriter, _ *http.Request) {
	type taken struct {
		index uint64
		size  int64
	}
	ch := make(chan taken, 1)
	s.applier.add(applyJob{view: func(v kv.View) {
		s.inbox.callAlways(func(l *loop) {
			l.snapshots.save(l, v, func(size int64) { ch <- taken{v.Applied(), size} })
		})
	}})
	select {
	case t := <-ch:
		if t.size == 0 {
			s.writeError(w, &Error{http.StatusConflict, "no_snapshot",
				"there is nothing new, or a snapshot is being taken already", true, 0})
			return
		}
		writeBody(w, http.StatusOK, fmt.Appendf(nil, "{\"index\":%d,\"bytes\":%d}\n", t.index, t.size))
	case <-s.loop.stopped:
		s.writeError(w, errStopping())
	case <-time.After(maxTimeout):
		s.writeError(w, errTimeout(false))
	}
}
