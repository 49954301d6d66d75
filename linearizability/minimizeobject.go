package linearizability

import (
	"cmp"
	"context"
	"slices"
	"sort"

	"github.com/raftcheck/raftcheck/linearizability/object"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// minimizeObject makes the operations few that show that ops, which are illegal, are. Like
// [Minimize] it only weakens: an observer is dropped, a mutator becomes one of which nobody knows.
// The result is never legal; if the work becomes too much, it is larger than it could be.
func minimizeObject(ctx context.Context, m *Model, ops []generalOp) []generalOp {
	byCall := slices.Clone(ops)
	slices.SortStableFunc(byCall, func(a, b generalOp) int { return cmp.Compare(a.call, b.call) })
	z := &objectMinimizer{ctx: ctx, model: m, ops: byCall, left: minimizeSteps}
	strong := make([]bool, len(byCall))
	for i := range byCall {
		strong[i] = byCall[i].ret != register.Never
	}
	strong = z.shortest(strong)
	strong = z.latest(strong)
	for size := len(byCall) / 2; size >= 1; size /= 2 {
		strong = z.weaken(strong, size)
	}
	for before := -1; before != count(strong); {
		before = count(strong)
		strong = z.weaken(strong, 1)
	}
	return z.weakened(strong)
}

// objectMinimizer asks whether the operations are illegal still if but some are left as they are.
type objectMinimizer struct {
	ctx   context.Context
	model *Model
	ops   []generalOp
	left  int64 // steps
}

func count(strong []bool) (n int) {
	for _, s := range strong {
		if s {
			n++
		}
	}
	return n
}

// weakened leaves the strong operations as they are, and the others as weak as can be. What began
// after all that is known constrains nothing, and what nobody observes neither.
func (z *objectMinimizer) weakened(strong []bool) []generalOp {
	var end int64
	for i := range z.ops {
		if strong[i] {
			end = max(end, z.ops[i].ret)
		}
	}
	var out []generalOp
	for i, o := range z.ops {
		switch {
		case o.call > end, !strong[i] && o.observer:
			continue
		case !strong[i]:
			o.answered, o.ret, o.answer = false, register.Never, ""
		}
		out = append(out, o)
	}
	out, _ = z.model.observed(out)
	return out
}

func (z *objectMinimizer) illegal(strong []bool) bool {
	if z.left <= 0 || z.ctx.Err() != nil {
		return false
	}
	ops := z.weakened(strong)
	budget := register.Budget{Steps: min(askSteps, z.left), Bytes: 256 << 20}
	d := z.model.byRules(z.ctx, ops, budget).Decision
	if d.Answer == register.Undecided {
		k, in := newMachine(z.model, ops)
		d = object.Decide(z.ctx, in, k.step, budget)
	}
	z.left -= d.Steps + int64(len(ops))
	return d.Answer == register.Illegal
}

// shortest ends the history as early as it stays illegal.
func (z *objectMinimizer) shortest(strong []bool) []bool {
	var ends []int64
	for i := range z.ops {
		if strong[i] {
			ends = append(ends, z.ops[i].ret)
		}
	}
	slices.Sort(ends)
	upto := func(end int64) []bool {
		out := slices.Clone(strong)
		for i := range out {
			out[i] = out[i] && z.ops[i].ret <= end
		}
		return out
	}
	at := sort.Search(len(ends), func(i int) bool { return z.illegal(upto(ends[i])) })
	if at == len(ends) {
		return strong // only the whole of it is known to be illegal
	}
	return upto(ends[at])
}

// latest weakens as many operations as can be at the beginning.
func (z *objectMinimizer) latest(strong []bool) []bool {
	from := func(n int) []bool {
		out := slices.Clone(strong)
		clear(out[:n])
		return out
	}
	return from(sort.Search(len(strong), func(n int) bool { return !z.illegal(from(n + 1)) }))
}

// weaken weakens size operations at a time, from the front, wherever the rest stays illegal.
func (z *objectMinimizer) weaken(strong []bool, size int) []bool {
	for at := 0; at < len(strong) && z.left > 0; at += size {
		to := min(at+size, len(strong))
		if count(strong[at:to]) == 0 {
			continue
		}
		try := slices.Clone(strong)
		clear(try[at:to])
		if z.illegal(try) {
			strong = try
		}
	}
	return strong
}
