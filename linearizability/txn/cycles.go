package txn

import (
	"math"
	"slices"
)

// kinds is a set of kinds of edges.
type kinds uint8

func of(all ...EdgeKind) (s kinds) {
	for _, k := range all {
		s |= 1 << k
	}
	return s
}

func (s kinds) has(k EdgeKind) bool { return s&(1<<k) != 0 }

// stages are the anomalies from the gravest on, each with the edges of which its cycles are made.
// Without rw in it there is one name; otherwise it depends on how many there are.
var stages = [...]struct {
	name, many string
	kinds      kinds
}{
	{"G0", "G0", of(WW)},
	{"G1c", "G1c", of(WW, WR)},
	{"G-single", "G2", of(WW, WR, RW)},
	{"G0-realtime", "G0-realtime", of(WW, RT)},
	{"G1c-realtime", "G1c-realtime", of(WW, WR, RT)},
	{"G-single-realtime", "G2-realtime", of(WW, WR, RW, RT)},
}

// cycles looks for transactions that come before themselves.
func (a *analysis) cycles() {
	a.build()
	everywhere := make([]int, len(a.graph.out)) // all nodes are in one component
	all := stages[len(stages)-1].kinds
	knots := a.graph.components(all, everywhere)
	if len(knots.members) == 0 {
		return
	}
	for _, s := range stages {
		parts := a.graph.components(s.kinds, knots.of)
		for _, members := range parts.members {
			c := search{g: &a.graph, kinds: s.kinds, within: parts.of, comp: parts.of[members[0]]}
			if x, ok := c.shortest(members, s.name, s.many); ok {
				a.report(x)
			}
		}
		if len(a.found) > 0 {
			return
		}
	}
}

// components are the sets of nodes that can all be reached from each other.
type components struct {
	of      []int   // by node, its component; -1 for one that is on no cycle
	members [][]int // the components of more than one node
}

// components finds them with Tarjan's algorithm, on edges of the given kinds that do not leave a
// component of within.
func (g *graph) components(ks kinds, within []int) components {
	n := len(g.out)
	c := components{of: make([]int, n)}
	index, low := make([]int, n), make([]int, n)
	on := make([]bool, n)
	for i := range n {
		c.of[i], index[i] = -1, -1
	}
	type frame struct{ node, next int }
	var stack []int
	var calls []frame
	count := 0
	enter := func(v int) {
		index[v], low[v] = count, count
		count++
		stack, on[v] = append(stack, v), true
		calls = append(calls, frame{v, 0})
	}
	for root := range n {
		if index[root] >= 0 || within[root] < 0 {
			continue
		}
		enter(root)
		for len(calls) > 0 {
			f := &calls[len(calls)-1]
			v := f.node
			if f.next < len(g.out[v]) {
				l := &g.out[v][f.next]
				f.next++
				switch {
				case !ks.has(l.Kind) || within[l.to] != within[v]:
				case index[l.to] < 0:
					enter(l.to)
				case on[l.to]:
					low[v] = min(low[v], index[l.to])
				}
				continue
			}
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				up := calls[len(calls)-1].node
				low[up] = min(low[up], low[v])
			}
			if low[v] == index[v] {
				stack = c.pop(stack, on, v)
			}
		}
	}
	return c
}

// pop takes the component that ends with v off the stack.
func (c *components) pop(stack []int, on []bool, v int) []int {
	at := len(stack) - 1
	for stack[at] != v {
		at--
	}
	for _, m := range stack[at:] {
		on[m] = false
	}
	if len(stack)-at > 1 {
		members := slices.Clone(stack[at:])
		slices.Sort(members)
		for _, m := range members {
			c.of[m] = len(c.members)
		}
		c.members = append(c.members, members)
	}
	return stack[:at]
}

// search looks for a short cycle in a component.
type search struct {
	g      *graph
	kinds  kinds
	within []int
	comp   int
	work   int // edges looked at
}

// maxWork bounds the search for a cycle that is shorter than the first that was found.
const maxWork = 20_000_000

