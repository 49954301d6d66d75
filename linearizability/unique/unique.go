// Package unique decides queues, bags and sets in which no element is put in twice, in n log n.
// There an answer says which operation it saw, and what is left to find out is an order of
// intervals. Where elements come again, or the rules below do not apply, it is undecided.
//
// Nothing here is to be believed: whoever asks replays the order of a Legal.
package unique

import (
	"cmp"
	"slices"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Op is an operation with the element that it puts in or takes out. It takes effect at one moment
// from Call to Ret, both included.
type Op struct {
	// Element is what an operation adds or takes; empty for a read.
	Element string
	// Seen are the elements that a read answered.
	Seen []string
	// Adds and Takes say what it does; a read does neither.
	Adds, Takes bool
	// Maybe says that it may take effect at any time from Call on, once, or never. What a Maybe
	// takes is not known.
	Maybe     bool
	Call, Ret int64
}

func undecided(why string) register.Decision { return register.Decision{Reason: why} }

func illegal(core ...int32) register.Decision {
	return register.Decision{Answer: register.Illegal, Core: core}
}

// item is an element with the operations that put it in and take it out; -1 if there is none.
type item struct{ add, take int32 }

// items pairs what was taken with what was put in. A decision that is not nil is the answer.
func items(ops []Op) ([]item, *register.Decision) {
	at := map[string]int{}
	var all []item
	for i := range ops {
		if !ops[i].Adds {
			continue
		}
		if _, again := at[ops[i].Element]; again {
			return nil, new(undecided("an element is put in twice"))
		}
		at[ops[i].Element] = len(all)
		all = append(all, item{int32(i), -1})
	}
	for i := range ops {
		if !ops[i].Takes || ops[i].Maybe {
			continue
		}
		n, known := at[ops[i].Element]
		switch {
		case !known:
			return nil, new(illegal(int32(i)))
		case all[n].take >= 0:
			return nil, new(illegal(all[n].add, all[n].take, int32(i)))
		case ops[i].Ret < ops[all[n].add].Call:
			return nil, new(illegal(all[n].add, int32(i)))
		}
		all[n].take = int32(i)
	}
	return all, nil
}

// Bag decides a queue without order: each element is taken at most once, and not before it was put
// in. Nothing that is not taken is in anybody's way.
func Bag(ops []Op) register.Decision {
	all, d := items(ops)
	if d != nil {
		return *d
	}
	var p plan
	for _, it := range all {
		if it.take < 0 && ops[it.add].Maybe {
			continue // nobody saw it
		}
		at := ops[it.add].Call
		p.at(at, it.add)
		if it.take >= 0 {
			p.at(max(at, ops[it.take].Call), it.take)
		}
	}
	return p.legal()
}

// plan gives operations the moments at which they take effect.
type plan struct{ moments []moment }

type moment struct {
	at  int64
	seq int
	op  int32
}

func (p *plan) at(t int64, op int32) {
	p.moments = append(p.moments, moment{t, len(p.moments), op})
}

// legal is the answer that puts operations into the order of their moments; at equal times that in
// which they were given.
func (p *plan) legal() register.Decision {
	slices.SortFunc(p.moments, func(a, b moment) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.seq, b.seq))
	})
	order := make([]int32, len(p.moments))
	for i, m := range p.moments {
		order[i] = m.op
	}
	return register.Decision{Answer: register.Legal, Order: order, Steps: int64(len(order))}
}
