package linearizability

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// steps makes a history of lines "process from-to type function argument answer"; a "-" stands for
// nothing.
func steps(t testing.TB, lines string) *history.History {
	t.Helper()
	h := &history.History{}
	byTime := map[int][]history.Op{}
	last := 0
	for line := range strings.Lines(lines) {
		var p, from, to int
		var typ, f, arg, answer string
		n, err := fmt.Sscan(line, &p, &from, &to, &typ, &f, &arg, &answer)
		if n == 0 {
			continue
		}
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		end, err := history.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		op := history.Op{Process: history.Process(p), Type: history.Invoke, F: f,
			Time: time.Duration(from)}
		done := op
		if arg != "-" {
			op.Value = json.RawMessage(arg)
		}
		if answer != "-" {
			done.Value = json.RawMessage(answer)
		}
		done.Type, done.Time = end, time.Duration(to)
		byTime[from] = append(byTime[from], op)
		byTime[to] = append(byTime[to], done)
		last = max(last, to)
	}
	for at := range last + 1 {
		h.Ops = append(h.Ops, byTime[at]...)
	}
	return h
}

func TestModels(t *testing.T) {
	tests := []struct {
		name, model, history string
		want                 check.Validity
	}{
		{"a lock is held by one", "mutex", "0 1 2 ok acquire - -\n1 3 4 ok acquire - -", check.Invalid},
		{"a lock is released and taken again", "mutex",
			"0 1 2 ok acquire - -\n0 3 4 ok release - -\n1 5 6 ok acquire - -", check.Valid},
		{"nobody knows whether it was released", "mutex",
			"0 1 2 ok acquire - -\n0 3 4 info release - -\n1 5 6 ok acquire - -", check.Valid},
		{"nobody knows whether it was acquired", "mutex",
			"0 1 2 info acquire - -\n1 5 6 ok acquire - -", check.Valid},
		{"a queue keeps its order", "fifo-queue",
			"0 1 2 ok enqueue 1 -\n0 3 4 ok enqueue 2 -\n1 5 6 ok dequeue - 1", check.Valid},
		{"a queue does not change its order", "fifo-queue",
			"0 1 2 ok enqueue 1 -\n0 3 4 ok enqueue 2 -\n1 5 6 ok dequeue - 2", check.Invalid},
		{"a bag has no order", "unordered-queue",
			"0 1 2 ok enqueue 1 -\n0 3 4 ok enqueue 2 -\n1 5 6 ok dequeue - 2", check.Valid},
		{"a bag gives each thing once", "unordered-queue",
			"0 1 2 ok enqueue 1 -\n0 3 4 ok dequeue - 1\n1 5 6 ok dequeue - 1", check.Invalid},
		{"nobody knows what was taken", "unordered-queue",
			"0 1 2 ok enqueue 1 -\n0 3 4 ok enqueue 2 -\n2 5 6 info dequeue - -\n" +
				"1 7 8 ok dequeue - 2\n1 9 10 fail dequeue - -", check.Valid},
		{"somebody took one of two", "unordered-queue",
			"0 1 2 ok enqueue 1 -\n2 5 6 info dequeue - -\n1 7 8 ok dequeue - 1\n" +
				"1 9 10 ok dequeue - 1", check.Invalid},
		{"a set holds what was added", "set",
			"0 1 2 ok add 2 -\n0 3 4 ok add 10 -\n1 5 6 ok read - [10,2]", check.Valid},
		{"a set loses nothing", "set",
			"0 1 2 ok add 2 -\n0 3 4 ok add 10 -\n1 5 6 ok read - [10]", check.Invalid},
		{"an addition that nobody knows of may be seen", "set",
			"0 1 2 info add 2 -\n1 5 6 ok read - []\n1 7 8 ok read - [2]", check.Valid},
		{"appends add up", "kv",
			"0 1 2 ok append \"a\" -\n0 3 4 ok append \"b\" -\n1 5 6 ok get - \"ab\"", check.Valid},
		{"an append is not lost", "kv",
			"0 1 2 ok append \"a\" -\n0 3 4 ok append \"b\" -\n1 5 6 ok get - \"b\"", check.Invalid},
		{"nothing was put", "kv", "1 5 6 ok get - null\n0 7 8 ok put \"a\" -", check.Valid},
		{"a transaction is seen as a whole", "multi-register",
			`0 1 2 ok txn [["w","x",1],["w","y",2]] -` + "\n" +
				`1 3 4 ok txn - [["r","x",1],["r","y",null]]`, check.Invalid},
		{"a transaction reads what was written", "multi-register",
			`0 1 2 ok txn - [["w","x",1],["w","y",2]]` + "\n" +
				`1 3 4 ok txn - [[":read","x",1],[":read","y",2]]`, check.Valid},
		{"a function that there is not", "mutex", "0 1 2 ok read - 1", check.Unknown},
		{"a model that there is not", "nothing", "0 1 2 ok read - 1", check.Unknown},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			c := NewChecker(Options{Model: tc.model})
			res := c.Check(t.Context(), &check.Input{History: steps(t, tc.history)})
			if res.Validity != tc.want {
				t.Errorf("got %v (%s), want %v", res.Validity, res.Reason, tc.want)
			}
			if tc.want == check.Invalid && !strings.Contains(res.Findings[0].Text, "There is no order") {
				t.Errorf("got %q, want a conclusion", res.Findings[0].Text)
			}
		})
	}
}
