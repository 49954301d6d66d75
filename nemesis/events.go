package nemesis

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"
	"sync/atomic"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// Event is something that a node says has just happened in it.
type Event struct {
	Node sut.NodeID
	// Name is "become_leader", "vote_granted", "commit" and so on, as the node calls it.
	Name string
}

// Events hears what nodes say in their traces, for faults that wait for the right moment. Its
// methods may be called concurrently. The zero value hears nothing but is ready.
type Events struct {
	listening atomic.Int32 // how many listen, so that most lines cost next to nothing

	mu        sync.Mutex
	listeners map[chan Event]string // and the event that each waits for, guarded by mu
}

// Feed takes a line that a node has written.
func (e *Events) Feed(id sut.NodeID, line []byte) {
	if e.listening.Load() == 0 || !bytes.Contains(line, []byte(`"ev":`)) {
		return
	}
	var said struct {
		Ev string `json:"ev"`
	}
	start := bytes.IndexByte(line, '{')
	if start < 0 || json.Unmarshal(line[start:], &said) != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for ch, name := range e.listeners {
		if name != said.Ev {
			continue
		}
		select {
		case ch <- Event{Node: id, Name: name}:
		default: // it has one already, and wants only the first
		}
	}
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
