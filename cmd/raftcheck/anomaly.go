package main

import (
	"github.com/raftcheck/raftcheck/harness"
	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability"
)

// watched is a recorder that has each operation judged as it is written down. It belongs to the
// goroutine that records, as does whoever asks for found.
type watched struct {
	harness.Recorder
	judge *linearizability.Live // nil where the model is another
	next  int64
	found *check.Finding // the first violation
	tell  func(*check.Finding)
}

// watch puts a judge beside a recorder, if there is one for the workload's model.
func watch(rec harness.Recorder, model string, tell func(*check.Finding)) *watched {
	w := &watched{Recorder: rec, tell: tell}
	if model == "cas-register" {
		w.judge = linearizability.NewLive()
	}
	return w
}

// Append implements the harness's Recorder.
func (w *watched) Append(op history.Op) error {
	if err := w.Recorder.Append(op); err != nil {
		return err
	}
	op.Index = w.next
	w.next++
	if w.judge == nil || w.found != nil {
		return nil
	}
	if w.found = w.judge.Append(op); w.found != nil {
		w.tell(w.found)
	}
	return nil
}
