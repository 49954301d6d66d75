package unique

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// FIFO decides a queue. Elements leave it in the order in which they came: it is legal if there is
// an order of the elements that agrees with the times of the enqueues and with those of the
// dequeues, and no element that stays is ahead of one that leaves (Henzinger, Sezgin and Vafeiadis,
// Aspect-oriented linearizability proofs, CONCUR 2013). A dequeue of which nobody knows what it
// took makes it undecided, unless all goes well without it.
func FIFO(ops []Op) register.Decision {
	all, d := items(ops)
	if d != nil {
		return *d
	}
	var taken, left []span
	for _, it := range all {
		if it.take < 0 && ops[it.add].Maybe {
			continue // nobody saw it
		}
		s := span{item: it, addCall: ops[it.add].Call, addRet: ops[it.add].Ret,
			takeCall: register.Never, takeRet: register.Never}
		if it.take < 0 {
			left = append(left, s)
			continue
		}
		// It can not be taken before it is put in, nor put in after it was taken.
		s.addRet = min(s.addRet, ops[it.take].Ret)
		s.takeCall = max(ops[it.take].Call, s.addCall)
		s.takeRet = ops[it.take].Ret
		taken = append(taken, s)
	}
	open := slices.ContainsFunc(ops, func(o Op) bool { return o.Takes && o.Maybe })
	if a, b, wrong := overtaken(append(slices.Clone(taken), left...)); wrong {
		if open && a.take < 0 {
			return undecided("nobody knows what a dequeue took")
		}
		core := []int32{a.add, b.add, b.take}
		if a.take >= 0 {
			core = append(core, a.take)
		}
		return illegal(core...)
	}
	order, ok := inOrder(taken)
	if !ok {
		return undecided("there is no order of the elements")
	}
	slices.SortFunc(left, func(a, b span) int { return cmp.Compare(a.addCall, b.addCall) })
	return schedule(append(order, left...))
}

// span is an element with the times at which it can be put in and taken out.
type span struct {
	item
	addCall, addRet, takeCall, takeRet int64
}

// overtaken finds an element a that was surely put in before b, and surely taken after it, or
// never.
func overtaken(all []span) (a, b span, found bool) {
	byRet := slices.Clone(all)
	slices.SortFunc(byRet, func(a, b span) int { return cmp.Compare(a.addRet, b.addRet) })
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.addCall, b.addCall) })
	next, last := 0, -1 // of those before, the one that is taken last
	for _, b := range all {
		for ; next < len(byRet) && byRet[next].addRet < b.addCall; next++ {
			if last < 0 || byRet[next].takeCall > byRet[last].takeCall {
				last = next
			}
		}
		if last >= 0 && b.take >= 0 && byRet[last].takeCall > b.takeRet {
			return byRet[last], b, true
		}
	}
	return a, b, false
}

// inOrder sorts elements so that none comes after one that must come later, by the times of the
// enqueues or of the dequeues. It fails if there is no such order.
func inOrder(all []span) ([]span, bool) {
	n := len(all)
	byAdd, byTake := firsts(all, func(s *span) int64 { return s.addRet }),
		firsts(all, func(s *span) int64 { return s.takeRet })
	begun := make([]int, n) // by the call of the enqueue
	for i := range begun {
		begun[i] = i
	}
	slices.SortFunc(begun, func(a, b int) int { return cmp.Compare(all[a].addCall, all[b].addCall) })
	done := make([]bool, n)
	ready := &byKey{key: func(i int) int64 { return all[i].takeCall }}
	var order []span
	for next := 0; len(order) < n; {
		for done[byAdd[0]] {
			byAdd = byAdd[1:]
		}
		for done[byTake[0]] {
			byTake = byTake[1:]
		}
		for ; next < n && all[begun[next]].addCall <= all[byAdd[0]].addRet; next++ {
			heap.Push(ready, begun[next])
		}
		i := ready.at[0]
		if all[i].takeCall > all[byTake[0]].takeRet {
			return nil, false
		}
		heap.Pop(ready)
		done[i] = true
		order = append(order, all[i])
	}
	return order, true
}

// firsts are the positions of all, sorted by a time.
func firsts(all []span, key func(*span) int64) []int {
	out := make([]int, len(all))
	for i := range out {
		out[i] = i
	}
	slices.SortFunc(out, func(a, b int) int { return cmp.Compare(key(&all[a]), key(&all[b])) })
	return out
}

// schedule puts each operation as early as the order of the elements allows.
func schedule(order []span) register.Decision {
	var p plan
	var added, took int64
	first := true
	for _, s := range order {
		if first || s.addCall > added {
			added = s.addCall
		}
		p.at(added, s.add)
		if s.take >= 0 {
			took = max(took, s.takeCall, added)
			if first {
				took = max(s.takeCall, added)
			}
			p.at(took, s.take)
		}
		first = false
	}
	return p.legal()
}

// byKey is a heap of positions.
type byKey struct {
	at  []int
	key func(int) int64
}

func (h *byKey) Len() int           { return len(h.at) }
func (h *byKey) Less(i, j int) bool { return h.key(h.at[i]) < h.key(h.at[j]) }
func (h *byKey) Swap(i, j int)      { h.at[i], h.at[j] = h.at[j], h.at[i] }

// Push implements [heap.Interface].
func (h *byKey) Push(x any) { h.at = append(h.at, x.(int)) }

// Pop implements [heap.Interface].
func (h *byKey) Pop() any {
	x := h.at[len(h.at)-1]
	h.at = h.at[:len(h.at)-1]
	return x
}
