package raft_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/raftcheck/raftcheck/node/raft"
)

const ms = raft.Time(1e6)

// stage is a cluster on which a transcript is played. Nothing moves by itself: messages wait on
// their links until they are delivered, and the time stands still until it passes. Disks write at
// once unless they are stopped.
//
//	cluster N [spares=K] [prevote=off] [batch=BYTES] [keep=N]   n1…nN are the first members
//	timeout ID              let ID's election timeout (or its next heartbeat) come
//	pass MS                 let time pass for all
//	propose ID CMD…         read ID NUMBER     transfer ID TO
//	change ID voters=1,2 [learners=3]
//	deliver [FROM>TO]       deliver what waits (on one link), and what follows from it
//	step FROM>TO            deliver one message; drop FROM>TO loses what waits on a link
//	stop-disk ID            hold writes back; start-disk ID performs them
//	crash ID                lose what is not written; restart ID
//	snapshot ID             take a snapshot; fetch ID [fail] ends a fetch
//	status ID
type stage struct {
	t     *testing.T
	out   *bytes.Buffer
	now   raft.Time
	opts  raft.Options
	first raft.Config
	nodes []*actor
	links map[string][]raft.Message
}

// actor is a node on the stage.
type actor struct {
	id      raft.ID
	core    *raft.Node
	hard    raft.HardState
	snap    raft.SnapshotMeta
	entries []raft.Entry // on disk, from index 1 or the snapshot's end
	stopped bool
	writes  []raft.Output
	held    []raft.Outgoing
	fetch   *raft.SnapshotMeta
	applied raft.Index
}

func (s *stage) printf(format string, args ...any) { fmt.Fprintf(s.out, "  "+format+"\n", args...) }

func (s *stage) command(f []string) {
	switch f[0] {
	case "cluster":
		s.cluster(f[1:])
	case "deliver":
		s.deliver(f[1:])
	case "step", "drop":
		s.link(f[0], f[1])
	case "pass":
		s.pass(raft.Time(s.number(f[1])) * ms)
	default:
		s.nodeCommand(s.node(f[1]), f[0], f[2:])
	}
}

func (s *stage) nodeCommand(a *actor, what string, args []string) {
	switch what {
	case "timeout":
		s.now = max(s.now, a.core.Deadline())
		a.core.Tick(s.now)
	case "propose":
		var cmds [][]byte
		for _, c := range args {
			cmds = append(cmds, []byte(c))
		}
		if _, _, err := a.core.Propose(s.now, cmds); err != nil {
			s.printf("%v", err)
		}
	case "read":
		s.tell(a.core.Read(s.now, uint64(s.number(args[0]))))
	case "transfer":
		s.tell(a.core.Transfer(s.now, raft.ID(s.number(args[0]))))
	case "change":
		s.tell(a.core.ChangeTo(s.now, s.config(args)))
	case "stop-disk":
		a.stopped = true
	case "start-disk":
		a.stopped = false
		s.write(a)
	case "crash":
		a.core, a.writes, a.held, a.fetch = nil, nil, nil, nil
		return
	case "restart":
		s.start(a)
	case "snapshot":
		meta, ok := a.core.MetaAt(a.applied)
		if !ok {
			s.t.Fatalf("no snapshot at %d", a.applied)
		}
		a.snap = meta
		a.core.Snapshotted(meta)
	case "fetch":
		ok := len(args) == 0
		if ok {
			a.snap = *a.fetch
		}
		a.core.Installed(*a.fetch, ok)
	case "status":
		st := a.core.Status()
		s.printf("%s %s term %d leader %s commit %d log %d..%d config %s", st.ID, st.Role, st.Term,
			st.Leader, st.Commit, st.First, st.Last, st.Config)
		for _, p := range st.Peers {
			s.printf("  %s %s match %d next %d", p.ID, p.State, p.Match, p.Next)
		}
		return
	default:
		s.t.Fatalf("unknown command %q", what)
	}
	s.drain(a)
}

