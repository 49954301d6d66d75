package linearizability

import (
	"context"
	"slices"
	"sort"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// minimize makes the operations few that show that ops is illegal. It only ever weakens: it ends
// the history earlier, drops an observer, or lets a mutator be indeterminate, and drops
// indeterminate mutators that nobody observes. Whatever is legal stays legal under each of these,
// so what is illegal at the end proves that all of it was.
//
// The result has the IDs of ops; those that had to be true mutators are no Maybe. The budget is for
// each question; what can not be answered with it is not weakened.
func minimize(ctx context.Context, ops []register.Op, core []int32, b register.Budget) []register.Op {
	illegal := func(ops []register.Op) bool {
		return Decide(ctx, ops, b).Answer == register.Illegal
	}
	now := slices.Clone(ops)
	if core != nil {
		if few := weakenTo(ops, core); illegal(few) {
			now = few
		}
	}
	now, _ = weakest(now)
	now = slices.Clone(now)
	if len(now) > 64 {
		now = shortest(now, illegal)
	}
	for size := len(now) / 2; size >= 1; size = min(size/2, len(now)/2) {
		now = weakenChunks(now, size, illegal)
		if size == 1 {
			break
		}
	}
	return weakenChunks(now, 1, illegal)
}

// weakenTo keeps the operations at the positions core as they are, and the others as weak as can
// be.
func weakenTo(ops []register.Op, core []int32) []register.Op {
	keep := make(map[int32]bool, len(core))
	for _, i := range core {
		keep[i] = true
	}
	var out []register.Op
	for i := range ops {
		if o, left := weaker(ops[i]); keep[int32(i)] {
			out = append(out, ops[i])
		} else if left {
			out = append(out, o)
		}
	}
	out, _ = weakest(out)
	return out
}

// weaker is o as weak as can be; false if it can be left out.
func weaker(o register.Op) (register.Op, bool) {
	if !o.Mutates() {
		return o, false
	}
	o.Maybe, o.Ret = true, register.Never
	return o, true
}

// shortest ends the history as early as it stays illegal.
func shortest(ops []register.Op, illegal func([]register.Op) bool) []register.Op {
	var ends []int64
	for i := range ops {
		if ops[i].Ret != register.Never {
			ends = append(ends, ops[i].Ret)
		}
	}
	slices.Sort(ends)
	at := sort.Search(len(ends), func(i int) bool { return illegal(until(ops, ends[i])) })
	if at == len(ends) {
		return ops // only the whole of it is known to be illegal
	}
	return until(ops, ends[at])
}

// until is what was known at the time end.
func until(ops []register.Op, end int64) []register.Op {
	var out []register.Op
	for _, o := range ops {
		switch {
		case o.Call > end:
			continue
		case o.Ret > end:
			var left bool
			if o, left = weaker(o); !left {
				continue
			}
		}
		out = append(out, o)
	}
	out, _ = weakest(out)
	return out
}

// weakenChunks weakens size operations at a time, from the front, wherever the rest stays illegal.
func weakenChunks(
	ops []register.Op, size int, illegal func([]register.Op) bool,
) []register.Op {
	for from := 0; from < len(ops); {
		try := make([]register.Op, 0, len(ops))
		changed := false
		for i, o := range ops {
			if i >= from && i < from+size && !o.Maybe {
				changed = true
				var left bool
				if o, left = weaker(o); !left {
					continue
				}
			}
			try = append(try, o)
		}
		if changed {
			try, _ = weakest(try)
			if illegal(try) {
				ops = slices.Clone(try)
				continue
			}
		}
		from += size
	}
	return ops
}

// weakest drops the indeterminate mutators that nobody observes. Dropping a Maybe is a weakening
// only where it is sound to: not beside a Miss.
func weakest(ops []register.Op) ([]register.Op, []int32) {
	if register.HasMiss(ops) {
		return ops, nil
	}
	return register.Normalize(ops)
}
