package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

func TestMerge(t *testing.T) {
	tests := []struct {
		name string
		in   []Validity
		want Validity
	}{
		{"nothing is unknown", nil, Unknown},
		{"only what can not be seen is unknown", []Validity{NotObservable}, Unknown},
		{"valid", []Validity{Valid, NotObservable}, Valid},
		{"unknown outranks valid", []Validity{Valid, Unknown, Valid}, Unknown},
		{"invalid outranks unknown", []Validity{Valid, Unknown, Invalid}, Invalid},
		{"what is no answer is unknown", []Validity{Valid, 77}, Unknown},
	}
	for _, tc := range tests {
		if got := Merge(tc.in...); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

// fake is a checker that does what it is told.
type fake struct {
	name string
	do   func(context.Context) Result
}

func (f fake) Name() string                               { return f.name }
func (f fake) Check(ctx context.Context, _ *Input) Result { return f.do(ctx) }
func says(v Validity) func(context.Context) Result {
	return func(context.Context) Result { return Result{Validity: v, Reason: "because"} }
}

func TestJudge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		checkers := []Checker{
			fake{"good", says(Valid)},
			fake{"panics", func(context.Context) Result { panic("oh") }},
			fake{"slow", func(ctx context.Context) Result {
				<-ctx.Done()
				return Result{Reason: OutOfTime(context.Cause(ctx))}
			}},
			fake{"deaf", func(context.Context) Result { <-release; return Result{} }},
			fake{"mute", func(context.Context) Result { return Result{} }},
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		v := Judge(ctx, &Input{}, checkers)
		close(release)
		if v.Validity != Unknown {
			t.Errorf("got %v, want unknown", v.Validity)
		}
		want := []string{"because", "the checker panicked: oh", "it ran out of time",
			"it did not end within its time", "the checker gave no reason"}
		for i, res := range v.Results {
			if res.Checker != checkers[i].Name() || res.Reason != want[i] {
				t.Errorf("%s: got reason %q, want %q", res.Checker, res.Reason, want[i])
			}
		}
		if text := v.Results[1].Findings[0].Text; !strings.Contains(text, "check_test.go:") {
			t.Errorf("got %q, want the place of the panic", text)
		}
		checkers = append(checkers, fake{"bad", says(Invalid)})
		if v := Judge(ctx, &Input{}, checkers); v.Validity != Unknown {
			t.Errorf("out of time from the start: got %v, want unknown", v.Validity)
		}
		if v := Judge(t.Context(), &Input{}, []Checker{checkers[0], checkers[1], checkers[5]}); v.
			Validity != Invalid || v.Reason != "bad: because" {
			t.Errorf("got %v (%s), want invalid because of bad", v.Validity, v.Reason)
		}
	})
}

// run makes histories, line by line.
type run struct {
	h   history.History
	now time.Duration
}

func (r *run) add(op history.Op) {
	op.Index, op.Time = int64(len(r.h.Ops)), r.now
	r.h.Ops = append(r.h.Ops, op)
}

func (r *run) wait(ms int) *run { r.now += time.Duration(ms) * time.Millisecond; return r }

// ask is a client's operation that takes 10 ms.
func (r *run) ask(p int, node, f, key string, typ history.Type) *run {
	op := history.Op{
		Process: history.Process(p), Type: history.Invoke, F: f, Key: key, Node: node}
	r.add(op)
	r.wait(10)
	op.Type = typ
	r.add(op)
	return r
}

func (r *run) fault(f string, step int, action, outcome string, majority bool) *run {
	value := fmt.Sprintf(`{"step":%d,"action":%q}`, step, action)
	op := history.Op{Process: history.Nemesis, Type: history.Invoke, F: f,
		Value: json.RawMessage(value)}
	r.add(op)
	op.Type = history.Info
	op.Value = fmt.Appendf(nil, `{"step":%d,"action":%q,"outcome":%q,"majority":%t}`,
		step, action, outcome, majority)
	r.add(op)
	return r
}