func (s *stage) tell(err error) {
	if err != nil {
		s.printf("%v", err)
	}
}

func (s *stage) cluster(args []string) {
	n, spares := s.number(args[0]), 0
	s.links = map[string][]raft.Message{}
	for _, a := range args[1:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "spares":
			spares = s.number(value)
		case "prevote":
			s.opts.NoPreVote = value == "off"
		case "batch":
			s.opts.MaxBatchBytes = s.number(value)
		case "keep":
			s.opts.KeepTail = s.number(value)
		default:
			s.t.Fatalf("unknown option %q", a)
		}
	}
	for i := range n + spares {
		id := raft.ID(i + 1)
		if i < n {
			s.first.Voters = append(s.first.Voters, id)
		}
		s.nodes = append(s.nodes, &actor{id: id})
	}
	for _, a := range s.nodes {
		s.start(a)
		s.drain(a)
	}
}

func (s *stage) start(a *actor) {
	opts := s.opts
	opts.ID = a.id
	opts.Rand = rand.New(rand.NewPCG(uint64(a.id), 1))
	from := raft.Restored{HardState: a.hard, Snapshot: a.snap, Entries: slices.Clone(a.entries)}
	if a.snap.Index == 0 && int(a.id) <= len(s.first.Voters) {
		from.Snapshot.Config = s.first
	}
	core, err := raft.New(s.now, opts, from)
	if err != nil {
		s.t.Fatal(err)
	}
	a.core, a.applied = core, a.snap.Index
}

// drain carries out what the core wants, and writes it down.
func (s *stage) drain(a *actor) {
	var o raft.Output
	for a.core.Drain(&o) {
		for _, e := range o.Events {
			s.printf("%s", event(a.id, &e))
		}
		if o.Ticket != 0 {
			w := o
			w.Send, w.Reads, w.Events = nil, nil, nil
			a.writes = append(a.writes, w)
		}
		for _, m := range o.Send {
			if m.After == 0 {
				s.send(&m.Message)
			} else {
				a.held = append(a.held, m)
			}
		}
		if o.Install != nil {
			s.printf("%s fetches the snapshot of %d from %s", a.id, o.Install.Index, o.InstallFrom)
			a.fetch = o.Install
		}
		if o.Restore != nil {
			s.printf("%s restores the snapshot of %d", a.id, o.Restore.Index)
			a.applied = o.Restore.Index
		}
		for _, e := range o.Apply {
			s.printf("%s applies %s", a.id, entry(&e))
			a.applied = e.Index
			a.core.Applied(e.Index)
		}
		for _, r := range o.Reads {
			if r.Err != nil {
				s.printf("%s read %d: %v", a.id, r.ID, r.Err)
			} else {
				s.printf("%s read %d may be served at %d", a.id, r.ID, r.Index)
			}
		}
		s.write(a)
	}
}

// write performs a node's writes, unless its disk is stopped, and lets go the messages that waited.
func (s *stage) write(a *actor) {
	for !a.stopped && len(a.writes) > 0 {
		w := a.writes[0]
		a.writes = a.writes[1:]
		if w.HardState != nil {
			a.hard = *w.HardState
		}
		if w.Reset != nil {
			a.entries = nil
		}
		if w.Truncate != 0 {
			k := slices.IndexFunc(a.entries, func(e raft.Entry) bool { return e.Index == w.Truncate })
			a.entries = a.entries[:k:k]
		}
		a.entries = append(a.entries, w.Append...)
		a.core.Persisted(w.Ticket)
		for len(a.held) > 0 && a.held[0].After <= w.Ticket {
			s.send(&a.held[0].Message)
			a.held = a.held[1:]
		}
	}
}

func (s *stage) send(m *raft.Message) {
	s.printf("%s", message(m))
	key := fmt.Sprintf("%d>%d", m.From, m.To)
	s.links[key] = append(s.links[key], *m)
}

