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
)

// queues is how many queues there are.
const queues = 4

// Queue is first-in-first-out queues of unique elements. A queue is a text under one key: an
// enqueue appends to it, a dequeue reads it and takes the first element off if nothing has changed.
//
// An enqueue takes an integer. A dequeue answers one, or null if the queue was empty; one that ends
// in info says which element it may have taken. At the end "list" answers all that is left.
type Queue struct{}

// Name implements [Workload].
func (Queue) Name() string { return "queue" }

// Doc implements [Workload].
func (Queue) Doc() string {
	return "enqueue and dequeue: nothing is lost, nothing comes twice, first in is first out"
}

// Model implements [Workload].
func (Queue) Model() string { return "fifo-queue" }

// Functions implements [Workload].
func (Queue) Functions() []string { return []string{"enqueue", "dequeue", "list"} }

// Needs implements [Workload].
func (Queue) Needs() []sut.Ability { return []sut.Ability{sut.AbleKV, sut.AbleAppend} }

// Checkers implements [Workload].
func (Queue) Checkers() []check.Checker { return []check.Checker{queueChecker{}} }

// Operations implements [Workload].
func (Queue) Operations(rng *rand.Rand, load Load) Operations {
	n := load.keys(queues)
	return &queueOps{rng: rng, n: n, pick: load.picker(rng, n), dequeues: load.reads(0.55)}
}

type queueOps struct {
	rng      *rand.Rand
	n        int
	pick     func() int
	dequeues float64
	value    int64
}

func queueKey(i int) string { return "q" + strconv.Itoa(i) }

// Next implements [generator.Generator]. The share of reads is that of dequeues.
func (g *queueOps) Next(time.Duration, int) (history.Op, generator.State) {
	op := history.Op{F: "dequeue", Key: queueKey(g.pick())}
	if g.rng.Float64() >= g.dequeues {
		g.value++
		op.F, op.Value = "enqueue", strconv.AppendInt(nil, g.value, 10)
	}
	return op, generator.Ready
}

// Update implements [generator.Generator].
func (g *queueOps) Update(history.Op) {}

// Final implements [Operations].
func (g *queueOps) Final() []history.Op {
	var ops []history.Op
	for i := range g.n {
		ops = append(ops, history.Op{F: "list", Key: queueKey(i)})
	}
	return ops
}

// Do implements [Workload].
func (Queue) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	switch op.F {
	case "enqueue":
		err := conn.(sut.Appender).Append(ctx, op.Key, string(op.Value)+" ")
		return complete(op, false, nil, err)
	case "dequeue":
		return dequeue(ctx, conn.(sut.KV), op)
	case "list":
		v, err := conn.(sut.KV).Get(ctx, op.Key)
		if err != nil {
			return complete(op, true, nil, err)
		}
		return complete(op, true, stored("a", v), nil)
	}
	return complete(op, false, nil, unknownFunction(op))
}

// dequeue takes the first element off. As long as only the reading was done nothing has happened.
func dequeue(ctx context.Context, kv sut.KV, op history.Op) history.Op {
	v, err := kv.Get(ctx, op.Key)
	if err != nil {
		return complete(op, true, nil, err)
	}
	head, rest, _ := strings.Cut(v.Data, " ")
	if head == "" {
		return complete(op, true, json.RawMessage("null"), nil)
	}
	if _, err := strconv.ParseInt(head, 10, 64); err != nil {
		head = jsonText(head)
	}
	res, err := kv.CAS(ctx, op.Key, v.Data, rest)
	switch {
	case err != nil:
		op.Value = json.RawMessage(head)
		return complete(op, false, nil, err)
	case !res.Swapped:
		return complete(op, false, nil, sut.Failed(fmt.Errorf("the queue has changed")))
	}
	return complete(op, false, json.RawMessage(head), nil)
}
