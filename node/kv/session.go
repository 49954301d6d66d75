package kv

import (
	"cmp"
	"container/list"
	"slices"
)

// The bounds of sessions. They are part of the state machine: a change of them is a change of what
// the same log means.
const (
	// MaxSessions may be open. One more, and the one that was used the longest time ago, as the log
	// counts, is closed.
	MaxSessions = 4096
	// MaxReplies are kept for a session. One more request, and the lowest is forgotten as if it
	// had been acknowledged.
	MaxReplies = 64
)

// sessions are the clients that want each of their requests carried out once, even if it is sent
// and logged several times (Ongaro's dissertation, §6.3). Nothing about them depends on a clock:
// they are opened, used and closed by entries of the log.
type sessions struct {
	byID map[uint64]*session
	// used has all sessions, the one used last at the front. Values are *session.
	used list.List
}

type session struct {
	id      uint64
	lastUse uint64 // index of the entry
	// Requests below floor have been acknowledged; their answers are gone.
	floor   uint64
	replies []reply // sorted by seq, all of them >= floor
	hash    uint64  // what the session adds to the digest
	place   *list.Element
}

type reply struct {
	seq uint64
	Result
}

func (s *sessions) len() int { return len(s.byID) }

func (m *Machine) openSession(index uint64) {
	if m.sessions.byID == nil {
		m.sessions.byID = map[uint64]*session{}
	}
	if m.sessions.len() >= MaxSessions {
		m.closeSession(m.sessions.used.Back().Value.(*session))
	}
	s := &session{id: index, floor: 1}
	m.addSession(s)
	m.touch(s, index)
}

func (m *Machine) addSession(s *session) {
	m.sessions.byID[s.id] = s
	s.place = m.sessions.used.PushFront(s)
}

func (m *Machine) closeSession(s *session) {
	delete(m.sessions.byID, s.id)
	m.sessions.used.Remove(s.place)
	m.digest -= s.hash
}

// touch notes the use of a session, after all changes to it.
func (m *Machine) touch(s *session, index uint64) {
	s.lastUse = index
	m.sessions.used.MoveToFront(s.place)
	m.rehash(s)
}

func (m *Machine) rehash(s *session) {
	m.digest -= s.hash
	s.hash = s.sum()
	m.digest += s.hash
}

// inSession carries out a command of a session unless that has been done before.
func (m *Machine) inSession(index uint64, c *Command) Result {
	s := m.sessions.byID[c.Session.ID]
	if s == nil {
		return Result{Code: CodeSessionUnknown}
	}
	switch c.Op {
	case OpCloseSession:
		m.closeSession(s)
		return Result{Done: true}
	case OpKeepSession:
		s.forget(c.Session.Ack)
		m.touch(s, index)
		return Result{Done: true}
	}
	s.forget(c.Session.Ack)
	defer m.touch(s, index)
	if c.Session.Seq < s.floor {
		return Result{Code: CodeSeqExpired}
	}
	i, done := slices.BinarySearchFunc(s.replies, c.Session.Seq, func(r reply, seq uint64) int {
		return cmp.Compare(r.seq, seq)
	})
	if done {
		return s.replies[i].Result
	}
	result := m.carryOut(index, c)
	s.replies = slices.Insert(s.replies, i, reply{c.Session.Seq, result})
	if len(s.replies) > MaxReplies {
		s.forget(s.replies[0].seq + 1)
	}
	return result
}

// forget drops the answers below ack.
func (s *session) forget(ack uint64) {
	if ack <= s.floor {
		return
	}
	s.floor = ack
	n := 0
	for n < len(s.replies) && s.replies[n].seq < ack {
		n++
	}
	s.replies = slices.Delete(s.replies, 0, n)
}

// sum is a hash of the whole session. Answers enter by their number alone: they follow from the
// log, and what they tell of the state is in the digest already.
func (s *session) sum() uint64 {
	h := mix(s.id) ^ mix(s.lastUse+1)*3 ^ mix(s.floor)*5
	for _, r := range s.replies {
		h = mix(h ^ r.seq)
	}
	return mix(h)
}
