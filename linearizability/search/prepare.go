package search

import (
	"cmp"
	"math/bits"
	"slices"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// maxOpen is how many determinate operations may be open at once.
const maxOpen = 128

// mask is a set of slots.
type mask [maxOpen / 64]uint64

func (m *mask) has(s int32) bool { return m[s>>6]&(1<<(s&63)) != 0 }
func (m *mask) set(s int32)      { m[s>>6] |= 1 << (s & 63) }
func (m *mask) clear(s int32)    { m[s>>6] &^= 1 << (s & 63) }

// without is what is in m and not in o.
func (m mask) without(o mask) mask {
	for i := range m {
		m[i] &^= o[i]
	}
	return m
}

// pop takes the lowest slot out of m; -1 if it is empty.
func (m *mask) pop() int32 {
	for i := range m {
		if w := m[i]; w != 0 {
			m[i] = w & (w - 1)
			return int32(i<<6 + bits.TrailingZeros64(w))
		}
	}
	return -1
}

// event is a call or a return of a determinate operation.
type event struct {
	op       int32
	slot     int16
	isReturn bool
}

// class is a set of indeterminate operations that do the same.
type class struct {
	kind register.Kind
	a, b register.Value
	ops  []int32 // in order of their calls
	from []int32 // by op, the event from which on it may take effect
}

// problem is a history made ready to be searched.
type problem struct {
	ops     []register.Op // with values that nobody observes made one
	events  []event
	classes []class
	by      map[register.Value][]int32 // by value, the classes that write it
	values  int
	misses  bool
}

// prepare makes ops ready; false if too many are open at once.
func prepare(in []register.Op) (*problem, bool) {
	p := &problem{ops: slices.Clone(in), by: map[register.Value][]int32{}}
	p.mergeUnobserved()
	var calls, rets []int32
	for i := range p.ops {
		calls = append(calls, int32(i))
		if !p.ops[i].Maybe {
			rets = append(rets, int32(i))
		}
	}
	slices.SortStableFunc(calls, func(a, b int32) int {
		return cmp.Compare(p.ops[a].Call, p.ops[b].Call)
	})
	slices.SortStableFunc(rets, func(a, b int32) int {
		return cmp.Compare(p.ops[a].Ret, p.ops[b].Ret)
	})
	var open mask
	slot := make([]int16, len(p.ops))
	number := map[class2]int32{}
	for len(rets) > 0 {
		// At the same time calls come first: equal times are concurrent.
		if len(calls) > 0 && p.ops[calls[0]].Call <= p.ops[rets[0]].Ret {
			i := calls[0]
			calls = calls[1:]
			if p.ops[i].Maybe {
				p.addMaybe(number, i)
				continue
			}
			free := mask{^open[0], ^open[1]}
			s := free.pop()
			if s < 0 {
				return nil, false
			}
			open.set(s)
			slot[i] = int16(s)
			p.events = append(p.events, event{op: i, slot: slot[i]})
			continue
		}
		i := rets[0]
		rets = rets[1:]
		open.clear(int32(slot[i]))
		p.events = append(p.events, event{op: i, slot: slot[i], isReturn: true})
	}
	return p, true
}

// mergeUnobserved makes all values one that nobody can tell from each other: those that no
// operation finds, and no compare-and-set expects.
func (p *problem) mergeUnobserved() {
	top := register.Absent
	for i := range p.ops {
		top = max(top, p.ops[i].A, p.ops[i].B)
	}
	seen := make([]bool, top+1)
	seen[register.Absent] = true
	for i := range p.ops {
		o := &p.ops[i]
		p.misses = p.misses || o.Kind == register.Miss
		if o.Kind != register.Write {
			seen[o.A] = true
		}
	}
	junk := top + 1
	for i := range p.ops {
		if o := &p.ops[i]; o.Mutates() && !seen[o.B] {
			o.B = junk
		}
	}
	p.values = int(junk) + 1
}

// class2 identifies a class.
type class2 struct {
	kind register.Kind
	a, b register.Value
}

// addMaybe adds an indeterminate operation that may take effect from the next event on.
func (p *problem) addMaybe(number map[class2]int32, i int32) {
	o := &p.ops[i]
	id := class2{o.Kind, o.A, o.B}
	c, known := number[id]
	if !known {
		c = int32(len(p.classes))
		number[id] = c
		p.classes = append(p.classes, class{kind: o.Kind, a: o.A, b: o.B})
		p.by[o.B] = append(p.by[o.B], c)
	}
	k := &p.classes[c]
	k.ops = append(k.ops, i)
	k.from = append(k.from, int32(len(p.events)))
}
