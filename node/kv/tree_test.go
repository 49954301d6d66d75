package kv

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// check fails the test unless the tree is well formed: depth, fill and order.
func (t *tree) check(tb testing.TB) {
	tb.Helper()
	if t.root == nil {
		return
	}
	depth := -1
	var visit func(n *node, level int, low, high string)
	visit = func(n *node, level int, low, high string) {
		if n != t.root && (len(n.keys) < minKeys || len(n.keys) > maxKeys) {
			tb.Fatalf("a node has %d keys", len(n.keys))
		}
		if !slices.IsSorted(n.keys) || n.keys[0] <= low && low != "" ||
			high != "" && n.keys[len(n.keys)-1] >= high {
			tb.Fatalf("keys out of order")
		}
		if n.kids == nil {
			if depth >= 0 && depth != level {
				tb.Fatalf("leaves at depths %d and %d", depth, level)
			}
			depth = level
			return
		}
		if len(n.kids) != len(n.keys)+1 || len(n.vals) != len(n.keys) {
			tb.Fatalf("%d keys, %d kids", len(n.keys), len(n.kids))
		}
		for i, kid := range n.kids {
			l, h := low, high
			if i > 0 {
				l = n.keys[i-1]
			}
			if i < len(n.keys) {
				h = n.keys[i]
			}
			visit(kid, level+1, l, h)
		}
	}
	visit(t.root, 0, "", "")
}

func contents(t *tree) map[string]Item { return maps.Collect(t.from("")) }

// TestTreeIsAMap compares the tree with a map, and the copies taken on the way with copies of it.
func TestTreeIsAMap(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		keys := 20 + rng.IntN(3000)
		var tr tree
		twin := map[string]Item{}
		type pair struct {
			tree tree
			twin map[string]Item
		}
		var copies []pair
		growing := true
		for step := range 12000 {
			key := fmt.Sprint(rng.IntN(keys))
			if step%3000 == 2999 {
				growing = !growing
				copies = append(copies, pair{tr.snapshot(), maps.Clone(twin)})
			}
			if (rng.IntN(4) > 0) == growing {
				item := Item{Value: key, Version: uint64(step)}
				tr.set(key, item)
				twin[key] = item
			} else if _, ok := twin[key]; ok {
				tr.delete(key)
				delete(twin, key)
			}
			if got, ok := tr.get(key); got != twin[key] || ok != (twin[key] != Item{}) {
				t.Fatalf("seed %d step %d: %s is %v", seed, step, key, got)
			}
			if tr.size != len(twin) {
				t.Fatalf("seed %d step %d: size %d, want %d", seed, step, tr.size, len(twin))
			}
		}
		copies = append(copies, pair{tr, twin})
		for i, c := range copies {
			c.tree.check(t)
			if !maps.Equal(contents(&c.tree), c.twin) {
				t.Errorf("seed %d: copy %d has changed", seed, i)
			}
			start := fmt.Sprint(rng.IntN(keys))
			var want, got []string
			for _, k := range slices.Sorted(maps.Keys(c.twin)) {
				if k >= start {
					want = append(want, k)
				}
			}
			for k := range c.tree.from(start) {
				got = append(got, k)
			}
			if !slices.Equal(want, got) {
				t.Errorf("seed %d: from %s: %d keys, want %d", seed, start, len(got), len(want))
			}
		}
	}
}

func TestTreeEmptiesAndFillsAgain(t *testing.T) {
	var tr tree
	for range 3 {
		for i := range 5000 {
			tr.set(fmt.Sprintf("%05d", i), Item{})
		}
		tr.check(t)
		for i := range 5000 {
			tr.delete(fmt.Sprintf("%05d", (i*7)%5000))
		}
		if tr.size != 0 || tr.root != nil {
			t.Fatalf("size %d", tr.size)
		}
	}
}
