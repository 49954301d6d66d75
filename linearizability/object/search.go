package object

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// search walks through the events of a history, the calls and returns in order of time. A
// configuration is how far it has come, the state, and which of the operations under way have been
// placed.
//
//  1. next is the first event that has not been gone through.
//  2. open lists the operations whose call has been gone through and whose return has not, in
//     order of their calls. Operations that never return stay.
//  3. An operation in open has a slot of its own, and placed holds the slots of those that are in
//     order.
//  4. order holds each operation that was placed, and no other.
type search struct {
	ctx    context.Context
	ops    []Op
	step   Step
	budget register.Budget

	events []event
	slots  []int32 // by operation
	words  int     // how many words hold all slots

	next   int
	state  State
	placed []uint64
	order  []int32
	open   list

	picked  []int32 // by class, one more than where it stands in the choice that is being made
	failed  memo
	steps   int64
	upto    int64
	stopped bool
}

// event is a call or a return.
type event struct {
	at  int64
	op  int32
	ret bool
}

// frame is a choice that can be taken back: where it was made, and what is left to choose from.
type frame struct {
	next   int
	state  State
	placed []uint64
	order  int // how many operations had been placed
	left   []choice
}

// choice is an operation to place, and the state that it leaves.
type choice struct {
	op    int32
	state State
}

func newSearch(ctx context.Context, ops []Op, step Step, budget register.Budget) *search {
	s := &search{
		ctx: ctx, ops: ops, step: step, budget: budget, events: eventsOf(ops),
		slots: make([]int32, len(ops)), open: newList(len(ops)),
	}
	s.number()
	for i := range ops {
		if n := int(ops[i].Class) + 1 - len(s.picked); n > 0 {
			s.picked = append(s.picked, make([]int32, n)...)
		}
	}
	s.placed = make([]uint64, s.words)
	s.failed = newMemo(s.words)
	return s
}

// eventsOf sorts calls and returns. At equal times calls are first: such operations overlap.
func eventsOf(ops []Op) []event {
	events := make([]event, 0, 2*len(ops))
	for i := range ops {
		events = append(events, event{ops[i].Call, int32(i), false})
		if ops[i].Ret != register.Never {
			events = append(events, event{ops[i].Ret, int32(i), true})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		switch {
		case a.at < b.at, a.at == b.at && !a.ret && b.ret:
			return -1
		case a.at == b.at && a.ret == b.ret:
			return 0
		}
		return 1
	})
	return events
}

// number gives each operation the lowest slot that is free while it is under way.
func (s *search) number() {
	var free []int32
	used := int32(0)
	for _, e := range s.events {
		switch {
		case e.ret:
			free = append(free, s.slots[e.op])
		case len(free) > 0:
			s.slots[e.op] = free[len(free)-1]
			free = free[:len(free)-1]
		default:
			s.slots[e.op] = used
			used++
		}
	}
	s.words = int(used+63) / 64
}

func (s *search) isPlaced(op int32) bool {
	slot := s.slots[op]
	return s.placed[slot/64]&(1<<(slot%64)) != 0
}

func (s *search) flip(op int32) { s.placed[s.slots[op]/64] ^= 1 << (s.slots[op] % 64) }

// place puts op next in the order.
func (s *search) place(op int32, state State) {
	s.flip(op)
	s.order = append(s.order, op)
	s.state = state
}

// run says whether there is an order; it is in s.order then.
func (s *search) run() bool {
	var frames []frame
	s.observe()
	for {
		if s.advance() {
			return true
		}
		if s.stopped {
			return false
		}
		if f := s.choose(); len(f.left) > 0 {
			frames = append(frames, f)
		}
		for len(frames) > 0 && len(frames[len(frames)-1].left) == 0 {
			frames = frames[:len(frames)-1]
		}
		if len(frames) == 0 {
			return false
		}
		f := &frames[len(frames)-1]
		s.back(f)
		c := f.left[0]
		f.left = f.left[1:]
		s.place(c.op, c.state)
		s.observe()
	}
}

// advance goes on to the first return of an operation that has not been placed. It is true if there
// is none.
func (s *search) advance() bool {
	for ; s.next < len(s.events); s.next++ {
		e := s.events[s.next]
		switch {
		case !e.ret:
			s.open.push(e.op)
			if s.ops[e.op].Observer && len(s.tried(e.op)) > 0 {
				s.place(e.op, s.state)
			}
		case !s.isPlaced(e.op):
			return false
		default:
			s.upto = max(s.upto, e.at)
			s.flip(e.op)
			s.open.remove(e.op)
		}
	}
	return true
}

// observe places the observers that fit.
func (s *search) observe() {
	for op := s.open.first(); op >= 0; op = s.open.after(op) {
		if s.ops[op].Observer && !s.isPlaced(op) && len(s.tried(op)) > 0 {
			s.place(op, s.state)
		}
	}
}

