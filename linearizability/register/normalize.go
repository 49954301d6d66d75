package register

import "slices"

// Normalize drops what constrains nothing and makes a search long: indeterminate mutators whose
// value nobody observed. It returns what is left; the positions in ops of what is left are in kept,
// or nil if nothing was dropped.
//
// Why that is sound: such an operation may be left out, so leaving it out only removes
// linearizations. And in any linearization that holds it, the next thing on the register is a
// blind write or nothing, since nobody observes its value; without it all results are the same. A
// [Miss] breaks the second half, since any other value satisfies it: with one in ops, what is left
// being legal proves that ops is, but its being illegal proves nothing.
//
// An indeterminate cas from a to b observes a only if its own b is observed: what is required is
// found by going backwards from the values that determinate operations observed.
func Normalize(ops []Op) (left []Op, kept []int32) {
	required := Required(ops)
	if required == nil {
		return ops, nil
	}
	for i := range ops {
		if ops[i].Maybe && !required[ops[i].B] {
			if kept == nil {
				left = append(make([]Op, 0, len(ops)-1), ops[:i]...)
				kept = make([]int32, i, len(ops)-1)
				for j := range kept {
					kept[j] = int32(j)
				}
			}
			continue
		}
		if kept != nil {
			left = append(left, ops[i])
			kept = append(kept, int32(i))
		}
	}
	if kept == nil {
		return ops, nil
	}
	return left, kept
}

// Required tells, by number, which values some operation must have found: a Maybe that writes
// another may be dropped, see [Normalize]. It is nil if there is no Maybe.
func Required(ops []Op) []bool {
	top, maybes := Absent, false
	for i := range ops {
		top = max(top, ops[i].A, ops[i].B)
		maybes = maybes || ops[i].Maybe
	}
	if !maybes {
		return nil
	}
	required := make([]bool, top+1)
	var todo []Value
	need := func(v Value) {
		if !required[v] {
			required[v] = true
			todo = append(todo, v)
		}
	}
	var from map[Value][]Value // by b, each a of an indeterminate cas a→b
	for i := range ops {
		o := &ops[i]
		v, observes := o.Observes()
		switch {
		case observes && !o.Maybe:
			need(v)
		case observes:
			if from == nil {
				from = map[Value][]Value{}
			}
			from[o.B] = append(from[o.B], v)
		}
	}
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, a := range from[v] {
			need(a)
		}
	}
	return required
}

// HasMiss says whether a [Miss] is among ops.
func HasMiss(ops []Op) bool {
	return slices.ContainsFunc(ops, func(o Op) bool { return o.Kind == Miss })
}
