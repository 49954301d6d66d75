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

const (
	// setsAtOnce is how many sets grow at the same time.
	setsAtOnce = 4
	// setSize is how many elements a set gets before another takes its place, so that reads stay
	// small however long the run is.
	setSize = 250
)

// Set is elements that are added once and never removed, a key for each. An overwritten register
// hides that a write was lost; an element that is gone stays gone, and is looked for on every node
// when the run is over.
//
// An add takes an integer that no other add of the run takes; a read answers the elements, in the
// order in which the store lists them. Where the system can, every other element is written under a
// guard over the whole set.
type Set struct{}

// Name implements [Workload].
func (Set) Name() string { return "set" }

// Doc implements [Workload].
func (Set) Doc() string {
	return "unique elements, each a key; once acknowledged, each is seen for ever, on every node"
}

// Model implements [Workload]. Reads of many keys need not be of one moment, so that it is not the
// model of that name which judges.
func (Set) Model() string { return "grow-only-keys" }

// Functions implements [Workload].
func (Set) Functions() []string { return []string{"add", "read"} }

// Needs implements [Workload].
func (Set) Needs() []sut.Ability { return []sut.Ability{sut.AbleKV, sut.AbleRange} }

// Checkers implements [Workload].
func (Set) Checkers() []check.Checker { return []check.Checker{setChecker{}} }

// Operations implements [Workload].
func (Set) Operations(rng *rand.Rand, load Load) Operations {
	n := load.keys(setsAtOnce)
	g := &setOps{
		rng: rng, pick: load.picker(rng, n), sizes: load.sizes(rng), reads: load.reads(0.25),
		sets: make([]int, n), size: make([]int, n),
	}
	for i := range n {
		g.sets[i] = i
	}
	g.used = n
	return g
}

// setOps draws operations on the sets that are growing.
type setOps struct {
	rng   *rand.Rand
	pick  func() int
	sizes func() int
	reads float64
	sets  []int // the numbers of those that grow
	size  []int // how many elements each of them was given
	used  int   // how many sets there are
	added int64
}

func setKey(i int) string { return "s" + strconv.Itoa(i) }

func (g *setOps) Next(time.Duration, int) (history.Op, generator.State) {
	i := g.pick()
	op := history.Op{F: "read", Key: setKey(g.sets[i])}
	if g.rng.Float64() < g.reads {
		return op, generator.Ready
	}
	g.added++
	op.F, op.Value = "add", strconv.AppendInt(nil, sized(g.added, g.sizes()), 10)
	if g.size[i]++; g.size[i] == setSize {
		g.sets[i], g.size[i] = g.used, 0
		g.used++
	}
	return op, generator.Ready
}

func (g *setOps) Update(history.Op) {}

// Final implements [Operations].
func (g *setOps) Final() []history.Op {
	var ops []history.Op
	for i := range g.used {
		ops = append(ops, history.Op{F: "read", Key: setKey(i)})
	}
	return ops
}

// Do implements [Workload].
func (Set) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	prefix := op.Key + "/"
	switch op.F {
	case "read":
		items, err := conn.(sut.Ranger).Range(ctx, prefix)
		if err != nil {
			return complete(op, true, nil, err)
		}
		return complete(op, true, setElements(prefix, items), nil)
	case "add":
		key, value := prefix+string(op.Value), padded(string(op.Value))
		guarder, ok := conn.(sut.Guarder)
		if n, err := strconv.Atoi(string(op.Value)); !ok || err != nil || n%2 == 0 {
			return complete(op, false, nil, conn.(sut.KV).Put(ctx, key, value))
		}
		applied, err := guarder.PutGuarded(ctx, prefix, key, value)
		if err == nil && !applied {
			err = sut.Failed(fmt.Errorf("the guard does not hold"))
		}
		return complete(op, false, nil, err)
	}
	return complete(op, false, nil, unknownFunction(op))
}

// setElements are the elements that were found. One whose value is not its own is for the checker
// to see: it becomes a text, which nobody has added.
func setElements(prefix string, items []sut.Item) []json.RawMessage {
	all := make([]json.RawMessage, 0, len(items))
	for _, it := range items {
		name := strings.TrimPrefix(it.Key, prefix)
		if _, err := strconv.ParseInt(name, 10, 64); err != nil || it.Data != padded(name) {
			name = jsonText(fmt.Sprintf("%.40s=%.40s", name, it.Data))
		}
		all = append(all, json.RawMessage(name))
	}
	return all
}

// unknownFunction is the error of an operation that a workload does not know. It can not happen.
func unknownFunction(op history.Op) error {
	return sut.Failed(fmt.Errorf("unknown function %q", op.F))
}

// jsonText is text as a JSON string.
func jsonText(text string) string {
	raw, err := json.Marshal(text)
	if err != nil {
		panic("workloads: a text that is no JSON: " + err.Error())
	}
	return string(raw)
}