func (r *run) see(f, node, value string) *run {
	r.add(history.Op{Process: history.Observer, Type: history.Info, F: f, Node: node,
		Value: json.RawMessage(value)})
	return r
}

func (r *run) status(f, node, role string, term, applied int, digest string) *run {
	return r.see(f, node, fmt.Sprintf(`{"term":%d,"role":%q,"applied":%d,"digest":%q}`,
		term, role, applied, digest))
}

type checkCase struct {
	name     string
	run      func(r *run)
	promises Promises
	files    fstest.MapFS
	want     Validity
	says     string // in the reason, or in a finding
}

func testChecker(t *testing.T, c Checker, cases []checkCase) {
	t.Helper()
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := &run{h: history.History{Complete: true}}
			if tc.run != nil {
				tc.run(r)
			}
			in := &Input{History: &r.h, Promises: tc.promises}
			if tc.files != nil {
				in.Dir = tc.files
			}
			res := c.Check(t.Context(), in)
			if res.Validity != tc.want {
				t.Errorf("got %v (%s), want %v", res.Validity, res.Reason, tc.want)
			}
			var text strings.Builder
			text.WriteString(res.Reason + "\n")
			for _, f := range res.Findings {
				text.WriteString(f.Text + "\n")
			}
			if !strings.Contains(text.String(), tc.says) {
				t.Errorf("got %q, want it to say %q", text.String(), tc.says)
			}
			if res.Property == "" {
				t.Error("there is no property")
			}
			again, _ := json.Marshal(c.Check(t.Context(), in))
			if first, _ := json.Marshal(res); !bytes.Equal(first, again) {
				t.Errorf("the second time it says something else:\n%s\n%s", first, again)
			}
		})
	}
}

func TestCoverage(t *testing.T) {
	good := func(r *run) {
		r.ask(0, "n1", "read", "k", history.Ok)
		r.fault("kill", 1, "inject", "installed", true)
		r.see("exit", "n1", `{"code":137,"asked":true}`)
		r.ask(0, "n2", "write", "k", history.Ok)
		r.status("status", "n2", "leader", 1, 0, "").status("status", "n1", "leader", 2, 0, "")
		r.fault("kill", 1, "heal", "healed", true)
	}
	all := Promises{Functions: []string{"read", "write"}, Faults: []string{"kill"}, MinOps: 2,
		Nodes: []string{"n1"}, Restart: true, LeaderChange: true}
	logs := fstest.MapFS{"nodes/n1.log": {}}
	testChecker(t, Coverage{}, []checkCase{
		{name: "all that was promised was tested", run: good, promises: all, files: logs,
			want: Valid},
		{name: "nothing was promised and nothing happened", want: Unknown,
			says: "0 operations succeeded"},
		{name: "a function that only failed", promises: all, want: Unknown,
			run:  func(r *run) { good(r); r.h.Ops[5].F, r.h.Ops[6].F = "read", "read" },
			says: "No write ever succeeded"},
		{name: "too few operations", run: good, promises: Promises{MinOps: 3}, want: Unknown,
			says: "at least 3"},
		{name: "a fault that was only skipped", promises: all, want: Unknown,
			run:  func(r *run) { r.fault("kill", 1, "inject", "skipped", true) },
			says: "No kill was ever seen"},
		{name: "a fault that may have been installed", promises: all, want: Unknown,
			run:  func(r *run) { r.fault("kill", 1, "inject", "indeterminate", true) },
			says: "No kill was ever seen"},
		{name: "a fault when nobody worked", promises: all, want: Unknown,
			run: func(r *run) {
				r.ask(0, "n1", "read", "k", history.Ok).wait(5)
				r.fault("kill", 1, "inject", "installed", true).wait(5)
				r.fault("kill", 1, "heal", "healed", true).wait(5)
				r.ask(0, "n1", "read", "k", history.Ok)
			}, says: "No operation ran while a kill"},
		{name: "a fault of a moment counts from when it was asked for", want: Valid, files: logs,
			promises: Promises{Faults: []string{"reset"}},
			run: func(r *run) {
				r.fault("reset", 1, "inject", "installed", true)
				injected := r.h.Ops[len(r.h.Ops)-1]
				r.h.Ops = r.h.Ops[:len(r.h.Ops)-1]
				r.wait(5).ask(0, "n1", "read", "k", history.Ok).wait(5)
				r.add(injected)
				r.fault("reset", 1, "heal", "healed", true).wait(5)
			}},
		{name: "no restart", promises: all, want: Unknown, says: "No node was seen to come back"},
		{name: "one leader all the time", promises: all, want: Unknown,
			run: func(r *run) {
				r.status("status", "n1", "leader", 1, 0, "").status("status", "n1", "leader", 2, 0, "")
			}, says: "The leader was never seen to change"},
		{name: "no log", run: good, promises: all, files: fstest.MapFS{}, want: Unknown,
			says: "There is no log of n1"},
		{name: "cut short", promises: Promises{}, want: Unknown,
			run: func(r *run) { good(r); r.h.Complete = false }, says: "ends before the run did"},
		{name: "a history that makes no sense", want: Unknown,
			run: func(r *run) { good(r); r.h.Ops[0].Type = history.Ok }, says: "line 2"},
	})
}

