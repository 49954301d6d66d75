package linearizability

import (
	"context"
	"slices"
	"sort"

	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/search"
	"github.com/raftcheck/raftcheck/linearizability/zone"
)

const (
	// minimizeSteps bounds the work to make one violation small, askSteps that of one question.
	minimizeSteps, askSteps = 20_000_000, 1_000_000
)

// Minimize makes the operations few that show that ops is illegal. core are positions in ops to
// begin with, as an engine gave them; nil if there are none.
//
// It only ever weakens: it ends the history earlier, drops an observer, lets a mutator be
// indeterminate, and drops indeterminate mutators that nobody observes. Whatever is legal stays
// legal under each of these, so what is illegal in the end proves that all of it was. The result is
// never legal; if the work becomes too much, it is larger than it could be.
func Minimize(ctx context.Context, ops []register.Op, core []int32) []register.Op {
	m := &minimizer{ctx: ctx, left: minimizeSteps}
	now := weakest(ops)
	if core != nil {
		if few := weakenTo(ops, core); m.illegal(few) {
			now = few
		}
	}
	if len(now) > 64 {
		now = m.shortest(now)
		now = m.latest(now)
	}
	for size := len(now) / 4; size > 1; size /= 2 {
		now = m.weaken(now, size)
	}
	for {
		n := strength(now)
		if now = m.weaken(now, 1); strength(now) == n {
			return now
		}
	}
}

type minimizer struct {
	ctx  context.Context
	left int64
}

// illegal says whether ops is surely illegal.
func (m *minimizer) illegal(ops []register.Op) bool {
	if m.left <= 0 {
		return false
	}
	m.left -= int64(len(ops))
	if d := zone.Decide(ops); d.Answer != register.Undecided {
		return d.Answer == register.Illegal
	}
	d := search.Decide(m.ctx, weakest(ops),
		register.Budget{Steps: min(askSteps, m.left), Bytes: 256 << 20})
	m.left -= d.Steps
	return d.Answer == register.Illegal
}

// strength counts what is left to weaken.
func strength(ops []register.Op) (n int) {
	for i := range ops {
		if !ops[i].Maybe {
			n++
		}
	}
	return n
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
	return weakest(out)
}

// weaker is o as weak as can be; false if it can be left out.
func weaker(o register.Op) (register.Op, bool) {
	if !o.Mutates() {
		return o, false
	}
	o.Maybe, o.Ret = true, register.Never
	return o, true
}

// weakest drops the indeterminate mutators that nobody observes. Beside a Miss that would be no
// weakening, see [register.Normalize].
func weakest(ops []register.Op) []register.Op {
	if register.HasMiss(ops) {
		return ops
	}
	left, _ := register.Normalize(ops)
	return left
}

// shortest ends the history as early as it stays illegal.
func (m *minimizer) shortest(ops []register.Op) []register.Op {
	var ends []int64
	for i := range ops {
		if ops[i].Ret != register.Never {
			ends = append(ends, ops[i].Ret)
		}
	}
	slices.Sort(ends)
	at := sort.Search(len(ends), func(i int) bool { return m.illegal(until(ops, ends[i])) })
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
	return weakest(out)
}

// latest weakens as many operations as can be at the beginning.
func (m *minimizer) latest(ops []register.Op) []register.Op {
	byCall := slices.Clone(ops)
	slices.SortStableFunc(byCall, func(a, b register.Op) int {
		return int(min(max(a.Call-b.Call, -1), 1))
	})
	n := sort.Search(len(byCall), func(n int) bool {
		return !m.illegal(weakenRange(byCall, 0, n+1))
	})
	return weakenRange(byCall, 0, n)
}

// weakenRange weakens the operations from one position up to another.
func weakenRange(ops []register.Op, from, to int) []register.Op {
	out := make([]register.Op, 0, len(ops))
	for i, o := range ops {
		if i >= from && i < to {
			var left bool
			if o, left = weaker(o); !left {
				continue
			}
		}
		out = append(out, o)
	}
	return weakest(out)
}

// weaken weakens size operations at a time, from the front, wherever the rest stays illegal.
func (m *minimizer) weaken(ops []register.Op, size int) []register.Op {
	for from := 0; from < len(ops) && m.left > 0; {
		to := min(from+size, len(ops))
		if strength(ops[from:to]) > 0 {
			if try := weakenRange(ops, from, to); m.illegal(try) {
				from = max(0, to-(len(ops)-len(try)))
				ops = try
				continue
			}
		}
		from = to
	}
	return ops
}
