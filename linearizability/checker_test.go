package linearizability

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
)

// script makes a history from lines such as "0 1-3 ok write x 5", "1 4-6 ok read x 5" or
// "2 4-7 info cas x [5,6]": process, times in milliseconds, type, function, key, value. For a cas
// that ended in ok, the answer follows the argument.
func script(t testing.TB, lines ...string) *history.History {
	t.Helper()
	type event struct {
		at int
		op history.Op
	}
	var events []event
	for _, line := range lines {
		var p, from, to int
		var typ, f, key, value, answer string
		n, _ := fmt.Sscanf(line, "%d %d-%d %s %s %s %s %s",
			&p, &from, &to, &typ, &f, &key, &value, &answer)
		if n < 6 {
			t.Fatalf("line %q: only %d fields", line, n)
		}
		end, err := history.ParseType(typ)
		if err != nil {
			t.Fatal(err)
		}
		begin := history.Op{
			Process: history.Process(p), Type: history.Invoke, F: f, Key: key,
			Time: time.Duration(from) * time.Millisecond, Node: fmt.Sprintf("n%d", p),
		}
		done := begin
		done.Type, done.Time = end, time.Duration(to)*time.Millisecond
		switch f {
		case "read":
			done.Value = json.RawMessage(value)
		case "cas":
			begin.Value, done.Value = json.RawMessage(value), json.RawMessage(answer)
		default:
			begin.Value = json.RawMessage(value)
		}
		events = append(events, event{from, begin}, event{to, done})
	}
	h := &history.History{Complete: true}
	for len(events) > 0 {
		first := 0
		for i := range events {
			if events[i].at < events[first].at {
				first = i
			}
		}
		op := events[first].op
		op.Index = int64(len(h.Ops))
		h.Ops = append(h.Ops, op)
		events = append(events[:first], events[first+1:]...)
	}
	return h
}

func TestCheckerJudges(t *testing.T) {
	tests := []struct {
		name    string
		history []string
		want    check.Validity
		class   string
		says    string
	}{
		{
			name:    "a read after a write sees it",
			history: []string{"0 1-2 ok write x 5", "1 3-4 ok read x 5"},
			want:    check.Valid,
		}, {
			name:    "a read before the write sees nothing, and absent is a value",
			history: []string{"1 1-2 ok read x null", "0 3-4 ok write x 5"},
			want:    check.Valid,
		}, {
			name:    "absent after an acknowledged write that was seen is a stale read",
			history: []string{"0 1-2 ok write x 5", "1 3-4 ok read x null", "2 5-6 ok read x 5"},
			want:    check.Invalid, class: "stale read",
			says: "Process 1 at n1 read absent",
		}, {
			name: "an acknowledged write that nobody ever sees is lost",
			history: []string{"0 1-2 ok write x 5", "0 3-4 ok write x 6", "1 5-6 ok read x 5",
				"2 7-8 ok read x 5"},
			want: check.Invalid, class: "lost write", says: "write of 6 by process 0 at n0",
		}, {
			name: "two readers may not see values in turn back in time",
			history: []string{"0 1-2 ok write x 5", "3 3-90 ok write x 6", "1 5-6 ok read x 6",
				"2 7-8 ok read x 5", "1 9-10 ok read x 6"},
			want: check.Invalid, class: "time travel",
		}, {
			name:    "a value that nobody wrote is a phantom",
			history: []string{"0 1-2 ok write x 5", "1 3-4 ok read x 7"},
			want:    check.Invalid, class: "phantom value",
		}, {
			name:    "a value that is written later is a phantom too",
			history: []string{"1 3-4 ok read x 7", "0 5-6 ok write x 7"},
			want:    check.Invalid, class: "phantom value",
		}, {
			name: "two cas can not go on from one value",
			history: []string{"0 1-2 ok write x 1", `1 3-4 ok cas x [1,2] {"swapped":true}`,
				`2 5-6 ok cas x [1,3] {"swapped":true}`},
			want: check.Invalid, class: "two lineages",
		}, {
			name:    "a cas that was refused says that the value was another",
			history: []string{"0 1-2 ok write x 1", `1 3-4 ok cas x [1,2] {"swapped":false}`},
			want:    check.Invalid, class: "refused cas",
		}, {
			name: "a cas that was refused may tell what it found, and that is a read",
			history: []string{"0 1-2 ok write x 1", "0 3-4 ok write x 2",
				`1 5-6 ok cas x [9,3] {"swapped":false,"found":1}`},
			want: check.Invalid, class: "lost write",
		}, {
			name: "a cas that was refused may find nothing",
			history: []string{`1 5-6 ok cas x [9,3] {"swapped":false,"found":null}`,
				"0 7-8 ok write x 1"},
			want: check.Valid,
		}, {
			name: "a cas can not be refused because it found what it expected",
			history: []string{"0 1-2 ok write x 9",
				`1 5-6 ok cas x [9,3] {"swapped":false,"found":9}`},
			want: check.Invalid, class: "refused cas",
		}, {
			name:    "a deleted key is absent",
			history: []string{"0 1-2 ok write x 1", "0 3-4 ok delete x", "1 5-6 ok read x null"},
			want:    check.Valid,
		}, {
			name: "a deleted key does not come back",
			history: []string{"0 1-2 ok write x 1", "0 3-4 ok delete x", "1 5-6 ok read x null",
				"1 7-8 ok read x 1"},
			want: check.Invalid,
		}, {
			name:    "keys are independent",
			history: []string{"0 1-2 ok write x 1", "1 3-4 ok read y null"},
			want:    check.Valid,
		}, {
			name:    "what failed did not happen",
			history: []string{"0 1-2 fail write x 1", "1 3-4 ok read x 1"},
			want:    check.Invalid, class: "phantom value",
		}, {
			name:    "a string and a number are different values",
			history: []string{`0 1-2 ok write x "1"`, "1 3-4 ok read x 1"},
			want:    check.Invalid, class: "phantom value",
		}, {
			name:    "nothing to judge is not a pass",
			history: nil,
			want:    check.Unknown,
		}, {
			name:    "an answer that can not be read is not judged",
			history: []string{`1 5-6 ok cas x [9,3] {"what":1}`},
			want:    check.Unknown,
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			res := judge(t, script(t, tc.history...))
			if res.Validity != tc.want {
				t.Fatalf("got %v (%s), want %v", res.Validity, res.Reason, tc.want)
			}
			if tc.class == "" {
				return
			}
			if got := res.Findings[0].Class; got != tc.class {
				t.Errorf("got class %q, want %q", got, tc.class)
			}
			if text := res.Findings[0].Text; !strings.Contains(text, tc.says) {
				t.Errorf("got %q, want it to say %q", text, tc.says)
			}
		})
	}
}

func judge(t testing.TB, h *history.History) check.Result {
	t.Helper()
	return NewChecker(Options{}).Check(context.Background(), &check.Input{History: h})
}
