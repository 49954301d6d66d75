package unique

import (
	"cmp"
	"slices"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Set decides a set from which nothing is removed, with reads of all elements. What was read grows:
// the reads are a chain by inclusion, and each element was added between the last read without it
// and the first one with it. What is left is to see whether the times allow that.
func Set(ops []Op) register.Decision {
	added := map[string]int32{}
	var reads []int32
	for i := range ops {
		switch {
		case !ops[i].Adds:
			reads = append(reads, int32(i))
		default:
			if _, again := added[ops[i].Element]; again {
				return undecided("an element is added twice")
			}
			added[ops[i].Element] = int32(i)
		}
	}
	slices.SortStableFunc(reads, func(a, b int32) int {
		return cmp.Or(cmp.Compare(len(ops[a].Seen), len(ops[b].Seen)),
			cmp.Compare(ops[a].Call, ops[b].Call))
	})
	w := &walk{ops: ops, last: -1}
	var before []string
	for n, r := range reads {
		now := slices.Clone(ops[r].Seen)
		slices.Sort(now)
		fresh, grown := less(now, before)
		if !grown {
			return illegal(r, reads[n-1])
		}
		var adds []int32
		for _, e := range fresh {
			a, known := added[e]
			if !known || len(slices.Compact(slices.Clone(now))) < len(now) {
				return illegal(r)
			}
			adds = append(adds, a)
			delete(added, e)
		}
		if d := w.step(adds...); d != nil {
			return *d
		}
		if d := w.step(r); d != nil {
			return *d
		}
		before = now
	}
	var rest []int32
	for _, a := range added {
		if !ops[a].Maybe {
			rest = append(rest, a)
		}
	}
	if d := w.step(rest...); d != nil {
		return *d
	}
	return register.Decision{Answer: register.Legal, Order: w.order, Steps: int64(len(ops))}
}

// less is what a has beyond b; false if it lacks something of b. Both are sorted.
func less(a, b []string) (fresh []string, holds bool) {
	for _, e := range a {
		if len(b) > 0 && b[0] == e {
			b = b[1:]
			continue
		}
		fresh = append(fresh, e)
	}
	return fresh, len(b) == 0
}

// walk places operations one after the other.
type walk struct {
	ops   []Op
	order []int32
	last  int32 // of those placed, the one that was called last; -1 if there is none
}

// step places operations next to each other, in the order of their calls. It is the answer if one
// of them had returned before another that is ahead of it was called.
func (w *walk) step(at ...int32) *register.Decision {
	slices.SortFunc(at, func(a, b int32) int {
		return cmp.Or(cmp.Compare(w.ops[a].Call, w.ops[b].Call), cmp.Compare(a, b))
	})
	for _, i := range at {
		if w.last >= 0 && w.ops[i].Ret < w.ops[w.last].Call {
			return new(illegal())
		}
		if w.last < 0 || w.ops[i].Call > w.ops[w.last].Call {
			w.last = i
		}
		w.order = append(w.order, i)
	}
	return nil
}
