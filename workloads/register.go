package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/linearizability"
)

// registerKeys is how many registers there are. Enough for operations on different keys to say
// little about each other, few enough for each to be busy and to be read again by other clients.
const registerKeys = 20

// Register is reads, writes and compare-and-sets of many independent registers. No value is written
// twice, which makes a read say which write it saw, and indeterminate writes cheap to judge.
//
// Values are JSON integers. A read answers a value, or null if the key is absent; a cas takes
// [old,new] and answers {"swapped":bool} and, when it was not swapped and the store tells,
// {"found":value}.
type Register struct{}

// Name implements [Workload].
func (Register) Name() string { return "register" }

// Doc implements [Workload].
func (Register) Doc() string {
	return "read, write and compare-and-set of single keys; linearizable per key"
}

// Model implements [Workload].
func (Register) Model() string { return "cas-register" }

// Functions implements [Workload].
func (Register) Functions() []string { return []string{"read", "write", "cas"} }

// Needs implements [Workload].
func (Register) Needs() []sut.Ability { return []sut.Ability{sut.AbleKV} }

// Operations implements [Workload].
func (Register) Operations(rng *rand.Rand, load Load) Operations {
	keys := load.keys(registerKeys)
	return &registerOps{
		rng: rng, keys: keys, pick: load.picker(rng, keys), sizes: load.sizes(rng),
		reads: load.reads(0.5), last: map[string]int64{},
	}
}

// Checkers implements [Workload].
func (Register) Checkers() []check.Checker {
	return []check.Checker{linearizability.NewChecker(linearizability.Options{})}
}

func registerKey(i int) string { return "k" + strconv.Itoa(i) }

// registerOps draws operations: half are reads, if nothing else is asked for; the rest are writes
// and, where a value of the key is known, as many compare-and-sets from the value seen last, most
// of which then succeed.
type registerOps struct {
	rng     *rand.Rand
	keys    int
	pick    func() int
	sizes   func() int // of the next value
	reads   float64
	written int64            // how many values are used; each is used once
	last    map[string]int64 // by key, the value seen last
}

func (g *registerOps) Next(time.Duration, int) (history.Op, generator.State) {
	op := history.Op{Key: registerKey(g.pick())}
	old, known := g.last[op.Key]
	switch {
	case g.rng.Float64() < g.reads:
		op.F = "read"
	case known && g.rng.IntN(2) == 0:
		op.F = "cas"
		op.Value = fmt.Appendf(nil, "[%d,%d]", old, g.value())
	default:
		op.F = "write"
		op.Value = strconv.AppendInt(nil, g.value(), 10)
	}
	return op, generator.Ready
}

// value is one that was not used yet.
func (g *registerOps) value() int64 {
	g.written++
	return sized(g.written, g.sizes())
}

// Final implements [Operations].
func (g *registerOps) Final() []history.Op {
	var ops []history.Op
	for i := range g.keys {
		ops = append(ops, history.Op{F: "read", Key: registerKey(i)})
	}
	return ops
}

func (g *registerOps) Update(done history.Op) {
	if done.Type != history.Ok || done.F == "cas" {
		return
	}
	if v, err := strconv.ParseInt(string(done.Value), 10, 64); err == nil {
		g.last[done.Key] = v
	}
}

// casAnswer is the answer to a compare-and-set.
type casAnswer struct {
	Swapped bool             `json:"swapped"`
	Found   *json.RawMessage `json:"found,omitempty"`
}

// Do implements [Workload].
func (Register) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	kv, ok := conn.(sut.KV)
	if !ok {
		return complete(op, false, nil, sut.Failed(fmt.Errorf("the system is no key-value store")))
	}
	switch op.F {
	case "read":
		v, err := kv.Get(ctx, op.Key)
		if err != nil {
			return complete(op, true, nil, err)
		}
		raw, err := registerValue(v)
		return complete(op, true, raw, err)
	case "write":
		return complete(op, false, nil, kv.Put(ctx, op.Key, padded(string(op.Value))))
	case "cas":
		return registerCAS(ctx, kv, op)
	}
	return complete(op, false, nil, sut.Failed(fmt.Errorf("unknown function %q", op.F)))
}

func registerCAS(ctx context.Context, kv sut.KV, op history.Op) history.Op {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(op.Value, &pair); err != nil {
		return complete(op, false, nil, sut.Failed(fmt.Errorf("cas of %s: %w", op.Value, err)))
	}
	res, err := kv.CAS(ctx, op.Key, padded(string(pair[0])), padded(string(pair[1])))
	if err != nil {
		return complete(op, false, nil, err)
	}
	answer := casAnswer{Swapped: res.Swapped}
	if !res.Swapped && res.Found != nil {
		raw, err := registerValue(*res.Found)
		if err != nil {
			return complete(op, false, nil, err)
		}
		answer.Found = &raw
	}
	return complete(op, false, answer, nil)
}

// registerValue is what the store holds, as JSON. A store may hold what nobody wrote: that is for
// the checker to see, so whatever is not JSON becomes a JSON string.
func registerValue(v sut.Value) (json.RawMessage, error) {
	switch {
	case !v.Present:
		return json.RawMessage("null"), nil
	case json.Valid([]byte(v.Data)):
		if text := strings.TrimRight(v.Data, " "); padded(text) == v.Data {
			return json.RawMessage(text), nil
		}
	}
	return json.Marshal(v.Data)
}
