// Package search decides any history of a register, by a depth-first search that is just in time:
// it goes from return to return, and lets an operation take effect only when a return needs it.
//
// A state of the search is: how far it has come, what the register holds, which of the open
// operations have taken effect, and how many indeterminate ones of each class have been used. What
// makes it small, each of which leaves both answers exact:
//
//  1. Just in time (Lowe, "Testing for linearizability", CCPE 2017): a blind write or an
//     indeterminate operation takes effect before its return only if what it leaves there is
//     observed next. Any other can wait: once another blind write has followed it, nobody can
//     tell whether it came just before that one (it is "absorbed").
//  2. An open operation that only observes takes effect as soon as it can.
//  3. Of open operations with the same effect the one takes effect that returns first.
//  4. A value that somebody observes later, and nobody can write again, is not left.
//  5. Values that nobody observes are one value.
//  6. Indeterminate operations with the same effect are counted, not told apart.
//  7. A state that used more of them than another that is otherwise the same is not looked at.
//
// It may still need exponential time, and stops when the budget is used up.
package search

import (
	"context"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Candidates are what may take effect next, encoded in a number: from 0 the open operations by
// slot, then absorb, then the classes of indeterminate operations.
const (
	absorb     = maxOpen
	firstClass = maxOpen + 1
)

// config is the part of a state that is copied as a whole.
type config struct {
	event int32
	value register.Value
	// open: slots in use. done: those whose operation has taken effect. free: those whose blind
	// write has not, but may just as well have, since another blind write followed its call.
	open, done, free mask
	used             sum   // hash of how many of each class were used
	lastBlind        int32 // place in order of the last blind write, or -1
	observed         bool  // false: what was written last must be observed next
	order, absorbed  int32 // lengths
	undo             int32
}

// frame is a state at a return whose operation has not yet taken effect, with what may come next.
type frame struct {
	config
	from, to, next int32 // in candidates
}

// absorption is an operation that took effect just before the one at a place in order.
type absorption struct{ op, before int32 }

// change is an entry of the undo log: arrays are put back as they were.
type change struct {
	what int8
	at   int32
	old  int32
}

const (
	slotChanged int8 = iota
	usedChanged
	observersChanged
	writersChanged
)

type searcher struct {
	*problem
	config
	frames     []frame
	candidates []int32
	orderOps   []int32
	absorbs    []absorption
	log        []change

	slots     []int32 // by slot, the operation
	usedOf    []int32 // by class, how many were used
	observers []int32 // by value, determinate observers that have not taken effect
	writers   []int32 // by value, mutators that have not taken effect

	visited   memo
	dominated *antichains // instead of visited; nil if it does not pay
	steps     int64
	best      int32 // the furthest event that was reached
}

// outcome is where advancing ended.
type outcome uint8

const (
	finished outcome = iota // at the end: all took effect
	stuck                   // at a return that can not be
	open                    // at a return whose operation has yet to take effect
)

// Decide decides ops within budget. A state that was seen is known again by 128 bits of hash:
// should two different ones ever agree in them, a legal history could be called illegal. Whoever
// must rule that out has the core confirmed by other means.
func Decide(
	ctx context.Context, ops []register.Op, budget register.Budget,
) register.Decision {
	p, ok := prepare(ops)
	if !ok {
		return register.Decision{Reason: "too many operations are open at once"}
	}
	s := newSearcher(p)
	d := s.run(ctx, budget)
	d.Steps = s.steps
	if d.Answer == register.Undecided && int(s.best) < len(p.events) {
		e := p.events[s.best]
		d.Upto = p.ops[e.op].Call
	}
	return d
}

func newSearcher(p *problem) *searcher {
	s := &searcher{
		problem: p, slots: make([]int32, maxOpen), usedOf: make([]int32, len(p.classes)),
		observers: make([]int32, p.values), writers: make([]int32, p.values),
	}
	s.lastBlind, s.observed = -1, true
	s.dominated = newAntichains(p.classes)
	for i := range p.ops {
		o := &p.ops[i]
		if v, observes := o.Observes(); observes && !o.Maybe {
			s.observers[v]++
		}
		if o.Mutates() {
			s.writers[o.B]++
		}
	}
	return s
}

func (s *searcher) run(ctx context.Context, budget register.Budget) register.Decision {
	switch s.advance() {
	case finished:
		return s.legal()
	case stuck:
		return register.Decision{Answer: register.Illegal}
	}
	s.push()
	for len(s.frames) > 0 {
		f := &s.frames[len(s.frames)-1]
		s.restore(f)
		if f.next == f.to {
			s.candidates = s.candidates[:f.from]
			s.frames = s.frames[:len(s.frames)-1]
			continue
		}
		c := s.candidates[f.next]
		f.next++
		if s.steps++; s.steps > budget.Steps {
			return register.Decision{Reason: "it ran out of steps"}
		}
		if s.steps&1023 == 1 {
			if ctx.Err() != nil {
				return register.Decision{Reason: "it ran out of time"}
			}
			if s.bytes() > budget.Bytes {
				return register.Decision{Reason: "it ran out of memory"}
			}
		}
		switch s.take(c) {
		case finished:
			return s.legal()
		case open:
			s.push()
		}
	}
	return register.Decision{Answer: register.Illegal}
}

func (s *searcher) bytes() int64 {
	return s.visited.bytes() + s.dominated.bytes() + 160*int64(cap(s.frames)) + 12*int64(cap(s.log)) +
		8*int64(cap(s.candidates)+cap(s.orderOps)) + 40*int64(len(s.ops))
}

// take lets candidate c take effect, and goes on to where something is to be chosen.
func (s *searcher) take(c int32) outcome {
	e := s.events[s.event]
	switch {
	case c == absorb:
		s.absorbs = append(s.absorbs, absorption{e.op, s.lastBlind})
		s.absorbed++
		s.count(&s.ops[e.op])
		s.done.set(int32(e.slot))
		s.free.clear(int32(e.slot))
	case c >= firstClass:
		k := c - firstClass
		i := s.classes[k].ops[s.usedOf[k]]
		s.change(usedChanged, k, s.usedOf[k]+1)
		s.used = s.used.plus(mix(1, uint64(k)))
		s.place(i)
		s.mutate(i)
	default:
		i := s.slots[c]
		s.place(i)
		s.done.set(c)
		s.free.clear(c)
		s.mutate(i)
	}
	if s.done.has(int32(e.slot)) {
		s.observed = true
		return s.advance()
	}
	return s.settle()
}

// place puts operation i next in order.
func (s *searcher) place(i int32) {
	s.orderOps = append(s.orderOps[:s.order], i)
	s.order++
	s.count(&s.ops[i])
}

// count notes that o has taken effect.
func (s *searcher) count(o *register.Op) {
	if v, observes := o.Observes(); observes && !o.Maybe {
		s.change(observersChanged, int32(v), s.observers[v]-1)
	}
	if o.Mutates() {
		s.change(writersChanged, int32(o.B), s.writers[o.B]-1)
	}
}

// mutate changes the register as operation i does, which was put next in order, and lets all open
// observers take effect that can.
func (s *searcher) mutate(i int32) {
	o := &s.ops[i]
	s.value = o.B
	if o.Kind == register.Write {
		s.lastBlind = s.order - 1
		for left := s.open.without(s.done); ; {
			t := left.pop()
			if t < 0 {
				break
			}
			if s.ops[s.slots[t]].Kind == register.Write {
				s.free.set(t)
			}
		}
	}
	saw := s.observe()
	s.observed = saw || o.Kind == register.CAS && !o.Maybe
}

// observe lets all open operations take effect that only observe, and can.
func (s *searcher) observe() (saw bool) {
	for left := s.open.without(s.done); ; {
		t := left.pop()
		if t < 0 {
			return saw
		}
		if s.observeOne(t) {
			saw = true
		}
	}
}

func (s *searcher) observeOne(slot int32) bool {
	i := s.slots[slot]
	o := &s.ops[i]
	if o.Mutates() {
		return false
	}
	if _, ok := o.Step(s.value); !ok {
		return false
	}
	s.place(i)
	s.done.set(slot)
	return true
}

// advance goes on from the event, whose operation has taken effect, or from a call.
func (s *searcher) advance() outcome {
	for int(s.event) < len(s.events) {
		e := s.events[s.event]
		slot := int32(e.slot)
		if !e.isReturn {
			s.change(slotChanged, slot, e.op)
			s.open.set(slot)
			s.observeOne(slot)
			s.event++
			continue
		}
		if !s.done.has(slot) {
			return s.settle()
		}
		s.open.clear(slot)
		s.done.clear(slot)
		s.event++
	}
	return finished
}

// settle says whether the operation that returns now can still take effect, as far as can be seen
// at once, in a state that was not seen before.
func (s *searcher) settle() outcome {
	s.best = max(s.best, s.event)
	o := &s.ops[s.events[s.event].op]
	if v, observes := o.Observes(); observes && v != s.value && s.writers[v] == 0 {
		return stuck
	}
	flags := uint64(s.event)<<33 | uint64(s.value)<<1
	if s.observed {
		flags |= 1
	}
	used := s.used
	if s.dominated != nil {
		used = sum{}
	}
	h := used.chain(flags, s.done[0]).chain(s.free[0], s.done[1]).chain(s.free[1], 0)
	var isNew bool
	switch {
	case s.dominated != nil:
		isNew = s.dominated.add(h, s.usedOf)
	default:
		isNew = s.visited.add(h)
	}
	if isNew {
		return open
	}
	return stuck
}

func (s *searcher) push() {
	from := int32(len(s.candidates))
	s.choose()
	s.undo = int32(len(s.log))
	s.frames = append(s.frames, frame{s.config, from, int32(len(s.candidates)), from})
}

// restore makes the state that of f.
func (s *searcher) restore(f *frame) {
	for len(s.log) > int(f.undo) {
		c := s.log[len(s.log)-1]
		s.log = s.log[:len(s.log)-1]
		switch c.what {
		case slotChanged:
			s.slots[c.at] = c.old
		case usedChanged:
			s.usedOf[c.at] = c.old
		case observersChanged:
			s.observers[c.at] = c.old
		case writersChanged:
			s.writers[c.at] = c.old
		}
	}
	s.config = f.config
	s.orderOps = s.orderOps[:s.order]
	s.absorbs = s.absorbs[:s.absorbed]
}

// change sets an entry of an array and remembers what it was.
func (s *searcher) change(what int8, at, value int32) {
	var old *int32
	switch what {
	case slotChanged:
		old = &s.slots[at]
	case usedChanged:
		old = &s.usedOf[at]
	case observersChanged:
		old = &s.observers[at]
	default:
		old = &s.writers[at]
	}
	s.log = append(s.log, change{what, at, *old})
	*old = value
}

// legal is the order that was found, with what was absorbed where it came.
func (s *searcher) legal() register.Decision {
	order := make([]int32, 0, int(s.order)+len(s.absorbs))
	before := map[int32][]int32{}
	for _, a := range s.absorbs {
		before[a.before] = append(before[a.before], a.op)
	}
	for at, i := range s.orderOps[:s.order] {
		order = append(order, before[int32(at)]...)
		order = append(order, i)
	}
	return register.Decision{Answer: register.Legal, Order: order}
}
