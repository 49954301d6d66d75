package linearizability

import (
	"math/rand/v2"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// family is a kind of random histories.
type family struct {
	unique  bool // no value is written twice
	cas     int  // percentage of mutators that are compare-and-sets
	miss    int  // percentage of observers that are refused compare-and-sets
	deletes bool
	maybe   int   // percentage of mutators that are indeterminate
	span    int64 // times are drawn from 0 to span: the fewer, the more ties
}

// families are dense in what engines get wrong: equal times, refused compare-and-sets, values that
// come again, operations of which nobody knows.
func families() []family {
	var all []family
	for _, unique := range []bool{true, false} {
		for _, cas := range []int{0, 40, 90} {
			for _, miss := range []int{0, 30} {
				for _, maybe := range []int{0, 30} {
					for _, span := range []int64{6, 40} {
						all = append(all, family{
							unique: unique, cas: cas, miss: miss, maybe: maybe, span: span,
							deletes: !unique && miss == 0,
						})
					}
				}
			}
		}
	}
	// Many operations of which nobody knows, with the same few values.
	return append(all,
		family{cas: 30, maybe: 70, span: 30}, family{cas: 0, maybe: 60, span: 20},
		family{cas: 60, miss: 30, maybe: 70, span: 30})
}

// random draws a history of n operations. Half of them are drawn blindly, most of which are
// illegal; the others as a correct register would have done them, with a mistake now and then.
func (f family) random(rng *rand.Rand, n int) []register.Op {
	ops := make([]register.Op, n)
	fresh := register.Value(0)
	for i := range ops {
		o := &ops[i]
		o.ID = int32(i)
		o.Call = rng.Int64N(f.span)
		o.Ret = o.Call + rng.Int64N(f.span/2+1)
		switch {
		case rng.IntN(2) == 0:
			o.Kind = register.Read
			if rng.IntN(100) < f.miss {
				o.Kind = register.Miss
			}
			continue
		case rng.IntN(100) < f.cas:
			o.Kind = register.CAS
		default:
			o.Kind = register.Write
		}
		fresh++
		o.B = fresh
		if !f.unique {
			o.B = register.Value(1 + rng.IntN(3))
			if f.deletes && o.Kind == register.Write && rng.IntN(4) == 0 {
				o.B = register.Absent
			}
		}
		if rng.IntN(100) < f.maybe {
			o.Maybe, o.Ret = true, register.Never
		}
	}
	top := fresh
	if !f.unique {
		top = 3
	}
	if rng.IntN(2) == 0 {
		for i := range ops {
			if o := &ops[i]; o.Kind != register.Write {
				o.A = register.Value(rng.IntN(int(top) + 1))
			}
		}
		return ops
	}
	f.simulate(rng, ops, top)
	return ops
}

// simulate lets a correct register do ops at moments inside their times, and notes what they find.
func (f family) simulate(rng *rand.Rand, ops []register.Op, top register.Value) {
	type moment struct {
		at float64
		i  int
	}
	var moments []moment
	for i := range ops {
		o := &ops[i]
		length := float64(o.Ret - o.Call)
		if o.Maybe {
			length = float64(f.span)
		}
		moments = append(moments, moment{float64(o.Call) + rng.Float64()*length, i})
	}
	for i := range moments {
		for j := i; j > 0 && moments[j].at < moments[j-1].at; j-- {
			moments[j], moments[j-1] = moments[j-1], moments[j]
		}
	}
	state := register.Absent
	for _, m := range moments {
		o := &ops[m.i]
		switch o.Kind {
		case register.Read:
			o.A = state
		case register.Miss:
			if o.A = register.Value(rng.IntN(int(top) + 1)); o.A == state {
				o.A = state + 1
			}
		case register.CAS:
			o.A = state
			if o.Maybe && rng.IntN(2) == 0 {
				o.A = register.Value(rng.IntN(int(top) + 1))
			}
		}
		if o.Maybe && rng.IntN(2) == 0 {
			continue
		}
		if v, ok := o.Step(state); ok {
			state = v
		}
	}
	if rng.IntN(3) == 0 {
		o := &ops[rng.IntN(len(ops))]
		if o.Kind != register.Write {
			o.A = register.Value(rng.IntN(int(top) + 1))
		}
	}
}
