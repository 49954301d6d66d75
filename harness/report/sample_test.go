package report_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/report"
)

// sampler makes up the history of a run: clients on registers that are kept in a map, so that
// every read is right until the sampler is told otherwise.
type sampler struct {
	t     testing.TB
	rng   *rand.Rand
	ops   []history.Op
	state map[string]int
	next  int
}

func raw(t testing.TB, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// done puts the operations in order of time and numbers them.
func (s *sampler) done(complete bool) *history.History {
	slices.SortStableFunc(s.ops, func(a, b history.Op) int { return int(a.Time - b.Time) })
	for i := range s.ops {
		s.ops[i].Index = int64(i)
	}
	return &history.History{
		Header: history.Header{
			Run: "20261121T071500Z-register-00000000000004d2", Raftcheck: "v0.1.0",
			Started:  time.Date(2026, 11, 21, 7, 15, 0, 0, time.UTC),
			Workload: "register", Model: "cas-register", System: "raftkv", Seed: 1234,
			Nodes: []string{"n1", "n2", "n3", "n4", "n5"}, Faults: []string{"partition", "kill"},
		},
		Ops: s.ops, Complete: complete,
	}
}

func newSampler(t testing.TB) *sampler {
	return &sampler{t: t, rng: rand.New(rand.NewPCG(1, 2)), state: map[string]int{}}
}

func (s *sampler) fault(step int, f, target string, nodes []string, from, to int) {
	v := map[string]any{"step": step, "action": "inject", "target": target}
	s.ops = append(s.ops, history.Op{Process: history.Nemesis, Type: history.Invoke, F: f,
		Value: raw(s.t, v), Time: ms(from)})
	v["outcome"], v["nodes"] = "installed", nodes
	if nodes == nil {
		v["outcome"], v["reason"] = "skipped", "nobody led for 3s"
	}
	s.ops = append(s.ops, history.Op{Process: history.Nemesis, Type: history.Info, F: f,
		Value: raw(s.t, v), Time: ms(from + 40)})
	v["action"] = "heal"
	s.ops = append(s.ops, history.Op{Process: history.Nemesis, Type: history.Invoke, F: f,
		Value: raw(s.t, v), Time: ms(to)})
	v["outcome"] = "healed"
	s.ops = append(s.ops, history.Op{Process: history.Nemesis, Type: history.Info, F: f,
		Value: raw(s.t, v), Time: ms(to + 30)})
}

func (s *sampler) status(at int, node string, term int, role string) {
	s.ops = append(s.ops, history.Op{Process: history.Observer, Type: history.Info, F: "status",
		Node: node, Time: ms(at),
		Value: raw(s.t, map[string]any{"id": node, "term": term, "role": role})})
}

// work lets clients work from one time to another, in milliseconds. Between badFrom and badTo most
// operations end in info or fail.
func (s *sampler) work(clients, keys, from, to, badFrom, badTo int) {
	for c := range clients {
		process := history.Process(c)
		for at := from + c*3; at < to; {
			key := fmt.Sprintf("k%d", s.rng.IntN(keys))
			took := 2 + s.rng.IntN(9)
			op := history.Op{Process: process, Type: history.Invoke, F: "read", Key: key,
				Time: ms(at), Node: fmt.Sprintf("n%d", 1+c%5)}
			if s.rng.IntN(2) == 0 {
				s.next++
				op.F, op.Value = "write", raw(s.t, s.next)
			}
			end := op
			end.Type = history.Ok
			if at > badFrom && at < badTo && s.rng.IntN(4) > 0 {
				end.Type, end.Error = history.Info, "n1: no answer within 1s"
				took = 1000
				process += history.Process(clients)
				if op.F == "read" {
					end.Type, end.Error = history.Fail, "n1: connection refused"
				}
			}
			end.Time = ms(at + took)
			if op.F == "read" && end.Type == history.Ok {
				end.Value = raw(s.t, s.state[key])
			} else if end.Type == history.Ok {
				s.state[key] = s.next
			}
			s.ops = append(s.ops, op, end)
			at += took + 5 + s.rng.IntN(60)
		}
	}
}

func (s *sampler) client(process, from, to int, f, key string, arg, answer any, node string) {
	op := history.Op{Process: history.Process(process), Type: history.Invoke, F: f, Key: key,
		Time: ms(from), Node: node}
	if arg != nil {
		op.Value = raw(s.t, arg)
	}
	end := op
	end.Type, end.Time, end.Value = history.Ok, ms(to), raw(s.t, answer)
	s.ops = append(s.ops, op, end)
}

func (s *sampler) story(scale int) {
	s.fault(1, "partition-leader", "leader", []string{"n1"}, 600*scale, 1500*scale)
	s.fault(2, "kill", "follower", []string{"n3"}, 1100*scale, 1300*scale)
	s.fault(3, "pause", "leader", nil, 1700*scale, 1750*scale)
	s.status(0, "n1", 2, "leader")
	s.status(0, "n2", 2, "follower")
	s.status(800*scale, "n2", 3, "leader")
	s.status(1520*scale, "n1", 3, "follower")
	s.ops = append(s.ops, history.Op{Process: history.Observer, Type: history.Info, F: "exit",
		Node: "n3", Time: ms(1110 * scale), Value: raw(s.t, map[string]any{"code": 137})})
	s.work(4, 5, 0, 2000*scale, 620*scale, 800*scale)
}

var rows = []check.Result{
	{Checker: "linearizability", Property: "linearizable reads and writes", Validity: check.Valid,
		Summary: "203 operations on 5 keys; porcupine"},
	{Checker: "recovery", Property: "back to work after heal", Validity: check.Valid,
		Summary: "0.21 s at the most, 10 s allowed"},
	{Checker: "coverage", Property: "the run tested what it set out to", Validity: check.Valid,
		Summary: "2 functions, 2 faults"},
	{Checker: "traces", Property: "at most one leader per term", Validity: check.NotObservable,
		Reason: "the system offers no trace"},
}

func input(h *history.History) report.Input {
	return report.Input{
		Run: report.Run{
			Runtime: "docker", Image: "raftcheck-node:0123456789ab", TimeLimit: 2 * time.Second,
			Rate: 200, Concurrency: 4, Faults: []string{"partition-leader", "kill", "pause"},
			Versions: map[string]string{"raftcheck": "v0.1.0", "go": "go1.26", "engine": "20.10"},
			Repeat:   "raftcheck test --seed 1234 --faults partition-leader,kill,pause",
			Recheck:  "raftcheck check store/20261121T071500Z-register-00000000000004d2",
			Dir:      "store/20261121T071500Z-register-00000000000004d2",
			Plan:     json.RawMessage(`{"steps":[{"fault":"kill","target":"follower"}]}`),
		},
		History: h, Verdict: check.Valid, Results: slices.Clone(rows),
		Dir: fstest.MapFS{"nodes/n1.log": {Data: []byte("{\"msg\":\"serving\"}\n")}},
	}
}

func validRun(t testing.TB) report.Input {
	s := newSampler(t)
	s.story(1)
	return input(s.done(true))
}

// staleRun is a run in which a leader that was cut off answered a read from its own state.
func staleRun(t testing.TB, scale int) report.Input {
	s := newSampler(t)
	s.story(scale)
	at := 900 * scale
	s.client(101, at-60, at-48, "write", "k3", 77001, nil, "n2")
	s.client(102, at-30, at-12, "write", "k3", 77002, nil, "n2")
	s.client(103, at, at+7, "read", "k3", nil, 77001, "n1")
	s.client(104, at+4, at+21, "read", "k3", nil, 77002, "n2")
	s.client(105, at+6, at+26, "cas", "k3", []int{77002, 77003},
		map[string]any{"swapped": true}, "n2")
	h := s.done(true)
	var proof []int64
	for _, op := range h.Ops {
		if p := op.Process; p == 102 || p == 103 {
			proof = append(proof, op.Index)
		}
	}
	in := input(h)
	in.Verdict = check.Invalid
	in.Why = "linearizable reads and writes: stale read of k3"
	in.Results[0].Validity = check.Invalid
	in.Results[0].Reason = "stale read of k3"
	in.Results[0].Findings = []check.Finding{{
		Class: "stale read", Key: "k3", Node: "n1", Time: ms(at), Ops: proof,
		Text: "Process 103 read 77001 from n1, 12 ms after the write of 77002 had ended in ok.\n" +
			"A read that begins after a write has ended must see it, or a later one.",
	}}
	return in
}

func unknownRun(t testing.TB) report.Input {
	in := validRun(t)
	in.Verdict, in.Why = check.Unknown, "the run did not test what it set out to"
	in.Results[2] = check.Result{
		Checker: "coverage", Property: "the run tested what it set out to",
		Validity: check.Unknown, Reason: "1 of 3 faults was never installed",
		Findings: []check.Finding{{Class: "never installed",
			Text: "The fault pause was asked for and never installed: nobody led for 3s."}},
	}
	return in
}

// shortRun is a history that was cut in the middle of everything.
func shortRun(t testing.TB) report.Input {
	s := newSampler(t)
	s.story(1)
	h := s.done(false)
	h.Ops = h.Ops[:len(h.Ops)/2]
	in := input(h)
	in.Verdict, in.Why = check.Unknown, "the history is cut short"
	in.Interrupted = true
	in.Failure = "the engine went away: dial unix /var/run/docker.sock: connection refused"
	return in
}

// hostileRun has values that are made to break whatever shows them.
func hostileRun(t testing.TB) report.Input {
	const script = `</script></style><script>alert(1)</script><img src=x onerror=alert(1)>`
	s := newSampler(t)
	s.client(0, 0, 10, "write", script, script, nil, script)
	s.client(1, 20, 30, "read", script, nil, "\x1b[2J\x07javascript:alert(1)", script)
	s.fault(1, script, script, []string{script}, 5, 25)
	in := input(s.done(true))
	in.Run.Seed, in.Run.Repeat, in.Run.Nodes = 7, script, []string{script}
	in.Run.Versions, in.Run.ID = map[string]string{script: script}, script
	in.Verdict, in.Why, in.Failure = check.Invalid, script+"\x1b[31m", script
	in.Results = []check.Result{{Checker: script, Property: script, Validity: check.Invalid,
		Summary: script, Reason: script, Findings: []check.Finding{{
			Class: script, Key: script, Node: script, Text: script, Ops: []int64{0, 2}}}}}
	return in
}
