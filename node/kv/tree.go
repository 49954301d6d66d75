package kv

import (
	"iter"
	"sort"
)

// tree is a B-tree of items by key, of which a copy costs nothing: copies share their nodes, and
// whoever changes one copies the nodes on the way first. So a snapshot is taken in an instant and
// written out at leisure while commands go on.
type tree struct {
	root *node
	size int
	// own marks the nodes that this tree alone has. A copy gives both sides a new mark, so that
	// each of them sees the nodes there are as shared.
	own *mark
}

// mark is an identity; it has a field, since pointers to empty structs may all be equal.
type mark struct{ _ byte }

// Each node but the root has minKeys to maxKeys keys; an inner one has one kid more than keys.
const (
	maxKeys = 63
	minKeys = maxKeys / 2
)

type node struct {
	own  *mark
	keys []string
	vals []Item
	kids []*node // nil for a leaf
}

// snapshot returns a copy.
func (t *tree) snapshot() tree {
	t.own = &mark{}
	return tree{t.root, t.size, &mark{}}
}

// mutable returns the node if it is this tree's alone, or else a copy that is.
func (t *tree) mutable(n *node) *node {
	if n.own == t.own {
		return n
	}
	c := &node{own: t.own,
		keys: append(make([]string, 0, maxKeys), n.keys...),
		vals: append(make([]Item, 0, maxKeys), n.vals...),
	}
	if n.kids != nil {
		c.kids = append(make([]*node, 0, maxKeys+1), n.kids...)
	}
	return c
}

// kid returns the i-th kid, to be changed; n itself is mutable.
func (t *tree) kid(n *node, i int) *node {
	n.kids[i] = t.mutable(n.kids[i])
	return n.kids[i]
}

// find returns where key stands in n, or the kid under which it would.
func (n *node) find(key string) (i int, found bool) {
	i = sort.Search(len(n.keys), func(i int) bool { return n.keys[i] >= key })
	return i, i < len(n.keys) && n.keys[i] == key
}

func (t *tree) get(key string) (Item, bool) {
	for n := t.root; n != nil; {
		i, found := n.find(key)
		if found {
			return n.vals[i], true
		}
		if n.kids == nil {
			break
		}
		n = n.kids[i]
	}
	return Item{}, false
}

// set puts an item under a key, new or not. Full nodes are split on the way down, so that there is
// always room for the key that a split pushes up.
func (t *tree) set(key string, item Item) {
	if t.own == nil {
		t.own = &mark{}
	}
	if t.root == nil {
		t.root = &node{own: t.own}
	}
	t.root = t.mutable(t.root)
	if len(t.root.keys) == maxKeys {
		t.root = &node{own: t.own, kids: []*node{t.root}}
		t.split(t.root, 0)
	}
	n := t.root
	for {
		i, found := n.find(key)
		if found {
			n.vals[i] = item
			return
		}
		if n.kids == nil {
			n.keys = insert(n.keys, i, key)
			n.vals = insert(n.vals, i, item)
			t.size++
			return
		}
		if len(n.kids[i].keys) == maxKeys {
			t.split(n, i)
			if key == n.keys[i] {
				n.vals[i] = item
				return
			}
			if key > n.keys[i] {
				i++
			}
		}
		n = t.kid(n, i)
	}
}

// split makes two of the full i-th kid of n, with the middle key between them in n.
func (t *tree) split(n *node, i int) {
	left := t.kid(n, i)
	right := &node{own: t.own,
		keys: append(make([]string, 0, maxKeys), left.keys[minKeys+1:]...),
		vals: append(make([]Item, 0, maxKeys), left.vals[minKeys+1:]...),
	}
	if left.kids != nil {
		right.kids = append(make([]*node, 0, maxKeys+1), left.kids[minKeys+1:]...)
		left.kids = cut(left.kids, minKeys+1)
	}
	n.keys = insert(n.keys, i, left.keys[minKeys])
	n.vals = insert(n.vals, i, left.vals[minKeys])
	n.kids = insert(n.kids, i+1, right)
	left.keys, left.vals = cut(left.keys, minKeys), cut(left.vals, minKeys)
}