func TestOneLeader(t *testing.T) {
	testChecker(t, OneLeader{}, []checkCase{
		{name: "nobody said anything", want: NotObservable},
		{name: "followers do not count", want: NotObservable,
			run: func(r *run) { r.status("status", "n1", "follower", 1, 0, "") }},
		{name: "one after the other", want: Valid, run: func(r *run) {
			r.status("status", "n1", "leader", 1, 0, "").status("status", "n2", "leader", 2, 0, "")
			r.status("final_status", "n2", "leader", 2, 0, "")
		}},
		{name: "two in a term", want: Invalid, says: "led in term 1", run: func(r *run) {
			r.status("status", "n1", "leader", 1, 0, "").status("status", "n2", "leader", 1, 0, "")
		}},
	})
}

func TestReplicasAgree(t *testing.T) {
	two := Promises{Nodes: []string{"n1", "n2"}}
	testChecker(t, ReplicasAgree{}, []checkCase{
		{name: "no digests", want: NotObservable, promises: two,
			run: func(r *run) { r.status("final_status", "n1", "leader", 1, 5, "") }},
		{name: "equal", want: Valid, promises: two, run: func(r *run) {
			r.status("final_status", "n1", "", 1, 5, "a").status("final_status", "n2", "", 1, 5, "a")
		}},
		{name: "different at the end", want: Invalid, promises: two, says: "both applied 5",
			run: func(r *run) {
				r.status("final_status", "n1", "", 1, 5, "a")
				r.status("final_status", "n2", "", 1, 5, "b")
			}},
		{name: "different on the way", want: Invalid, promises: two, says: "both applied 4",
			run: func(r *run) {
				r.status("status", "n1", "", 1, 4, "x").status("status", "n2", "", 1, 4, "y")
				r.status("final_status", "n1", "", 1, 5, "a")
				r.status("final_status", "n2", "", 1, 5, "a")
			}},
		{name: "one that did not answer", want: Unknown, promises: two, says: "n2 told no digest",
			run: func(r *run) { r.status("final_status", "n1", "", 1, 5, "a") }},
		{name: "one that has not caught up", want: Unknown, promises: two, says: "n2 had not caught",
			run: func(r *run) {
				r.status("final_status", "n1", "", 1, 5, "a")
				r.status("final_status", "n2", "", 1, 4, "b")
			}},
		{name: "no end", want: Unknown, promises: two, says: "at the end",
			run: func(r *run) { r.status("status", "n1", "", 1, 5, "a") }},
	})
}

