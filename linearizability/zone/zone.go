// Package zone decides histories of a register in which no value is written twice, in O(n log n).
//
// Such a history says of each read which write it saw. The operations on one value are a cluster:
// its writer, then its readers. A compare-and-set from a to b must follow directly on the cluster
// of a and begins that of b, so clusters are linked to chains, and a chain is one contiguous block
// of any linearization, in known order. Let f be the first return in a block and s its last call.
// Block A must come before block B if and only if f(A) < s(B): if A is not before B, all of B is
// before all of A. So the history is linearizable if and only if each block is right in itself and
// no two blocks must each come before the other. That these pairs are enough: the relation is a
// Ferrers relation, so a cycle in it has a chord, and a shortest cycle of three or more would need
// f1 ≥ s3 > f2 ≥ s1 > f3 ≥ s2 > f1.
//
// A block with f < s is a forward zone: its value stood from f to s. Two forward zones that overlap
// are a contradiction, and so is a block whose calls and returns lie wholly inside a forward zone.
//
// The idea is that of Gibbons and Korach, "Testing shared memories", SIAM J. Comput. 26(4), 1997,
// sections 4.1 and 4.3.
package zone

import (
	"cmp"
	"math"
	"slices"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

const none = -1

// cluster is what is known of a value.
type cluster struct {
	first  int64 // the first return of a reader
	last   int64 // the last call of a reader
	writer int32 // position of the writer, or none
	next   int32 // position of the cas that goes on from here, or none
	reads  int32 // how many readers; later, where theirs end among all readers
}

// block is a chain of clusters.
type block struct {
	f, s int64
	head register.Value
}

// compare sorts blocks by where their zones begin, backward ones first. If no two contradict each
// other, that is an order in which they can have happened.
func (b *block) compare(o *block) int {
	if c := cmp.Compare(min(b.f, b.s), min(o.f, o.s)); c != 0 {
		return c
	}
	switch {
	case b.forward() == o.forward():
		return 0
	case o.forward():
		return -1
	}
	return 1
}

func (b *block) forward() bool { return b.f < b.s }

// state is a decision under way.
type state struct {
	ops      []register.Op
	required []bool    // by value, for a Maybe; nil if there is none
	clusters []cluster // by value
	blocks   []block
	misses   []int32
}

// Decide decides ops, or says that it can not: where a value is written twice, or a delete writes
// one that was there before. It makes sure of that itself. A Maybe that nobody observed is taken to
// have never happened, see [register.Normalize]. A Miss is tried where it fits in one order that is
// known to be right without it; if it does not fit, it is undecided, unless it can not fit
// anywhere.
func Decide(ops []register.Op) register.Decision {
	if top := topValue(ops); int(top) > 2*len(ops)+16 {
		ops = renumber(ops)
	}
	s := &state{ops: ops, required: register.Required(ops)}
	d := s.decide()
	d.Steps = int64(len(ops))
	return d
}

func undecided(reason string) register.Decision { return register.Decision{Reason: reason} }

func illegal(core ...int32) register.Decision {
	slices.Sort(core)
	return register.Decision{Answer: register.Illegal, Core: slices.Compact(core)}
}

func (s *state) decide() register.Decision {
	if d, ok := s.collect(); !ok {
		return d
	}
	if d, ok := s.link(); !ok {
		return d
	}
	sortBlocks(s.blocks)
	if d, ok := s.compare(); !ok {
		return d
	}
	order := s.order()
	if len(s.misses) > 0 {
		return s.place(order)
	}
	return register.Decision{Answer: register.Legal, Order: order}
}

func topValue(ops []register.Op) (top register.Value) {
	for i := range ops {
		top = max(top, ops[i].A, ops[i].B)
	}
	return top
}

// renumber makes the numbers of values dense, for histories that were cut out of longer ones.
func renumber(ops []register.Op) []register.Op {
	number := map[register.Value]register.Value{register.Absent: register.Absent}
	dense := func(v register.Value) register.Value {
		n, ok := number[v]
		if !ok {
			n = register.Value(len(number))
			number[v] = n
		}
		return n
	}
	out := slices.Clone(ops)
	for i := range out {
		out[i].A, out[i].B = dense(out[i].A), dense(out[i].B)
	}
	return out
}

// collect puts each operation into its cluster.
func (s *state) collect() (d register.Decision, ok bool) {
	s.clusters = make([]cluster, topValue(s.ops)+1)
	for v := range s.clusters {
		s.clusters[v] = cluster{first: math.MaxInt64, last: math.MinInt64, writer: none, next: none}
	}
	for i := range s.ops {
		o := &s.ops[i]
		if o.Mutates() && s.happened(o) {
			if o.B == register.Absent {
				return undecided("a delete writes what was there before"), false
			}
			if s.clusters[o.B].writer != none {
				return undecided("a value is written twice"), false
			}
			s.clusters[o.B].writer = int32(i)
		}
	}
	for i := range s.ops {
		o := &s.ops[i]
		if !s.happened(o) {
			continue
		}
		c := &s.clusters[o.A]
		switch o.Kind {
		case register.Read:
			c.first, c.last = min(c.first, o.Ret), max(c.last, o.Call)
			c.reads++
		case register.CAS:
			if c.next != none {
				return illegal(c.next, int32(i)), false
			}
			c.next = int32(i)
		case register.Miss:
			s.misses = append(s.misses, int32(i))
			continue
		case register.Impossible:
			return illegal(int32(i)), false
		default:
			continue
		}
		if c.writer == none && o.A != register.Absent {
			return illegal(int32(i)), false // nobody wrote what was found
		}
	}
	return d, true
}

// happened says whether o must have happened.
func (s *state) happened(o *register.Op) bool { return !o.Maybe || s.required[o.B] }

// link walks each chain of clusters and makes it a block.
func (s *state) link() (d register.Decision, ok bool) {
	linked := 0
	for v := range s.clusters {
		c := &s.clusters[v]
		initial := v == int(register.Absent)
		if initial && c.reads == 0 && c.next == none {
			continue
		}
		if !initial && (c.writer == none || s.ops[c.writer].Kind == register.CAS) {
			continue
		}
		n, d, ok := s.walk(register.Value(v))
		if !ok {
			return d, false
		}
		linked += n
	}
	writers := 0
	for v := range s.clusters {
		if s.clusters[v].writer != none {
			writers++
		}
	}
	if linked == writers {
		return d, true
	}
	return s.cycle(), false
}

// walk checks the chain from the value head on and makes it a block. It returns how many writers
// it has.
func (s *state) walk(head register.Value) (writers int, d register.Decision, ok bool) {
	b := block{f: math.MaxInt64, s: math.MinInt64, head: head}
	if head == register.Absent {
		b.f = math.MinInt64 // absent was there before anything
	}
	for v := head; ; {
		c := &s.clusters[v]
		if c.writer != none {
			writers++
			w := &s.ops[c.writer]
			if w.Ret < b.s {
				return 0, s.backwards(head, v, true), false
			}
			b.f, b.s = min(b.f, w.Ret), max(b.s, w.Call)
		}
		if c.first < b.s {
			return 0, s.backwards(head, v, false), false
		}
		b.f, b.s = min(b.f, c.first), max(b.s, c.last)
		if c.next == none {
			break
		}
		v = s.ops[c.next].B
	}
	s.blocks = append(s.blocks, b)
	return writers, d, true
}

// compare looks for two blocks that must each come before the other.
func (s *state) compare() (d register.Decision, ok bool) {
	last := none // the forward zone that began last
	for i := range s.blocks {
		b := &s.blocks[i]
		if last != none && b.f < s.blocks[last].s {
			// b begins inside the forward zone, and is forward itself or ends inside too
			if b.forward() || s.blocks[last].f < b.s {
				return s.contradict(last, i), false
			}
		}
		if b.forward() {
			last = i
		}
	}
	return d, true
}

// order is the order of the blocks, each with its clusters, each with its readers by their calls.
func (s *state) order() []int32 {
	at := int32(0)
	for v := range s.clusters {
		n := s.clusters[v].reads
		s.clusters[v].reads = at
		at += n
	}
	readers := make([]int32, at)
	for i := range s.ops {
		if o := &s.ops[i]; o.Kind == register.Read {
			c := &s.clusters[o.A]
			readers[c.reads] = int32(i)
			c.reads++ // in the end: where the readers of the next value begin
		}
	}
	order := make([]int32, 0, len(s.ops))
	for i := range s.blocks {
		for v := s.blocks[i].head; ; {
			c := &s.clusters[v]
			if c.writer != none {
				order = append(order, c.writer)
			}
			from := int32(0)
			if v > 0 {
				from = s.clusters[v-1].reads
			}
			mine := readers[from:c.reads]
			if !slices.IsSortedFunc(mine, s.byCall) {
				slices.SortFunc(mine, s.byCall)
			}
			order = append(order, mine...)
			if c.next == none {
				break
			}
			v = s.ops[c.next].B
		}
	}
	return order
}

func (s *state) byCall(a, b int32) int { return cmp.Compare(s.ops[a].Call, s.ops[b].Call) }

// sortBlocks sorts blocks. They come nearly in order if the operations do, and then they are moved
// by as many places as operations overlap; only if that turns out to be much are they sorted in
// another way.
func sortBlocks(blocks []block) {
	moves := 16 * len(blocks)
	for i := 1; i < len(blocks); i++ {
		b := blocks[i]
		at := i
		for at > 0 && b.compare(&blocks[at-1]) < 0 {
			blocks[at] = blocks[at-1]
			at--
			moves--
		}
		blocks[at] = b
		if moves < 0 {
			slices.SortFunc(blocks, func(a, b block) int { return a.compare(&b) })
			return
		}
	}
}
