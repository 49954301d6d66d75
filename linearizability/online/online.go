// Package online decides whether a register in which no value is written twice is linearizable
// while operations still go on, and says so at the first event at which what has happened so far
// can not be.
//
// It is the decision of package zone, event by event. There, each value has a cluster of
// operations, clusters that compare-and-sets link are a block, and with f the first return in a
// block and s its last call, two blocks A and B contradict each other if f(A) < s(B) and
// f(B) < s(A). Here f only falls and s only rises, and both only when an operation ends. So it is
// enough to hold the block of the operation that ends against all others.
//
// Which others matter? Let T be the earliest call of an operation that is still open. All that ends
// from now on was called at T or later. A block whose first return lies before T is settled: of all
// settled blocks only the greatest s counts, since a block whose s rises from now on rises above T.
// So a block must be held against the greatest s of the settled ones, and against the few that are
// not settled. And a settled block A is dead once another has s > f(A): whoever reads its value
// from now on contradicts it. A dead value can be forgotten, since reading a value that nobody
// knows is a violation just as well. So the memory that is needed grows with what is open at once,
// and with the indeterminate writes that nobody has observed, which may take effect at any later
// time.
package online

import (
	"math"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Value is what a register may hold. Values are told apart by their numbers, which must differ.
type Value uint64

// Absent is the value of a register to which nothing was written.
const Absent Value = 0

// Violation says at which operation the history ceased to be linearizable.
type Violation struct {
	// Class is a short name for it, as in findings; Value is what was found and could not be.
	Class string
	Value Value
	// At is the id of the operation whose end shows it.
	At int64
}

// Op is an operation under way. It belongs to the checker again when it has ended.
type Op struct {
	kind       register.Kind
	a, b       Value
	call, low  int64
	id         int64
	prev, next *Op
}

// cluster is what is known of a value.
type cluster struct {
	value  Value
	call   int64 // of the writer, as far as it is known
	from   Value // for a cas, what it found
	isCAS  bool
	asked  bool  // whether it happened is being found out
	first  int64 // the first return of a reader
	early  int64 // the first return of any operation
	late   int64 // the last call of any operation
	block  *block
	before *cluster // in its block, alive ones only
	after  *cluster
}

// block is a chain of clusters, all of which have happened.
type block struct {
	f, s    int64
	tail    *cluster
	head    *cluster
	dropped int64 // the last call in clusters that were forgotten
	settled bool
}

// Checker decides about one register. It is owned by one goroutine.
type Checker struct {
	clusters  map[Value]*cluster
	oldest    *Op // open operations in order of their calls
	newest    *Op
	pool      *Op
	unsettled []*block
	live      []*block // settled, in the order in which they became so
	first     *block   // the settled block with the greatest s
	second    int64    // the greatest s of the other settled ones
	written   Value    // the greatest value that was written
	violation *Violation
	undecided string
	blind     bool // nothing is known any more
}

// New makes a Checker of a register to which nothing was written.
func New() *Checker {
	c := &Checker{clusters: map[Value]*cluster{}, second: math.MinInt64}
	k := &cluster{
		value: Absent, call: math.MinInt64, first: math.MaxInt64,
		early: math.MinInt64, late: math.MinInt64,
	}
	c.clusters[Absent] = k
	b := &block{f: math.MinInt64, s: math.MinInt64, head: k, tail: k, dropped: math.MinInt64}
	k.block = b
	c.settle(b)
	return c
}

// Violation is the first violation; nil if there is none so far.
func (c *Checker) Violation() *Violation { return c.violation }

// Undecided says why what is called linearizable need not be: a compare-and-set was refused and
// nobody was told what it found, or a value was written twice, or a delete. It is empty if all that
// has happened was decided. A violation is one in any case.
func (c *Checker) Undecided() string { return c.undecided }

// Live is how many values are remembered: those that may still be found.
func (c *Checker) Live() int { return len(c.clusters) }

// GiveUp makes the checker undecided for good: something happened that it can not understand.
func (c *Checker) GiveUp(reason string) { c.undecided, c.blind = reason, true }

// Begin begins an operation: a [register.Read], a [register.Write] of b or a [register.CAS] from a
// to b. Calls come in order of their times. A value is written once; for values that are numbered
// in the order of their writes that is sure, any other order makes the answer undecided.
func (c *Checker) Begin(kind register.Kind, a, b Value, call, id int64) *Op {
	o := c.pool
	if o == nil {
		o = &Op{}
	} else {
		c.pool = o.next
	}
	*o = Op{kind: kind, a: a, b: b, call: call, low: call, id: id, prev: c.newest}
	wasIdle := c.newest == nil
	if wasIdle {
		c.oldest = o
	} else {
		c.newest.next = o
	}
	c.newest = o
	if wasIdle {
		c.clean()
	}
	for p := o.prev; p != nil && p.low > call; p = p.prev {
		p.low = call // out of order: be careful
	}
	if kind == register.Write || kind == register.CAS {
		if b <= c.written {
			c.GiveUp("values were not written in order, each once")
			return o
		}
		c.written = b
		c.clusters[b] = &cluster{
			value: b, call: call, from: a, isCAS: kind == register.CAS,
			first: math.MaxInt64, early: math.MaxInt64, late: math.MinInt64,
		}
	}
	return o
}

// Ok ends o with success: it found what a compare-and-set expects, or for a read, found. Call is
// when it really began, which may be later than was known.
func (c *Checker) Ok(o *Op, found Value, call, ret int64) *Violation {
	switch o.kind {
	case register.Read:
		c.see(found, call, ret, o.id, false)
	default:
		c.wrote(o, call, ret)
	}
	c.remove(o)
	return c.violation
}

// Refused ends a compare-and-set that found another value; told says whether it is known which. An
// o that was refused although it found what it expected can not be.
func (c *Checker) Refused(o *Op, told bool, found Value, call, ret int64) *Violation {
	c.forget(o)
	switch {
	case !told:
		c.undecided = "a cas was refused, and what it found is not known"
	case found == o.a:
		c.fail("refused cas", found, o.id)
	default:
		c.see(found, call, ret, o.id, false)
	}
	c.remove(o)
	return c.violation
}

// Fail ends o, which certainly did not happen.
func (c *Checker) Fail(o *Op) *Violation {
	if k := c.forget(o); k != nil && k.block != nil {
		c.fail("phantom value", o.b, o.id) // but somebody has seen it
	}
	c.remove(o)
	return c.violation
}

// Info ends o, of which nobody knows whether it happened, or will. It began at call.
func (c *Checker) Info(o *Op, call int64) *Violation {
	if o.kind != register.Read {
		c.wrote(o, call, register.Never)
	}
	c.remove(o)
	return c.violation
}

// forget drops the cluster of an operation that wrote nothing, and returns what it was.
func (c *Checker) forget(o *Op) *cluster {
	if o.kind == register.Read {
		return nil
	}
	k := c.clusters[o.b]
	if k != nil {
		delete(c.clusters, o.b)
	}
	return k
}

// remove takes o from the open operations, and settles what can be.
func (c *Checker) remove(o *Op) {
	wasOldest := o.prev == nil
	if o.prev == nil {
		c.oldest = o.next
	} else {
		o.prev.next = o.next
	}
	if o.next == nil {
		c.newest = o.prev
	} else {
		o.next.prev = o.prev
	}
	o.prev, o.next = nil, c.pool
	c.pool = o
	if wasOldest {
		c.clean()
	}
}

func (c *Checker) fail(class string, v Value, at int64) {
	if c.violation == nil && !c.blind {
		c.violation = &Violation{Class: class, Value: v, At: at}
	}
}
