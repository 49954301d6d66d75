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
	// watchedKeys is how many keys are written and watched.
	watchedKeys = 10
	// watchPrefix is what they begin with.
	watchPrefix = "w"
	// watchTime is how long a watcher listens.
	watchTime = time.Second
)

// Watch is writes of keys and watchers of all of them. Every watcher must be told of every change
// after the version that it named, once, and in the order of versions.
//
// A write takes an integer that no other write takes, and answers {"version":n}. A watch takes and
// answers {"after":n}, the answer with "events", [[key,value,version],…], a null being a key that
// was deleted, and "broken" if it did not end by itself.
type Watch struct{}

// Name implements [Workload].
func (Watch) Name() string { return "watch" }

// Doc implements [Workload].
func (Watch) Doc() string {
	return "watchers are told of every change once, in order, and without a gap"
}

// Model implements [Workload].
func (Watch) Model() string { return "watch" }

// Functions implements [Workload].
func (Watch) Functions() []string { return []string{"write", "watch"} }

// Needs implements [Workload].
func (Watch) Needs() []sut.Ability {
	return []sut.Ability{sut.AbleKV, sut.AbleVersions, sut.AbleWatch}
}

// Checkers implements [Workload].
func (Watch) Checkers() []check.Checker { return []check.Checker{watchChecker{}} }

// Operations implements [Workload].
func (Watch) Operations(rng *rand.Rand, load Load) Operations {
	n := load.keys(watchedKeys)
	return &watchOps{rng: rng, n: n, pick: load.picker(rng, n)}
}

type watchOps struct {
	rng     *rand.Rand
	n       int
	pick    func() int
	value   int64
	version uint64 // the newest that a write answered
}

// watching is the argument and the answer of a watch.
type watching struct {
	After  uint64  `json:"after"`
	Events []event `json:"events,omitempty"`
	Broken string  `json:"broken,omitempty"`
}

// event is written as a list of three.
type event struct {
	key     string
	value   json.RawMessage
	version uint64
}

// MarshalJSON implements [json.Marshaler].
func (e event) MarshalJSON() ([]byte, error) {
	return json.Marshal([3]any{e.key, e.value, e.version})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (e *event) UnmarshalJSON(raw []byte) error {
	var parts []json.RawMessage
	err := json.Unmarshal(raw, &parts)
	if err == nil && len(parts) != 3 {
		err = fmt.Errorf("want [key,value,version]")
	}
	if err == nil {
		err = json.Unmarshal(parts[0], &e.key)
	}
	if err == nil {
		err = json.Unmarshal(parts[2], &e.version)
	}
	if err != nil {
		return fmt.Errorf("event %.60s: %w", raw, err)
	}
	e.value = parts[1]
	return nil
}

// Next implements [generator.Generator]. One operation in forty is a watch, which lasts; it begins
// at a version that is some way back, so that it is told what is old and what is new.
func (g *watchOps) Next(time.Duration, int) (history.Op, generator.State) {
	if g.rng.IntN(40) == 0 {
		back := uint64(g.rng.IntN(100))
		w := watching{After: g.version - min(back, g.version)}
		return history.Op{F: "watch", Value: figures(w)}, generator.Ready
	}
	g.value++
	key := watchPrefix + strconv.Itoa(g.pick())
	return history.Op{F: "write", Key: key, Value: strconv.AppendInt(nil, g.value, 10)},
		generator.Ready
}

// Update implements [generator.Generator].
func (g *watchOps) Update(done history.Op) {
	var answer struct{ Version uint64 }
	if done.F == "write" && done.Type == history.Ok &&
		json.Unmarshal(done.Value, &answer) == nil {
		g.version = max(g.version, answer.Version)
	}
}

// Final implements [Operations]: all that ever happened is watched once more on every node, and
// each key is read.
func (g *watchOps) Final() []history.Op {
	ops := []history.Op{{F: "watch", Value: figures(watching{})}}
	for i := range g.n {
		ops = append(ops, history.Op{F: "read", Key: watchPrefix + strconv.Itoa(i)})
	}
	return ops
}

// Do implements [Workload].
func (Watch) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	switch op.F {
	case "read":
		v, err := conn.(sut.KV).Get(ctx, op.Key)
		if err != nil {
			return complete(op, true, nil, err)
		}
		raw, err := registerValue(v)
		return complete(op, true, event{op.Key, raw, v.Version}, err)
	case "write":
		v, err := conn.(sut.VersionedWriter).PutVersioned(ctx, op.Key, string(op.Value))
		return complete(op, false, map[string]uint64{"version": v}, err)
	case "watch":
		var w watching
		if err := json.Unmarshal(op.Value, &w); err != nil {
			return complete(op, true, nil, sut.Failed(err))
		}
		ready, err := w.listen(ctx, conn.(sut.Watcher))
		if err == nil && !ready {
			err = fmt.Errorf("the watch was not confirmed within %v", watchTime)
		}
		if err != nil && ready {
			w.Broken, err = err.Error(), nil // what was told was told
		}
		return complete(op, true, w, err)
	}
	return complete(op, false, nil, unknownFunction(op))
}

// listen takes events for a while. It says whether the system confirmed that it watches.
func (w *watching) listen(ctx context.Context, watcher sut.Watcher) (ready bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, watchTime)
	defer cancel()
	err = watcher.Watch(ctx, watchPrefix, w.After, func() { ready = true }, func(e sut.Event) {
		value, err := registerValue(e.Value)
		if err != nil {
			value = json.RawMessage(jsonText(e.Data))
		}
		w.Events = append(w.Events, event{e.Key, value, e.Version})
	})
	return ready, err
}
