package local

import (
	"sync"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

// exitBuffer is how many exits wait for a reader; more than a run has.
const exitBuffer = 4096

// exits hands on how processes ended.
type exits struct {
	mu      sync.Mutex // guards stopped, and keeps sends from a closed channel
	stopped bool
	out     chan cluster.Exit
}

// report hands an exit on; when nobody reads, the oldest makes room.
func (e *exits) report(x cluster.Exit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for !e.stopped {
		select {
		case e.out <- x:
			return
		default:
		}
		select {
		case <-e.out:
		default:
		}
	}
}

// stop closes the channel: what ends from here on was asked for. It is idempotent.
func (e *exits) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.stopped {
		e.stopped = true
		close(e.out)
	}
}
