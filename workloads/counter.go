package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// counters is how many counters there are.
const counters = 8

// Counter is counters that are incremented by one and read. An increment answers what the counter
// is then, so that every value that a counter ever had has one increment that made it.
//
// [Retry] sends each increment again and again until it was answered twice: "add-once" answers
// {"value":n}, and {"value":n,"again":m} if the second answer was another.
type Counter struct{}

// Name implements [Workload].
func (Counter) Name() string { return "counter" }

// Doc implements [Workload].
func (Counter) Doc() string {
	return "increments, each applied once, also if it is sent again; exact bounds of each read"
}

// Model implements [Workload].
func (Counter) Model() string { return "counter" }

// Functions implements [Workload].
func (Counter) Functions() []string { return []string{"add", "read"} }

// Needs implements [Workload].
func (Counter) Needs() []sut.Ability { return []sut.Ability{sut.AbleKV, sut.AbleIncrement} }

// Checkers implements [Workload].
func (Counter) Checkers() []check.Checker { return []check.Checker{counterChecker{}} }

// Operations implements [Workload].
func (Counter) Operations(rng *rand.Rand, load Load) Operations {
	return newCounterOps(rng, load, "add")
}

// Do implements [Workload].
func (Counter) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	switch op.F {
	case "read":
		v, err := conn.(sut.KV).Get(ctx, op.Key)
		if err != nil {
			return complete(op, true, nil, err)
		}
		return complete(op, true, counted(v), nil)
	case "add":
		n, err := conn.(sut.Incrementer).Increment(ctx, op.Key, 1)
		return complete(op, false, n, err)
	case "add-once":
		answer, err := addOnce(ctx, conn, op.Key)
		return complete(op, false, answer, err)
	}
	return complete(op, false, nil, unknownFunction(op))
}

// counted is what a counter's key holds: an absent one counts as 0, what is no number is a text.
func counted(v sut.Value) json.RawMessage {
	if !v.Present {
		return json.RawMessage("0")
	}
	if n, err := strconv.ParseInt(v.Data, 10, 64); err == nil {
		return strconv.AppendInt(nil, n, 10)
	}
	return json.RawMessage(jsonText(v.Data))
}

// onceAnswer is the answer to an increment that was sent again.
type onceAnswer struct {
	Value int64  `json:"value"`
	Again *int64 `json:"again,omitempty"`
}

// attempt is what one try of a request that is sent again may take.
const attempt = 500 * time.Millisecond

// addOnce sends an increment until it is answered, and then once more. What is known after the
// first answer stays known whatever becomes of the second.
func addOnce(ctx context.Context, conn sut.Conn, key string) (any, error) {
	view, err := conn.(sut.Retrier).Once(ctx)
	if err != nil {
		return nil, sut.Failed(err)
	}
	send := func() (int64, error) {
		ctx, cancel := context.WithTimeout(ctx, attempt)
		defer cancel()
		return view.(sut.Incrementer).Increment(ctx, key, 1)
	}
	open := false // an attempt may have had an effect
	for {
		n, err := send()
		if err == nil {
			answer := onceAnswer{Value: n}
			if again, err := send(); err == nil && again != n {
				answer.Again = &again
			}
			return answer, nil
		}
		open = open || !sut.Definite(err)
		switch {
		case !open:
			return nil, err
		case ctx.Err() != nil:
			return nil, errors.Join(errors.New("no attempt was answered"), err)
		}
		timer := time.NewTimer(attempt / 10)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Retry is the counter with requests that are sent again; the other promise of a session.
type Retry struct{ Counter }

// Name implements [Workload].
func (Retry) Name() string { return "counter-retry" }

// Doc implements [Workload].
func (Retry) Doc() string {
	return "the counter, with every increment sent at least twice: it must be applied once"
}

// Functions implements [Workload].
func (Retry) Functions() []string { return []string{"add-once", "read"} }

// Needs implements [Workload].
func (Retry) Needs() []sut.Ability {
	return []sut.Ability{sut.AbleKV, sut.AbleIncrement, sut.AbleRetry}
}

// Operations implements [Workload].
func (Retry) Operations(rng *rand.Rand, load Load) Operations {
	return newCounterOps(rng, load, "add-once")
}

func newCounterOps(rng *rand.Rand, load Load, add string) *counterOps {
	n := load.keys(counters)
	return &counterOps{rng: rng, n: n, pick: load.picker(rng, n), reads: load.reads(0.5), add: add}
}

type counterOps struct {
	rng   *rand.Rand
	n     int
	pick  func() int
	reads float64
	add   string
}

func counterKey(i int) string { return "c" + strconv.Itoa(i) }

// Next implements [generator.Generator].
func (g *counterOps) Next(time.Duration, int) (history.Op, generator.State) {
	op := history.Op{F: g.add, Key: counterKey(g.pick())}
	if g.rng.Float64() < g.reads {
		op.F = "read"
	}
	return op, generator.Ready
}

// Update implements [generator.Generator].
func (g *counterOps) Update(history.Op) {}

// Final implements [Operations].
func (g *counterOps) Final() []history.Op {
	var ops []history.Op
	for i := range g.n {
		ops = append(ops, history.Op{F: "read", Key: counterKey(i)})
	}
	return ops
}