// tried counts and makes a step.
func (s *search) tried(op int32) []State {
	s.steps++
	if s.steps > s.budget.Steps || s.failed.bytes > s.budget.Bytes ||
		s.steps&1023 == 0 && s.ctx.Err() != nil {
		s.stopped = true
	}
	return s.step(s.state, s.ops[op].Class)
}

// choose lists what can be placed next, in the order in which it is tried: first what has to be,
// then what returns soon. There is nothing if all has been tried from here before.
func (s *search) choose() frame {
	if !s.failed.add(s.next, s.state, s.placed) {
		return frame{}
	}
	f := frame{
		next: s.next, state: s.state, placed: slices.Clone(s.placed), order: len(s.order),
	}
	picked := s.pick()
	due := s.events[s.next].op
	slices.SortStableFunc(picked, func(a, b int32) int {
		switch {
		case a == due || b != due && s.ops[a].Ret < s.ops[b].Ret:
			return -1
		case b == due || s.ops[a].Ret > s.ops[b].Ret:
			return 1
		}
		return 0
	})
	for _, op := range picked {
		for _, state := range s.tried(op) {
			if !s.ops[op].Maybe || state != s.state {
				f.left = append(f.left, choice{op, state})
			}
		}
	}
	return f
}

// pick lists the mutators that are open and not placed, of each class the one that returns first.
func (s *search) pick() []int32 {
	var out []int32
	for op := s.open.first(); op >= 0; op = s.open.after(op) {
		o := &s.ops[op]
		if o.Observer || s.isPlaced(op) {
			continue
		}
		switch at := s.picked[o.Class]; {
		case at == 0:
			out = append(out, op)
			s.picked[o.Class] = int32(len(out))
		case o.Ret < s.ops[out[at-1]].Ret:
			out[at-1] = op
		}
	}
	for _, op := range out {
		s.picked[s.ops[op].Class] = 0
	}
	return out
}

// back takes back all that was done since the choice f was made.
func (s *search) back(f *frame) {
	for s.next > f.next {
		s.next--
		if e := s.events[s.next]; e.ret {
			s.open.restore(e.op)
		} else {
			s.open.remove(e.op)
		}
	}
	s.state = f.state
	copy(s.placed, f.placed)
	s.order = s.order[:f.order]
}

// memo holds configurations from which there is no way on.
type memo struct {
	narrow map[narrow]struct{}
	wide   map[string]struct{}
	key    []byte
	bytes  int64
}

// narrow is a configuration with at most 64 slots.
type narrow struct {
	next   int32
	state  State
	placed uint64
}

func newMemo(words int) memo {
	if words <= 1 {
		return memo{narrow: map[narrow]struct{}{}}
	}
	return memo{wide: map[string]struct{}{}}
}

// add remembers a configuration. It is false if it was known.
func (m *memo) add(next int, state State, placed []uint64) bool {
	if m.narrow != nil {
		k := narrow{int32(next), state, 0}
		if len(placed) > 0 {
			k.placed = placed[0]
		}
		if _, known := m.narrow[k]; known {
			return false
		}
		m.narrow[k] = struct{}{}
		m.bytes += 64
		return true
	}
	m.key = binary.LittleEndian.AppendUint32(m.key[:0], uint32(next))
	m.key = binary.LittleEndian.AppendUint32(m.key, uint32(state))
	for _, w := range placed {
		m.key = binary.LittleEndian.AppendUint64(m.key, w)
	}
	if _, known := m.wide[string(m.key)]; known {
		return false
	}
	m.wide[string(m.key)] = struct{}{}
	m.bytes += int64(len(m.key)) + 64
	return true
}

// list is a linked list of operations in which a removal can be undone, last one first.
type list struct{ before, behind []int32 }

func newList(n int) list {
	l := list{make([]int32, n+1), make([]int32, n+1)}
	l.before[n], l.behind[n] = int32(n), int32(n) // the ends
	return l
}

func (l *list) end() int32 { return int32(len(l.before) - 1) }

func (l *list) first() int32 { return l.after(l.end()) }

// after is -1 behind the last one.
func (l *list) after(op int32) int32 {
	if next := l.behind[op]; next != l.end() {
		return next
	}
	return -1
}

func (l *list) push(op int32) {
	end := l.end()
	last := l.before[end]
	l.before[op], l.behind[op] = last, end
	l.behind[last], l.before[end] = op, op
}

func (l *list) remove(op int32) {
	l.behind[l.before[op]], l.before[l.behind[op]] = l.behind[op], l.before[op]
}

func (l *list) restore(op int32) {
	l.behind[l.before[op]], l.before[l.behind[op]] = op, op
}