// shortest finds a cycle. One with a single rw is looked for first, where there are any.
func (s *search) shortest(members []int, single, many string) (Anomaly, bool) {
	if s.kinds.has(RW) {
		if x, ok := s.withOneRW(members); ok {
			x.Name = single
			return x, true
		}
	}
	best, found := Anomaly{Name: many}, false
	for _, v := range members {
		if v >= s.g.real || found && s.work > maxWork {
			continue
		}
		for i := range s.g.out[v] {
			l := &s.g.out[v][i]
			if !s.allowed(l, s.kinds) {
				continue
			}
			x, ok := s.cycle(v, l, s.kinds)
			if ok && (!found || len(x.Txns) < len(best.Txns)) {
				best.Txns, best.Edges, found = x.Txns, x.Edges, true
			}
		}
	}
	return best, found
}

// withOneRW finds a cycle of which one edge is rw.
func (s *search) withOneRW(members []int) (best Anomaly, found bool) {
	for _, v := range members {
		for i := range s.g.out[v] {
			l := &s.g.out[v][i]
			if l.Kind != RW || !s.allowed(l, s.kinds) || s.work > maxWork {
				continue
			}
			x, ok := s.cycle(v, l, s.kinds&^of(RW))
			if ok && (!found || len(x.Txns) < len(best.Txns)) {
				best, found = x, true
			}
		}
	}
	return best, found
}

func (s *search) allowed(l *link, ks kinds) bool {
	return ks.has(l.Kind) && s.within[l.to] == s.comp
}

// cycle finds the shortest way from the end of an edge back to its begin, over edges of the given
// kinds, and makes a cycle of both. Steps from a helper cost nothing.
func (s *search) cycle(from int, first *link, ks kinds) (Anomaly, bool) {
	type came struct {
		node int
		link *link
	}
	cost := map[int]int{first.to: 0}
	back := map[int]came{}
	var layer, next []int
	layer = append(layer, first.to)
	for len(layer) > 0 {
		for at := 0; at < len(layer); at++ {
			v := layer[at]
			if v == from {
				continue
			}
			step := 1
			if v >= s.g.real {
				step = 0
			}
			for i := range s.g.out[v] {
				l := &s.g.out[v][i]
				s.work++
				old, known := cost[l.to]
				if !known {
					old = math.MaxInt
				}
				if !s.allowed(l, ks) || cost[v]+step >= old {
					continue
				}
				cost[l.to], back[l.to] = cost[v]+step, came{v, l}
				if step == 0 {
					layer = append(layer, l.to)
				} else {
					next = append(next, l.to)
				}
			}
		}
		if _, arrived := back[from]; arrived {
			break
		}
		layer, next = next, layer[:0]
	}
	if _, arrived := back[from]; !arrived {
		return Anomaly{}, false
	}
	var links []*link
	for v := from; v != first.to; v = back[v].node {
		links = append(links, back[v].link)
	}
	links = append(links, first)
	slices.Reverse(links)
	return s.told(from, links), true
}

// told leaves the helpers out of a cycle: the edge that leads to one says what the dependency is,
// the one that leads away from it what it is about.
func (s *search) told(from int, links []*link) (x Anomaly) {
	x.Txns = []int{from}
	var e *Edge
	for i, l := range links {
		if e == nil {
			e = &Edge{Kind: l.Kind}
		}
		if l.to >= s.g.real {
			continue
		}
		e.Key, e.Value = l.Key, l.Value
		x.Edges = append(x.Edges, *e)
		e = nil
		if i < len(links)-1 {
			x.Txns = append(x.Txns, l.to)
		}
	}
	return shortened(x)
}

// shortened leaves out who stands between two writes of the same key: who wrote a later version
// wrote after all who wrote earlier ones.
func shortened(x Anomaly) Anomaly {
	for i := 0; i+1 < len(x.Edges) && len(x.Txns) > 2; {
		e, f := x.Edges[i], x.Edges[i+1]
		if e.Kind == WW && f.Kind == WW && e.Key == f.Key {
			x.Edges = slices.Delete(x.Edges, i, i+1)
			x.Txns = slices.Delete(x.Txns, i+1, i+2)
		} else {
			i++
		}
	}
	return x
}
