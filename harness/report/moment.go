package report

import (
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Moment is the part of a history that someone should look at: the operations around a violation.
type Moment struct {
	// Key is what the violation is about; empty if it is not about one key.
	Key string `json:"key,omitempty"`
	// From and To bound the time that is shown.
	From time.Duration `json:"from_ns"`
	To   time.Duration `json:"to_ns"`
	// Calls are the operations, in order of invocation. Cut is how many more there were.
	Calls []Call `json:"calls"`
	Cut   int    `json:"cut,omitempty"`
}

// Call is one operation of a client, both its ends together.
type Call struct {
	// Index is that of the invocation in the history, Done that of the completion; -1 if the
	// operation is open at the end.
	Index   int64           `json:"index"`
	Done    int64           `json:"done"`
	Process history.Process `json:"process"`
	Node    string          `json:"node,omitempty"`
	Key     string          `json:"key,omitempty"`
	// Text is the operation in a few characters: "read = 3", "write 4".
	Text    string        `json:"text"`
	Outcome history.Type  `json:"outcome"`
	Error   string        `json:"error,omitempty"`
	From    time.Duration `json:"from_ns"`
	To      time.Duration `json:"to_ns"`
	// Evidence says that a finding names this operation.
	Evidence bool `json:"evidence,omitempty"`
}

func moment(*history.History, []call, *Report) *Moment { return nil }
