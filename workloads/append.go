package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

const (
	// listsAtOnce is how many lists grow at the same time; there are half as many registers.
	listsAtOnce = 8
	// listLength is how many elements a list gets before another takes its place.
	listLength = 60
)

// Append is elements appended to lists, alone and in transactions over several lists and registers.
// A list shows in which order its elements came, so that transactions can be judged by how they
// depend on each other.
//
// An append takes an integer, a read answers a list of them. A txn takes and answers a list of
// steps, ["append",key,v], ["r",key,null] and ["w",key,v]; the answer of an r stands in the place
// of its null. A register is never written without being read first.
//
// Where the system can append, the steps are carried out as they are. Where it can not, and for
// every fourth transaction where it can, the keys are read, and the writes are made under the
// condition that nothing has changed; a transaction whose condition did not hold has failed.
type Append struct{}

// Name implements [Workload].
func (Append) Name() string { return "append" }

// Doc implements [Workload].
func (Append) Doc() string {
	return "appends to lists, and transactions over lists and registers; strictly serializable"
}

// Model implements [Workload].
func (Append) Model() string { return "list-append" }

// Functions implements [Workload].
func (Append) Functions() []string { return []string{"append", "read", "txn"} }

// Needs implements [Workload].
func (Append) Needs() []sut.Ability { return []sut.Ability{sut.AbleKV, sut.AbleTxn} }

// Checkers implements [Workload].
func (Append) Checkers() []check.Checker { return []check.Checker{txnChecker{}} }

// Operations implements [Workload].
func (Append) Operations(rng *rand.Rand, load Load) Operations {
	n := load.keys(listsAtOnce)
	g := &appendOps{
		rng: rng, pick: load.picker(rng, n), reads: load.reads(0.5),
		lists: make([]int, n), size: make([]int, n), used: n, registers: max(n/2, 1),
	}
	for i := range n {
		g.lists[i] = i
	}
	return g
}

type appendOps struct {
	rng       *rand.Rand
	pick      func() int
	reads     float64
	lists     []int // the numbers of those that grow
	size      []int // how many elements each of them was given
	used      int   // how many lists there are
	registers int
	value     int64
}

// step is one of a transaction, written as a list of three.
type step struct {
	f, key string
	value  json.RawMessage // null for what a read has not found yet
}

// MarshalJSON implements [json.Marshaler].
func (s step) MarshalJSON() ([]byte, error) {
	if s.value == nil {
		s.value = json.RawMessage("null")
	}
	return json.Marshal([3]any{s.f, s.key, s.value})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (s *step) UnmarshalJSON(raw []byte) error {
	var parts []json.RawMessage
	err := json.Unmarshal(raw, &parts)
	if err == nil && len(parts) != 3 {
		err = fmt.Errorf("want [function,key,value]")
	}
	if err == nil {
		err = json.Unmarshal(parts[0], &s.f)
	}
	if err == nil {
		err = json.Unmarshal(parts[1], &s.key)
	}
	if err != nil {
		return fmt.Errorf("step %.60s: %w", raw, err)
	}
	s.value = parts[2]
	return nil
}

// Next implements [generator.Generator].
func (g *appendOps) Next(time.Duration, int) (history.Op, generator.State) {
	switch draw := g.rng.IntN(4); {
	case draw == 0 && g.rng.Float64() < g.reads:
		return history.Op{F: "read", Key: g.list()}, generator.Ready
	case draw == 0:
		key, v := g.element()
		return history.Op{F: "append", Key: key, Value: v}, generator.Ready
	}
	var steps []step
	for range 1 + g.rng.IntN(4) {
		read := g.rng.Float64() < g.reads
		switch register := g.rng.IntN(4) == 0; {
		case register:
			key := "r" + strconv.Itoa(g.rng.IntN(g.registers))
			steps = append(steps, step{f: "r", key: key})
			if !read {
				steps = append(steps, step{"w", key, g.next()})
			}
		case read:
			steps = append(steps, step{f: "r", key: g.list()})
		default:
			key, v := g.element()
			steps = append(steps, step{"append", key, v})
		}
	}
	return history.Op{F: "txn", Value: figures(steps)}, generator.Ready
}

func (g *appendOps) list() string { return "a" + strconv.Itoa(g.lists[g.pick()]) }

// element is one that was not used yet, and the list that it is for.
func (g *appendOps) element() (key string, v json.RawMessage) {
	i := g.pick()
	key = "a" + strconv.Itoa(g.lists[i])
	if g.size[i]++; g.size[i] == listLength {
		g.lists[i], g.size[i] = g.used, 0
		g.used++
	}
	return key, g.next()
}

func (g *appendOps) next() json.RawMessage {
	g.value++
	return strconv.AppendInt(nil, g.value, 10)
}

// Update implements [generator.Generator].
func (g *appendOps) Update(history.Op) {}

// Final implements [Operations].
func (g *appendOps) Final() []history.Op {
	var ops []history.Op
	for i := range g.used {
		ops = append(ops, history.Op{F: "read", Key: "a" + strconv.Itoa(i)})
	}
	for i := range g.registers {
		ops = append(ops, history.Op{F: "read", Key: "r" + strconv.Itoa(i)})
	}
	return ops
}

// Do implements [Workload].
func (Append) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	switch op.F {
	case "read":
		v, err := conn.(sut.KV).Get(ctx, op.Key)
		if err != nil {
			return complete(op, true, nil, err)
		}
		return complete(op, true, stored(op.Key, v), nil)
	case "append":
		if a, ok := conn.(sut.Appender); ok {
			return complete(op, false, nil, a.Append(ctx, op.Key, string(op.Value)+" "))
		}
		_, err := carefully(ctx, conn, []step{{"append", op.Key, op.Value}})
		return complete(op, false, nil, err)
	case "txn":
		var steps []step
		if err := json.Unmarshal(op.Value, &steps); err != nil {
			return complete(op, false, nil, sut.Failed(err))
		}
		readOnly := true
		var sum int64
		for _, s := range steps {
			readOnly = readOnly && s.f == "r"
			n, _ := strconv.ParseInt(string(s.value), 10, 64) // null is no number
			sum += n
		}
		do := directly
		if _, ok := conn.(sut.Appender); !ok || sum%4 == 1 {
			do = carefully
		}
		answer, err := do(ctx, conn, steps)
		return complete(op, readOnly, answer, err)
	}
	return complete(op, false, nil, unknownFunction(op))
}