func TestNodeHealth(t *testing.T) {
	one := Promises{Nodes: []string{"n1"}}
	log := func(text string) fstest.MapFS { return fstest.MapFS{"nodes/n1.log": {Data: []byte(text)}} }
	long := strings.Repeat("x", 1<<17)
	testChecker(t, NodeHealth{}, []checkCase{
		{name: "nothing to see", want: NotObservable, promises: one},
		{name: "a quiet log", want: Valid, promises: one, files: log("hello\nno panic: here\n")},
		{name: "no log", want: Unknown, promises: one, files: fstest.MapFS{}, says: "n1"},
		{name: "killed by a fault", want: Valid, promises: one,
			run: func(r *run) { r.see("exit", "n1", `{"code":137,"asked":true}`) }},
		{name: "died by itself", want: Invalid, promises: one, says: "exit code 2",
			run: func(r *run) { r.see("exit", "n1", `{"code":2,"asked":false}`) }},
		{name: "out of memory", want: Invalid, promises: one, says: "out of memory",
			run: func(r *run) { r.see("exit", "n1", `{"code":137,"asked":false,"oom":true}`) }},
		{name: "panicked", want: Invalid, promises: one, says: "line 2 of its log: panic: oh",
			files: log("hello\npanic: oh\n\ngoroutine 1")},
		{name: "panicked, with a time stamp, in a last line", want: Invalid, promises: one,
			says: "line 1", files: log("2026-01-02T03:04:05.000000006Z panic: oh")},
		{name: "panicked after a long line", want: Invalid, promises: one, says: "line 2",
			files: log(long + "\npanic: oh\n")},
		{name: "a long line is not a panic", want: Valid, promises: one,
			files: log(long[:1<<16] + "panic: oh\n")},
		{name: "panicked on a disk that was broken", want: Valid, promises: one,
			files: log("panic: input/output error\n"),
			run:   func(r *run) { r.see("exit", "n1", `{"code":2,"asked":true}`) }},
		{name: "panicked twice, and one disk was broken", want: Invalid, promises: one,
			says: "panic: oh", files: log("panic: input/output error\npanic: oh\n"),
			run: func(r *run) { r.see("exit", "n1", `{"code":2,"asked":true}`) }},
		{name: "a data race", want: Invalid, promises: one, says: "DATA RACE",
			files: log("WARNING: DATA RACE\n")},
		{name: "a crash", want: Invalid, promises: one, says: "fatal error",
			files: log("fatal error: concurrent map writes\n")},
	})
}

func TestRecovery(t *testing.T) {
	p := Promises{Nodes: []string{"n1", "n2"}, RecoveryLimit: time.Second}
	broken := func(r *run) *run {
		r.ask(0, "n1", "write", "a", history.Ok).ask(0, "n1", "write", "b", history.Ok)
		r.fault("cut", 1, "inject", "installed", true).wait(100)
		return r.fault("heal", 0, "heal", "healed", true).wait(100)
	}
	testChecker(t, Recovery{}, []checkCase{
		{name: "nothing was broken", want: NotObservable, promises: p},
		{name: "never healed", want: Unknown, promises: p, says: "never healed",
			run: func(r *run) { r.fault("cut", 1, "inject", "installed", true) }},
		{name: "all came back", want: Valid, promises: p, run: func(r *run) {
			broken(r).ask(0, "n1", "read", "a", history.Ok).ask(0, "n2", "read", "b", history.Ok)
		}},
		{name: "a key never came back", want: Unknown, promises: p, says: "on key b",
			run: func(r *run) {
				broken(r).ask(0, "n1", "read", "a", history.Ok).ask(0, "n2", "read", "b", history.Fail)
				r.ask(0, "n2", "read", "a", history.Ok)
			}},
		{name: "a node never came back", want: Unknown, promises: p, says: "on node n2",
			run: func(r *run) {
				broken(r).ask(0, "n1", "read", "a", history.Ok).ask(0, "n1", "read", "b", history.Ok)
			}},
		{name: "too slow", want: Invalid, promises: p, says: "it should have within 1.000 s",
			run: func(r *run) {
				broken(r).ask(0, "n1", "read", "a", history.Ok).wait(1000)
				r.ask(0, "n2", "read", "b", history.Ok)
			}},
		{name: "what began before the heal does not count", want: Unknown, promises: p,
			says: "on key a", run: func(r *run) {
				r.fault("cut", 1, "inject", "installed", true)
				op := history.Op{Process: 0, Type: history.Invoke, F: "read", Key: "a", Node: "n1"}
				r.add(op)
				r.wait(1).fault("heal", 0, "heal", "healed", true)
				op.Type = history.Ok
				r.add(op)
			}},
	})
}

