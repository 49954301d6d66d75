package nemesis

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// Event is something that a node says has just happened in it.
type Event struct {
	Node sut.NodeID
	// Name is "become_leader", "vote_granted", "commit" and so on, as the node calls it, or one
	// that is seen from several of its lines: "stepped_down", "first_commit", "installing".
	Name string
	// At is when its line was known here.
	At time.Time
}

// eventNames lists what can be waited for.
func eventNames() []string {
	return []string{
		"become_leader", "stepped_down", "become_candidate", "vote_granted", "first_commit",
		"commit", "truncate", "config", "installing", "snapshot", "transfer",
	}
}

// Events hears what nodes say in their traces, for faults that wait for the right moment. Its
// methods may be called concurrently. The zero value hears nothing but is ready.
type Events struct {
	listening atomic.Int32 // how many listen, so that most lines cost next to nothing

	mu        sync.Mutex            // guards the fields below
	listeners map[chan Event]string // and the event that each waits for
	leads     map[sut.NodeID]uint64 // the term in which a node leads
	fresh     map[sut.NodeID]bool   // it leads, and has committed nothing of its term
}

// Feed takes a line that a node has written.
func (e *Events) Feed(id sut.NodeID, line []byte) {
	role := bytes.Contains(line, []byte(`"ev":"become_`)) ||
		bytes.Contains(line, []byte(`"ev":"start"`))
	if !role && (e.listening.Load() == 0 || !bytes.Contains(line, []byte(`"ev":`))) {
		return
	}
	at := time.Now()
	var said said
	start := bytes.IndexByte(line, '{')
	if start < 0 || json.Unmarshal(line[start:], &said) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	names := e.understand(id, said)
	for ch, name := range e.listeners {
		if !slices.Contains(names, name) {
			continue
		}
		select {
		case ch <- Event{Node: id, Name: name, At: at}:
		default: // it has one already, and wants only the first
		}
	}
}

// said is a line of a trace.
type said struct {
	Ev     string `json:"ev"`
	Term   uint64 `json:"term"`
	Detail string `json:"detail"`
}

// understand says which events a line tells of. The caller has mu.
func (e *Events) understand(id sut.NodeID, s said) []string {
	if e.leads == nil {
		e.leads, e.fresh = map[sut.NodeID]uint64{}, map[sut.NodeID]bool{}
	}
	names := []string{s.Ev}
	switch s.Ev {
	case "become_leader":
		e.leads[id], e.fresh[id] = s.Term, true
	case "become_follower":
		if e.leads[id] > 0 {
			names = append(names, "stepped_down")
		}
		e.leads[id], e.fresh[id] = 0, false
	case "start":
		e.leads[id], e.fresh[id] = 0, false
	case "commit":
		if e.fresh[id] && s.Term == e.leads[id] {
			names = append(names, "first_commit")
			e.fresh[id] = false
		}
	case "recv":
		if s.Detail == "snapshot" {
			names = append(names, "installing")
		}
	}
	return names
}

// listen hears the next event of that name from now on. Whoever listens must stop.
func (e *Events) listen(name string) (heard <-chan Event, stop func()) {
	ch := make(chan Event, 1)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.listeners == nil {
		e.listeners = map[chan Event]string{}
	}
	e.listeners[ch] = name
	e.listening.Add(1)
	return ch, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.listeners, ch)
		e.listening.Add(-1)
	}
}

// next waits for an event that was listened for; ok is false if ctx was done first.
func next(ctx context.Context, heard <-chan Event) (ev Event, ok bool) {
	select {
	case ev = <-heard:
		return ev, true
	case <-ctx.Done():
		return ev, false
	}
}

// Struck is the target of a step that fires on an event: the node that said so.
const Struck Target = "event"

// strikeOn waits for the event on which step fires, and has f strike then.
func (e *Env) strikeOn(ctx context.Context, f Fault, step Step) (Effect, error) {
	if e.Events == nil {
		return Effect{}, Skip("what the nodes say is not heard here")
	}
	heard, stop := e.Events.listen(step.On)
	defer stop()
	waiting, cancel := context.WithTimeout(ctx, step.Within)
	defer cancel()
	ev, ok := next(waiting, heard)
	if !ok {
		return Effect{}, Skip("no node said %s within %v", step.On, step.Within)
	}
	if step.Target == Struck {
		step.Target = Target(ev.Node)
	}
	began := time.Since(ev.At)
	eff, err := f.Inject(ctx, e, step)
	if err == nil {
		eff.Evidence = latency(ev, began, eff.Evidence)
	}
	return eff, err
}

// latency puts beside evidence how soon after the event the strike began and was seen in force.
func latency(ev Event, began time.Duration, evidence any) any {
	return map[string]any{
		"event": ev.Name, "said_by": ev.Node, "struck": evidence,
		"begun_after_us": began.Microseconds(), "seen_after_us": time.Since(ev.At).Microseconds(),
	}
}
