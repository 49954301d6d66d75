package txn

import (
	"cmp"
	"slices"
)

// graph is the dependencies. Its nodes are the transactions and, after them, helpers that stand for
// many edges at once: of m transactions that all come before n others m+n edges go through one.
type graph struct {
	real int // how many nodes are transactions
	out  [][]link
}

// link is an edge to a node. What leaves a helper is marked as ww, so that it is never left out:
// the edge that leads to the helper says what the dependency is.
type link struct {
	to int
	Edge
}

func (g *graph) helper() int {
	g.out = append(g.out, nil)
	return len(g.out) - 1
}

func (g *graph) add(from, to int, e Edge) {
	if from != to {
		g.out[from] = append(g.out[from], link{to, e})
	}
}

// build makes the graph.
func (a *analysis) build() {
	a.graph = graph{real: len(a.txns), out: make([][]link, len(a.txns))}
	for _, o := range a.keys {
		if o.list {
			a.listEdges(o)
		} else {
			a.registerEdges(o)
		}
	}
	a.timeEdges()
}

// happened says whether a transaction is known to have happened.
func (a *analysis) happened(i int) bool {
	return a.txns[i].Fate == Committed || a.txns[i].Fate == Open && a.seen[i]
}

// listEdges adds what the order of a list's elements says. Elements that nobody read come after all
// that were.
func (a *analysis) listEdges(o *object) {
	order := o.longest.values
	for i := 1; i < len(order); i++ {
		a.graph.add(o.writers[order[i-1]].txn, o.writers[order[i]].txn, Edge{WW, o.key, order[i]})
	}
	var last []int // who comes before every element that nobody read
	kind := map[int]EdgeKind{}
	if n := len(order); n > 0 {
		w := o.writers[order[n-1]].txn
		last, kind[w] = append(last, w), WW
	}
	for _, r := range o.reads {
		n := len(r.values)
		if n > 0 {
			v := r.values[n-1]
			a.graph.add(o.writers[v].txn, r.txn, Edge{WR, o.key, v})
		}
		if n < len(order) {
			a.graph.add(r.txn, o.writers[order[n]].txn, Edge{RW, o.key, order[n]})
			continue
		}
		if _, twice := kind[r.txn]; !twice {
			last, kind[r.txn] = append(last, r.txn), RW
		}
	}
	a.unread(o, order, last, kind)
}

// unread adds the edges to those who wrote elements that nobody read. A transaction that is on both
// sides gets edges of its own, since it does not come before itself.
func (a *analysis) unread(o *object, order []string, last []int, kind map[int]EdgeKind) {
	inOrder := make(map[string]bool, len(order))
	for _, v := range order {
		inOrder[v] = true
	}
	var later []pending
	for v, w := range o.writers {
		if !inOrder[v] && a.happened(w.txn) {
			later = append(later, pending{w.txn, v})
		}
	}
	if len(later) == 0 || len(last) == 0 {
		return
	}
	slices.SortFunc(later, func(x, y pending) int {
		return cmp.Or(cmp.Compare(x.txn, y.txn), cmp.Compare(x.value, y.value))
	})
	a.meet(o.key, last, kind, later)
}

// pending is an element that nobody read, and who wrote it.
type pending struct {
	txn   int
	value string
}

// meet adds an edge from each of last to each of later, but for those to itself.
func (a *analysis) meet(key string, last []int, kind map[int]EdgeKind, later []pending) {
	isLater := map[int]bool{}
	for _, p := range later {
		isLater[p.txn] = true
	}
	through := a.graph.helper()
	for _, p := range later {
		if _, both := kind[p.txn]; !both {
			a.graph.add(through, p.txn, Edge{WW, key, p.value})
		}
	}
	var both []int
	for _, i := range last {
		a.graph.add(i, through, Edge{kind[i], key, ""})
		if isLater[i] {
			both = append(both, i)
		}
	}
	// Two that are on both sides already make a cycle; more prove no more.
	for _, p := range later {
		if len(both) == 0 || p.txn != both[0] && (len(both) < 2 || p.txn != both[1]) {
			continue
		}
		for _, i := range last {
			a.graph.add(i, p.txn, Edge{kind[i], key, p.value})
		}
	}
}

// registerEdges adds what is known of the order of a register's versions: a transaction that read
// one and wrote another put it right after it. Whoever found nothing comes before all writers.
func (a *analysis) registerEdges(o *object) {
	next := map[string]pending{} // by version, absent being "", who wrote over it
	for _, r := range o.reads {
		if v, ok := a.wrote(r.txn, o.key); ok {
			next[version(r.values)] = pending{r.txn, v}
		}
	}
	var blind []pending
	for v, w := range o.writers {
		if w.last && a.happened(w.txn) && !slices.ContainsFunc(o.reads, func(r read) bool {
			return r.txn == w.txn
		}) {
			blind = append(blind, pending{w.txn, v})
		}
	}
	slices.SortFunc(blind, func(x, y pending) int { return cmp.Compare(x.txn, y.txn) })
	through := -1
	if len(blind) > 0 {
		through = a.graph.helper()
		for _, p := range blind {
			a.graph.add(through, p.txn, Edge{WW, o.key, p.value})
		}
	}
	for _, r := range o.reads {
		if len(r.values) > 0 {
			a.graph.add(o.writers[r.values[0]].txn, r.txn, Edge{WR, o.key, r.values[0]})
		} else if through >= 0 {
			a.graph.add(r.txn, through, Edge{RW, o.key, ""})
		}
		n, known := next[version(r.values)]
		if !known {
			continue
		}
		a.graph.add(r.txn, n.txn, Edge{RW, o.key, n.value})
		if len(r.values) > 0 {
			a.graph.add(o.writers[r.values[0]].txn, n.txn, Edge{WW, o.key, n.value})
		}
	}
}

// version is what a read of a register found, as a text that absent has for itself.
func version(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return "=" + values[0]
}

// wrote is the last value that a transaction wrote to a key.
func (a *analysis) wrote(i int, key string) (value string, ok bool) {
	for _, s := range a.txns[i].Steps {
		if s.Kind != Read && s.Key == key {
			value, ok = s.Value, true
		}
	}
	return value, ok
}

// timeEdges adds the order of time: each end of a transaction leads to a helper, the helpers stand
// in a row, and the last of them that lies before the begin of a transaction leads to it.
func (a *analysis) timeEdges() {
	var ends, begins []int
	for i := range a.txns {
		if a.txns[i].Fate == Committed {
			ends = append(ends, i)
		}
		if a.happened(i) {
			begins = append(begins, i)
		}
	}
	slices.SortStableFunc(ends, func(x, y int) int {
		return cmp.Compare(a.txns[x].To, a.txns[y].To)
	})
	slices.SortStableFunc(begins, func(x, y int) int {
		return cmp.Compare(a.txns[x].From, a.txns[y].From)
	})
	done, row := 0, -1
	for _, i := range begins {
		for done < len(ends) && a.txns[ends[done]].To < a.txns[i].From {
			h := a.graph.helper()
			a.graph.add(ends[done], h, Edge{Kind: RT})
			if row >= 0 {
				a.graph.add(row, h, Edge{Kind: RT})
			}
			row = h
			done++
		}
		if row >= 0 {
			a.graph.add(row, i, Edge{Kind: RT})
		}
	}
}
