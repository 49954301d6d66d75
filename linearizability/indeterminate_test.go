package linearizability

import (
	"testing"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// TestIndeterminate holds that each wrong way to treat an operation of which nobody knows whether
// it happened raises a false alarm on a history that is right, and that ours does not.
func TestIndeterminate(t *testing.T) {
	tests := []struct {
		name    string
		history []string
		wrong   func(register.Op) (register.Op, bool)
	}{
		{
			name: "taken as failed, although its value is seen later",
			history: []string{
				"0 1-2 ok write x 1", "3 3-4 info write x 2", "1 5-6 ok read x 2",
			},
			wrong: func(o register.Op) (register.Op, bool) { return o, !o.Maybe },
		}, {
			name: "taken as done, although it never happened",
			history: []string{
				"0 1-2 ok write x 1", "3 3-4 info write x 2", "1 5-6 ok read x 1",
			},
			wrong: func(o register.Op) (register.Op, bool) {
				if o.Maybe {
					o.Maybe, o.Ret = false, 4e6
				}
				return o, true
			},
		}, {
			name: "taken as done when the client gave up, although it came later",
			history: []string{
				"0 1-2 ok write x 1", "3 3-4 info write x 2", "1 5-6 ok read x 1",
				"1 7-8 ok read x 2",
			},
			wrong: func(o register.Op) (register.Op, bool) {
				if o.Maybe {
					o.Maybe, o.Ret = false, 4e6
				}
				return o, true
			},
		}, {
			name: "taken as a cas that must find its precondition true some time",
			history: []string{
				"0 1-2 ok write x 1", "3 3-4 info cas x [7,8]", "1 5-6 ok read x 1",
			},
			wrong: func(o register.Op) (register.Op, bool) {
				if o.Maybe {
					o.Maybe = false // at the end of all time, but it must happen
				}
				return o, true
			},
		}, {
			name: "a read that failed taken as one that found nothing",
			history: []string{
				"0 1-2 ok write x 1", "3 3-4 fail read x null", "1 5-6 ok read x 1",
			},
			wrong: func(o register.Op) (register.Op, bool) { return o, true },
		},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			h := script(t, tc.history...)
			if res := judge(t, h); res.Validity != check.Valid {
				t.Errorf("got %v (%s), want valid", res.Validity, res.Reason)
			}
			if !alarms(t, h, tc.wrong) {
				t.Error("the wrong way raises no alarm: this history tests nothing")
			}
		})
	}
}

// alarms says whether a checker that treats operations as wrong does calls h illegal.
func alarms(t *testing.T, h *history.History, wrong func(register.Op) (register.Op, bool)) bool {
	t.Helper()
	calls, err := h.Calls()
	if err != nil {
		t.Fatal(err)
	}
	for i := range calls {
		if c := &calls[i]; h.Ops[c.Invoke].F == "read" && c.Outcome == history.Fail {
			// The wrong checker believes the answer of a read that has none.
			c.Outcome = history.Ok
		}
	}
	keys, err := decode(h, calls)
	if err != nil {
		t.Fatal(err)
	}
	var ops []register.Op
	for _, o := range keys[0].ops {
		if o, keep := wrong(o); keep {
			ops = append(ops, o)
		}
	}
	d := Decide(t.Context(), ops, DefaultBudget())
	return d.Answer == register.Illegal
}
