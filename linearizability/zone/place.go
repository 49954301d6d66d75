package zone

import (
	"math"
	"slices"
	"sort"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// place tries to fit each Miss into order, which is right without them. A Miss changes nothing, so
// it only needs a gap within its time in which another value stands. Earliest first is best: a Miss
// that comes earlier hinders no other one. If one does not fit, another order may be right.
func (s *state) place(order []int32) register.Decision {
	for _, i := range s.misses {
		if d, ok := s.surrounded(i); !ok {
			return d
		}
	}
	n := len(order)
	calls := make([]int64, n+1) // by gap: the last call before it
	rets := make([]int64, n+1)  // by gap: the first return after it
	value := make([]register.Value, n+1)
	calls[0], rets[n] = math.MinInt64, math.MaxInt64
	for g, i := range order {
		calls[g+1] = max(calls[g], s.ops[i].Call)
		value[g+1] = value[g]
		if s.ops[i].Mutates() {
			value[g+1] = s.ops[i].B
		}
	}
	for g := n - 1; g >= 0; g-- {
		rets[g] = min(rets[g+1], s.ops[order[g]].Ret)
	}
	byCall := slices.Clone(s.misses)
	slices.SortFunc(byCall, s.byCall)
	byRet := slices.Clone(s.misses)
	slices.SortFunc(byRet, func(a, b int32) int {
		return int(min(max(s.ops[a].Ret-s.ops[b].Ret, -1), 1))
	})
	at := make(map[int32]int, len(byCall))
	floor, done := 0, 0 // the last gap of those that had returned
	for _, i := range byCall {
		o := &s.ops[i]
		for ; s.ops[byRet[done]].Ret < o.Call; done++ {
			floor = max(floor, at[byRet[done]])
		}
		g := max(floor, sort.Search(n, func(g int) bool { return rets[g] >= o.Call }))
		for g <= n && calls[g] <= o.Ret && value[g] == o.A {
			g++
		}
		if g > n || calls[g] > o.Ret {
			return undecided("a refused cas does not fit into the order that was tried")
		}
		at[i] = g
	}
	return register.Decision{Answer: register.Legal, Order: merge(order, byCall, at)}
}

// merge puts each of misses, which are in order of their calls, into its gap.
func merge(order, misses []int32, at map[int32]int) []int32 {
	slices.SortStableFunc(misses, func(a, b int32) int { return at[a] - at[b] })
	out := make([]int32, 0, len(order)+len(misses))
	for g := 0; g <= len(order); g++ {
		for len(misses) > 0 && at[misses[0]] == g {
			out = append(out, misses[0])
			misses = misses[1:]
		}
		if g < len(order) {
			out = append(out, order[g])
		}
	}
	return out
}

// surrounded looks whether a Miss lies wholly in the time in which what it did not find stood
// there: the value was there when an operation on it had returned, and it was still there when
// another operation on it was called.
func (s *state) surrounded(i int32) (d register.Decision, ok bool) {
	o := &s.ops[i]
	if int(o.A) >= len(s.clusters) {
		return d, true
	}
	c := &s.clusters[o.A]
	first, last := c.first, c.last
	if o.A == register.Absent {
		first = math.MinInt64
	}
	if c.writer != none {
		first = min(first, s.ops[c.writer].Ret)
	}
	if c.next != none {
		last = max(last, s.ops[c.next].Call)
	}
	if first >= o.Call || o.Ret >= last {
		return d, true
	}
	core := []int32{i}
	for j := range s.ops {
		p := &s.ops[j]
		reads := p.A == o.A && (p.Kind == register.Read || p.Kind == register.CAS)
		writes := p.Mutates() && p.B == o.A
		if (reads && p.Kind == register.Read || writes) && p.Ret == first ||
			reads && p.Call == last {
			core = append(core, int32(j))
		}
	}
	return illegal(core...), false
}