// deliver delivers link by link, in order, until nothing waits.
func (s *stage) deliver(only []string) {
	for again := true; again; {
		again = false
		for _, from := range s.nodes {
			for _, to := range s.nodes {
				key := fmt.Sprintf("%d>%d", from.id, to.id)
				if len(only) > 0 && !slices.Contains(only, key) {
					continue
				}
				for len(s.links[key]) > 0 {
					again = true
					s.deliverOne(key)
				}
			}
		}
	}
}

func (s *stage) deliverOne(key string) {
	m := s.links[key][0]
	s.links[key] = s.links[key][1:]
	if a := s.nodes[m.To-1]; a.core != nil {
		a.core.Step(s.now, m)
		s.drain(a)
	}
}

func (s *stage) link(what, key string) {
	if len(s.links[key]) == 0 {
		s.t.Fatalf("nothing waits on %s", key)
	}
	if what == "drop" {
		s.links[key] = nil
		return
	}
	s.deliverOne(key)
}

func (s *stage) pass(d raft.Time) {
	end := s.now + d
	for {
		var next *actor
		for _, a := range s.nodes {
			if a.core != nil && (next == nil || a.core.Deadline() < next.core.Deadline()) {
				next = a
			}
		}
		if next == nil || next.core.Deadline() > end {
			break
		}
		s.now = max(s.now, next.core.Deadline())
		next.core.Tick(s.now)
		s.drain(next)
	}
	s.now = end
}

func (s *stage) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) node(text string) *actor {
	i := s.number(text)
	if i < 1 || i > len(s.nodes) {
		s.t.Fatalf("no node %d", i)
	}
	return s.nodes[i-1]
}

func (s *stage) config(args []string) raft.Config {
	var c raft.Config
	for _, a := range args {
		key, list, _ := strings.Cut(a, "=")
		for id := range strings.SplitSeq(list, ",") {
			if key == "voters" {
				c.Voters = append(c.Voters, raft.ID(s.number(id)))
			} else {
				c.Learners = append(c.Learners, raft.ID(s.number(id)))
			}
		}
	}
	return c
}

func event(id raft.ID, e *raft.Event) string {
	b := fmt.Sprintf("%s %s", id, strings.ReplaceAll(e.Kind, "_", " "))
	if e.First != 0 && e.First != e.Index {
		b += fmt.Sprintf(" %d..%d", e.First, e.Index)
	} else if e.Index != 0 {
		b += fmt.Sprintf(" %d", e.Index)
	}
	b += fmt.Sprintf(" term %d", e.Term)
	if e.Peer != 0 {
		b += " " + e.Peer.String()
	}
	if e.Detail != "" {
		b += ": " + e.Detail
	}
	return b
}

func message(m *raft.Message) string {
	b := fmt.Sprintf("%s -> %s %s term %d", m.From, m.To, m.Kind, m.Term)
	if m.Index != 0 || m.LogTerm != 0 {
		b += fmt.Sprintf(" at (%d, term %d)", m.Index, m.LogTerm)
	}
	for i := range m.Entries {
		b += ", " + entry(&m.Entries[i])
	}
	if m.Snapshot != nil {
		b += fmt.Sprintf(" of (%d, term %d)", m.Snapshot.Index, m.Snapshot.Term)
	}
	if m.Commit != 0 {
		b += fmt.Sprintf(", commit %d", m.Commit)
	}
	if m.Reject {
		b += ", refused"
	}
	return b
}

func entry(e *raft.Entry) string {
	switch e.Kind {
	case raft.EntryNoop:
		return fmt.Sprintf("%d noop", e.Index)
	case raft.EntryConfig:
		c, err := raft.DecodeConfig(e.Data)
		return fmt.Sprintf("%d config %s%v", e.Index, c, errText(err))
	}
	return fmt.Sprintf("%d %q", e.Index, e.Data)
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return " " + err.Error()
}
