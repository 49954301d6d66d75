package report

import (
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Leader is one node's time as a leader, as far as it was observed.
type Leader struct {
	Node string `json:"node"`
	Term uint64 `json:"term"`
	// From is when it was first seen to lead in this term, To when it was last seen to.
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
}

func leaders(*history.History) []Leader { return nil }
