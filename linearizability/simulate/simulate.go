// Package simulate makes histories of a correct store under load, and of one with a planted stale
// read, for benchmarks and tests. The same parameters give the same histories.
package simulate

import (
	"container/heap"
	"math/rand/v2"
	"slices"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Params say what is simulated: clients in a closed loop, each operation taking 0.1 ms plus an
// exponentially distributed time with a mean of 1 ms, and taking effect at a moment uniform in it.
// The next operation of a client begins 1 ns after the last one returned.
type Params struct {
	// Ops is how many operations there are in all, Clients how many work at once, Keys on how many
	// keys, uniformly.
	Ops, Clients, Keys int
	// Reads is the share of reads, CAS that of compare-and-sets. The rest are writes. A cas
	// expects what its client knows of the key.
	Reads, CAS float64
	// Values is how many values there are, from 1; zero if each is written once to its key, where
	// they are numbered in order. With Values, a cas expects any of them half of the time.
	Values int
	// Tells says that a cas that was refused tells what it found.
	Tells bool
	// Indeterminate is the share of mutators whose client learns nothing. It goes on after 10 ms,
	// and half of them take effect, within 20 ms.
	Indeterminate float64
	// Stale plants one stale read: the first read in the last tenth that can be made to find what
	// was overwritten before it began.
	Stale bool
	Seed  uint64
}

// event is a moment of an operation: when it is called, takes effect, or returns.
type event struct {
	at   int64
	kind uint8 // 0 call, 1 effect, 2 return
	op   int32 // or the client, for a call
}

type queue []event

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push implements [heap.Interface].
func (q *queue) Push(x any) { *q = append(*q, x.(event)) }

// Pop implements [heap.Interface].
func (q *queue) Pop() any {
	e := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return e
}

type simulation struct {
	Params
	rng    *rand.Rand
	queue  queue
	ops    []register.Op
	key    []int32
	client []int32
	state  []register.Value
	knows  [][]register.Value // by client and key
	fresh  []register.Value   // by key, the last value that was written
}

// Run simulates, and gives the operations of each key in order of their calls. Their IDs count
// all operations in that order.
func Run(p Params) [][]register.Op {
	s := &simulation{
		Params: p, rng: rand.New(rand.NewPCG(p.Seed, 0x5eed)),
		state: make([]register.Value, p.Keys), fresh: make([]register.Value, p.Keys),
		knows: make([][]register.Value, p.Clients),
	}
	for c := range s.knows {
		s.knows[c] = make([]register.Value, p.Keys)
		heap.Push(&s.queue, event{at: int64(c), op: int32(c)})
	}
	for len(s.queue) > 0 {
		e := heap.Pop(&s.queue).(event)
		switch e.kind {
		case 0:
			s.call(e)
		case 1:
			s.effect(e.op)
		default:
			s.ended(e)
		}
	}
	byKey := make([][]register.Op, p.Keys)
	for i, o := range s.ops {
		byKey[s.key[i]] = append(byKey[s.key[i]], o)
	}
	if p.Stale {
		plant(byKey, int32(p.Ops/10*9))
	}
	return byKey
}

func (s *simulation) call(e event) {
	if len(s.ops) == s.Ops {
		return
	}
	client, id := e.op, int32(len(s.ops))
	key := int32(s.rng.IntN(s.Keys))
	o := register.Op{ID: id, Call: e.at, Kind: register.Read}
	latency := 100_000 + int64(s.rng.ExpFloat64()*1e6)
	o.Ret = e.at + latency
	effect := e.at + s.rng.Int64N(latency+1)
	if draw := s.rng.Float64(); draw >= s.Reads {
		o.Kind, o.B = register.Write, s.value(key)
		if draw < s.Reads+s.CAS {
			o.Kind, o.A = register.CAS, s.knows[client][key]
			if s.Values > 0 && s.rng.IntN(2) == 0 {
				o.A = register.Value(1 + s.rng.IntN(s.Values))
			}
		}
		if s.rng.Float64() < s.Indeterminate {
			o.Maybe, o.Ret = true, register.Never
			effect = e.at + s.rng.Int64N(20e6)
		}
	}
	s.ops = append(s.ops, o)
	s.key = append(s.key, key)
	s.client = append(s.client, client)
	if !o.Maybe || s.rng.IntN(2) == 0 {
		heap.Push(&s.queue, event{effect, 1, id})
	}
	end := o.Ret
	if o.Maybe {
		end = e.at + 10e6
	}
	heap.Push(&s.queue, event{end, 2, id})
}

func (s *simulation) value(key int32) register.Value {
	if s.Values > 0 {
		return register.Value(1 + s.rng.IntN(s.Values))
	}
	s.fresh[key]++
	return s.fresh[key]
}

func (s *simulation) effect(i int32) {
	o := &s.ops[i]
	state := &s.state[s.key[i]]
	switch {
	case o.Kind == register.Read:
		o.A = *state
	case o.Kind == register.Write:
		*state = o.B
	case o.A == *state:
		*state = o.B
	case o.Maybe:
	case s.Tells:
		o.Kind, o.A, o.B = register.Read, *state, register.Absent
	default:
		o.Kind, o.B = register.Miss, register.Absent
	}
}

func (s *simulation) ended(e event) {
	o := &s.ops[e.op]
	client, key := s.client[e.op], s.key[e.op]
	switch {
	case o.Maybe || o.Kind == register.Miss:
	case o.Kind == register.Read:
		s.knows[client][key] = o.A
	default:
		s.knows[client][key] = o.B
	}
	heap.Push(&s.queue, event{at: e.at + 1, op: client})
}

// plant makes the first read that can be from the operation first on find what it must not.
func plant(byKey [][]register.Op, first int32) {
	best, key := int32(-1), -1
	var old register.Value
	for k, ops := range byKey {
		for i := range ops {
			r := &ops[i]
			if r.Kind != register.Read || r.ID < first || best >= 0 && r.ID >= best {
				continue
			}
			if v, ok := overwritten(ops[:i], r); ok {
				best, key, old = r.ID, k, v
				break
			}
		}
	}
	if best < 0 {
		return
	}
	at := slices.IndexFunc(byKey[key], func(o register.Op) bool { return o.ID == best })
	byKey[key][at].A = old
}

// overwritten finds a value whose write had returned before another write was called that had
// itself returned before r was called.
func overwritten(before []register.Op, r *register.Op) (register.Value, bool) {
	for n := len(before) - 1; n >= 0; n-- {
		w := &before[n]
		if w.Kind != register.Write || w.Maybe || w.Ret >= r.Call {
			continue
		}
		for o := n - 1; o >= 0; o-- {
			old := &before[o]
			if old.Kind == register.Write && !old.Maybe && old.Ret < w.Call && old.B != w.B {
				return old.B, true
			}
		}
	}
	return 0, false
}
