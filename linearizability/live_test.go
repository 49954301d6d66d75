package linearizability

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/simulate"
)

// recorded makes a history of simulated operations, as a recorder would have written it.
func recorded(byKey [][]register.Op) *history.History {
	type line struct {
		at int64
		op history.Op
	}
	var lines []line
	for k, ops := range byKey {
		for _, o := range ops {
			op := history.Op{
				Process: history.Process(o.ID), Key: fmt.Sprint("k", k), Type: history.Invoke,
				Time: time.Duration(o.Call), F: "read",
			}
			done := op
			done.Type = history.Ok
			switch o.Kind {
			case register.Read:
				done.Value = json.RawMessage("null")
				if o.A != register.Absent {
					done.Value = fmt.Append(nil, o.A)
				}
			case register.Write:
				op.F, op.Value = "write", fmt.Append(nil, o.B)
			default:
				a := fmt.Sprint(o.A)
				if o.A == register.Absent {
					a = "null"
				}
				op.F, op.Value = "cas", fmt.Appendf(nil, "[%s,%d]", a, o.B)
				done.Value = json.RawMessage(`{"swapped":true}`)
			}
			ret := o.Ret
			if o.Maybe {
				ret, done.Type, done.Value = o.Call+10e6, history.Info, nil
			}
			done.F, done.Time = op.F, time.Duration(ret)
			lines = append(lines, line{o.Call, op}, line{ret, done})
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	h := &history.History{Complete: true}
	for i, l := range lines {
		l.op.Index = int64(i)
		h.Ops = append(h.Ops, l.op)
	}
	return h
}

// TestLiveAgrees holds that what is found while the run goes on is found in the file, and the other
// way round.
func TestLiveAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	found := 0
	for seed := range uint64(40) {
		p := simulate.Params{
			Ops: 2000, Clients: 1 + rng.IntN(10), Keys: 1 + rng.IntN(3), Reads: .5,
			CAS: float64(rng.IntN(2)) * .3, Tells: true, Indeterminate: .02,
			Stale: seed%2 == 0, Seed: seed,
		}
		h := recorded(simulate.Run(p))
		live := NewLive()
		var bad *check.Finding
		for _, op := range h.Ops {
			if bad = live.Append(op); bad != nil {
				break
			}
		}
		res := judge(t, h)
		if (res.Validity == check.Invalid) != (bad != nil) {
			t.Errorf("%+v: while it went on %v, in the end %v (%s)", p, bad, res.Validity, res.Reason)
		}
		if bad == nil {
			continue
		}
		found++
		upto := &history.History{Ops: h.Ops[:bad.Ops[0]]}
		if res := judge(t, upto); res.Validity != check.Valid {
			t.Errorf("%+v: found at operation %d, but before it was %v already", p, bad.Ops[0],
				res.Validity)
		}
	}
	if found < 10 {
		t.Errorf("only %d were found: this tests nothing", found)
	}
}

func TestLiveGivesUp(t *testing.T) {
	for _, h := range []*history.History{
		script(t, "0 1-2 ok write x 5", "0 3-4 ok delete x", "1 5-6 ok read x null"),
		script(t, "0 1-2 ok write x 5", "0 3-4 ok write x 4", "1 5-6 ok read x 4"),
		script(t, `0 1-2 ok write x "a"`, `1 5-6 ok read x "a"`),
		script(t, "0 1-2 ok write x 5", `0 3-4 ok cas x [7,8] {"swapped":false}`),
		script(t, "0 1-2 fail write x 5", "1 5-6 ok read x null"),
	} {
		live := NewLive()
		for _, op := range h.Ops {
			if bad := live.Append(op); bad != nil {
				t.Errorf("%v is no violation: %s", h.Ops, bad.Text)
			}
		}
	}
}