// delete removes a key that is there.
func (t *tree) delete(key string) {
	t.root = t.mutable(t.root)
	t.remove(t.root, key)
	t.size--
	if len(t.root.keys) == 0 {
		if t.root.kids == nil {
			t.root = nil
		} else {
			t.root = t.root.kids[0]
		}
	}
}

// remove deletes key below n, which is mutable and has a key to spare unless it is the root.
func (t *tree) remove(n *node, key string) {
	for {
		i, found := n.find(key)
		if n.kids == nil {
			n.keys, n.vals = erase(n.keys, i), erase(n.vals, i)
			return
		}
		if found {
			if len(n.kids[i].keys) <= minKeys {
				// The key may move down or aside; look for it again.
				n = t.fill(n, i, key)
				continue
			}
			// Its predecessor takes its place.
			pred := n.kids[i]
			for pred.kids != nil {
				pred = pred.kids[len(pred.kids)-1]
			}
			last := len(pred.keys) - 1
			n.keys[i], n.vals[i] = pred.keys[last], pred.vals[last]
			key = n.keys[i]
			n = t.kid(n, i)
			continue
		}
		n = t.fill(n, i, key)
	}
}

// fill sees to it that the kid of n under which key belongs, the i-th, has a key to spare, and
// returns the node in which to look on: that kid, or n if key itself came to stand there.
func (t *tree) fill(n *node, i int, key string) *node {
	kid := t.kid(n, i)
	if len(kid.keys) > minKeys {
		return kid
	}
	switch {
	case i > 0 && len(n.kids[i-1].keys) > minKeys:
		left := t.kid(n, i-1)
		last := len(left.keys) - 1
		kid.keys, kid.vals = insert(kid.keys, 0, n.keys[i-1]), insert(kid.vals, 0, n.vals[i-1])
		n.keys[i-1], n.vals[i-1] = left.keys[last], left.vals[last]
		left.keys, left.vals = cut(left.keys, last), cut(left.vals, last)
		if kid.kids != nil {
			kid.kids = insert(kid.kids, 0, left.kids[last+1])
			left.kids = cut(left.kids, last+1)
		}
	case i < len(n.keys) && len(n.kids[i+1].keys) > minKeys:
		right := t.kid(n, i+1)
		kid.keys, kid.vals = append(kid.keys, n.keys[i]), append(kid.vals, n.vals[i])
		n.keys[i], n.vals[i] = right.keys[0], right.vals[0]
		right.keys, right.vals = erase(right.keys, 0), erase(right.vals, 0)
		if kid.kids != nil {
			kid.kids = append(kid.kids, right.kids[0])
			right.kids = erase(right.kids, 0)
		}
	default:
		if i == len(n.keys) {
			i--
		}
		return t.merge(n, i)
	}
	if _, here := n.find(key); here {
		return n
	}
	return kid
}

// merge makes one of the kids i and i+1 of n and the key between them.
func (t *tree) merge(n *node, i int) *node {
	left, right := t.kid(n, i), n.kids[i+1]
	left.keys = append(append(left.keys, n.keys[i]), right.keys...)
	left.vals = append(append(left.vals, n.vals[i]), right.vals...)
	left.kids = append(left.kids, right.kids...)
	n.keys, n.vals, n.kids = erase(n.keys, i), erase(n.vals, i), erase(n.kids, i+1)
	return left
}

// from yields the items with keys from start on, in order.
func (t *tree) from(start string) iter.Seq2[string, Item] {
	return func(yield func(string, Item) bool) {
		if t.root != nil {
			t.root.walk(start, yield)
		}
	}
}

func (n *node) walk(start string, yield func(string, Item) bool) bool {
	first, _ := n.find(start)
	for i := first; i <= len(n.keys); i++ {
		if n.kids != nil && !n.kids[i].walk(start, yield) {
			return false
		}
		if i < len(n.keys) && !yield(n.keys[i], n.vals[i]) {
			return false
		}
	}
	return true
}

func insert[T any](s []T, i int, v T) []T {
	var zero T
	s = append(s, zero)
	copy(s[i+1:], s[i:])
	s[i] = v
	return s
}

func erase[T any](s []T, i int) []T {
	copy(s[i:], s[i+1:])
	return cut(s, len(s)-1)
}

// cut shortens a slice and forgets what it held beyond.
func cut[T any](s []T, n int) []T {
	clear(s[n:])
	return s[:n]
}
