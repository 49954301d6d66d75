package linearizability

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// TestExplanation holds what someone who was not there is told: who, what, when, why it can not be,
// and what was broken then.
func TestExplanation(t *testing.T) {
	h := script(t, "0 1-2 ok write x 5", "0 3-4 ok write x 6", "1 5-6 ok read x 6",
		"2 7-8 ok read x 5")
	fault := func(at time.Duration, value string) history.Op {
		return history.Op{Process: history.Nemesis, Type: history.Info, F: "pause",
			Time: at * time.Millisecond, Value: json.RawMessage(value)}
	}
	h.Ops = append([]history.Op{
		fault(1, `{"step":1,"action":"inject","outcome":"installed","nodes":["n2"]}`),
	}, append(h.Ops, fault(9, `{"step":1,"action":"heal","outcome":"healed"}`))...)
	for i := range h.Ops {
		h.Ops[i].Index = int64(i)
	}
	f := judge(t, h).Findings[0]
	if f.Class != "stale read" || f.Key != "x" || f.Node != "n2" || f.Time != 7*time.Millisecond {
		t.Errorf("got %s of %s at %s, %v", f.Class, f.Key, f.Node, f.Time)
	}
	for _, want := range []string{
		"The write of 6 by process 0 at n0 was acknowledged (from 0.003000 to 0.004000 s).",
		"Process 2 at n2 read 5 from 0.007000 to 0.008000 s.",
		"What process 2 got from n2, 5, was out of date before it asked.",
		"A pause on n2 was in force from 0.001000 s and was healed at 0.009000 s.",
	} {
		if !strings.Contains(f.Text, want) {
			t.Errorf("got %q, want it to say %q", f.Text, want)
		}
	}
	for _, index := range f.Ops {
		if op := h.Ops[index]; op.Type != history.Invoke || op.Key != "x" {
			t.Errorf("operation %d is no evidence: %v", index, op)
		}
	}
}
