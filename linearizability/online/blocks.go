package online

import "math"

// see notes that v was found, by an operation that was called and returned at these times. follows
// says that it was a compare-and-set, which is told of by the cluster that it begins.
func (c *Checker) see(v Value, call, ret, id int64, follows bool) *cluster {
	k := c.clusters[v]
	if k == nil {
		c.fail("stale read", v, id) // dead, or never written
		return nil
	}
	if !c.happened(k, id) {
		return nil
	}
	if follows {
		return k
	}
	if ret < k.call {
		c.fail("phantom value", v, id)
		return nil
	}
	k.first = min(k.first, ret)
	c.note(k, call, ret, id)
	return k
}

// wrote notes that a mutator has ended. ret is register.Never if nobody knows how.
func (c *Checker) wrote(o *Op, call, ret int64) {
	k := c.clusters[o.b]
	if k == nil {
		c.fail("stale read", o.b, o.id)
		return
	}
	k.call = max(k.call, call)
	if ret != math.MaxInt64 && !c.happened(k, o.id) {
		return
	}
	if k.block == nil {
		return // it may take effect at any later time
	}
	if k.first < k.call {
		c.fail("phantom value", o.b, o.id)
		return
	}
	c.note(k, k.call, ret, o.id)
}

// happened makes sure that k belongs to a block: its writer has happened. It is false if that can
// not be.
func (c *Checker) happened(k *cluster, id int64) bool {
	if k.block != nil {
		return true
	}
	if !k.isCAS {
		b := &block{
			f: math.MaxInt64, s: k.call, head: k, tail: k, dropped: math.MinInt64,
		}
		c.unsettled = append(c.unsettled, b)
		k.block, k.late = b, k.call
		return true
	}
	if k.asked {
		c.fail("phantom value", k.value, id) // values that only come from each other
		return false
	}
	k.asked = true
	from := c.see(k.from, 0, 0, id, true)
	if from == nil {
		return false
	}
	if from.after != nil || from.block.tail != from {
		c.fail("two lineages", k.from, id)
		return false
	}
	k.block, k.before, k.late = from.block, from, k.call
	from.after = k
	from.block.tail = k
	return c.raise(from.block, k.call, id)
}

// note widens the block of k by an operation on k, and holds it against the others.
func (c *Checker) note(k *cluster, call, ret, id int64) {
	b := k.block
	for p := k.after; p != nil; p = p.after {
		if p.early < call {
			c.fail("stale read", k.value, id)
			return
		}
	}
	earlier := b.dropped
	for p := k.before; p != nil; p = p.before {
		earlier = max(earlier, p.late)
	}
	if ret < earlier {
		c.fail("time travel", k.value, id)
		return
	}
	k.early, k.late = min(k.early, ret), max(k.late, call)
	b.f = min(b.f, ret)
	c.raise(b, call, id)
}

// raise raises the last call of b, and says whether b contradicts no other block.
func (c *Checker) raise(b *block, call, id int64) bool {
	b.s = max(b.s, call)
	if b.settled {
		c.settledRose(b)
	}
	others := c.second
	if c.first != b {
		others = c.first.s
	}
	if others > b.f {
		c.fail("stale read", b.tail.value, id)
		return false
	}
	for _, o := range c.unsettled {
		if o != b && o.f < b.s && b.f < o.s {
			c.fail("stale read", b.tail.value, id)
			return false
		}
	}
	return true
}

// settledRose keeps the greatest s of the settled blocks, and of the others.
func (c *Checker) settledRose(b *block) {
	switch {
	case c.first == nil || c.first == b:
		c.first = b
	case b.s > c.first.s:
		c.second = max(c.second, c.first.s)
		c.first = b
	default:
		c.second = max(c.second, b.s)
	}
}

// settle moves b to the settled ones.
func (c *Checker) settle(b *block) {
	b.settled = true
	c.settledRose(b)
	c.live = append(c.live, b)
}

// clean settles the blocks that returned before all that is open was called, and forgets what is
// dead.
func (c *Checker) clean() {
	if c.oldest == nil {
		return // nothing is open: what comes next is called later, but nobody knows when
	}
	oldest := c.oldest.low
	left := c.unsettled[:0]
	for _, b := range c.unsettled {
		if b.f < oldest {
			c.settle(b)
		} else {
			left = append(left, b)
		}
	}
	clear(c.unsettled[len(left):])
	c.unsettled = left
	alive := c.live[:0]
	for _, b := range c.live {
		if b != c.first && b.f < c.first.s {
			c.drop(b.head)
			continue
		}
		c.shorten(b, oldest)
		alive = append(alive, b)
	}
	clear(c.live[len(alive):])
	c.live = alive
}

// drop forgets a cluster and those after it.
func (c *Checker) drop(k *cluster) {
	for ; k != nil; k = k.after {
		delete(c.clusters, k.value)
	}
}

// shorten forgets the clusters at the beginning of b that can not be read any more: a later one
// returned before all that is open was called.
func (c *Checker) shorten(b *block, oldest int64) {
	for k := b.head; k.after != nil && k.after.early < oldest; k = k.after {
		delete(c.clusters, k.value)
		b.dropped = max(b.dropped, k.late)
		b.head = k.after
		k.after.before = nil
	}
}