func TestAvailability(t *testing.T) {
	p := Promises{AvailabilityLimit: time.Second}
	fail := func(r *run, n int) {
		for range n {
			r.ask(0, "n1", "read", "a", history.Fail).wait(90)
		}
	}
	testChecker(t, Availability{}, []checkCase{
		{name: "nobody asked", want: NotObservable, promises: p},
		{name: "no limit", want: NotObservable, says: "0.010 s",
			run: func(r *run) { r.ask(0, "n1", "read", "a", history.Ok) }},
		{name: "always there", want: Valid, promises: p,
			run: func(r *run) { r.ask(0, "n1", "read", "a", history.Ok) }},
		{name: "nobody asked for a long time", want: Valid, promises: p, run: func(r *run) {
			r.ask(0, "n1", "read", "a", history.Ok).wait(5000)
			r.ask(0, "n1", "read", "a", history.Ok)
		}},
		{name: "away for long", want: Invalid, promises: p, says: "for 1.110 s",
			run: func(r *run) { fail(r, 11); r.ask(0, "n1", "read", "a", history.Ok) }},
		{name: "away to the end", want: Invalid, promises: p, run: func(r *run) { fail(r, 12) }},
		{name: "away while there was no majority", want: Valid, promises: p, run: func(r *run) {
			r.fault("cut", 1, "inject", "installed", false)
			fail(r, 30)
			r.fault("cut", 1, "heal", "healed", true)
			r.ask(0, "n1", "read", "a", history.Ok)
		}},
		{name: "the time is counted anew from each fault", want: Valid, promises: p,
			run: func(r *run) {
				fail(r, 8)
				r.fault("cut", 1, "inject", "installed", true)
				fail(r, 8)
				r.ask(0, "n1", "read", "a", history.Ok)
			}},
		{name: "one long operation", want: Invalid, promises: p, run: func(r *run) {
			op := history.Op{Process: 0, Type: history.Invoke, F: "read"}
			r.add(op)
			r.wait(2000)
			op.Type = history.Fail
			r.add(op)
		}},
	})
}

// TestVerdictJSON holds the form of verdict.json: others read it.
func TestVerdictJSON(t *testing.T) {
	v := Judge(t.Context(), &Input{History: &history.History{}},
		[]Checker{OneLeader{}, fake{"bad", says(Invalid)}})
	var buf bytes.Buffer
	if err := v.WriteJSON(&buf); err != nil {
		t.Fatal(err)
	}
	want := `{
  "schema": 1,
  "verdict": "invalid",
  "reason": "bad: because",
  "results": [
    {
      "checker": "one-leader-per-term",
      "property": "at most one leader per term",
      "verdict": "not observable",
      "reason": "no node said that it led"
    },
    {
      "checker": "bad",
      "property": "",
      "verdict": "invalid",
      "reason": "because"
    }
  ]
}
`
	if got := buf.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	var back Verdict
	if err := json.Unmarshal(buf.Bytes(), &back); err != nil || back.Validity != Invalid {
		t.Errorf("read back: %v, %v", back.Validity, err)
	}
}
