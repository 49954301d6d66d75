package zone

import (
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// backwards is the evidence that in the chain from head on, the writer of v or a reader of v
// returned before something was called that comes before it in the chain.
func (s *state) backwards(head, v register.Value, writer bool) register.Decision {
	early := s.clusters[v].writer
	if !writer {
		early = none
		for i := range s.ops {
			o := &s.ops[i]
			if o.Kind == register.Read && o.A == v && (early == none || o.Ret < s.ops[early].Ret) {
				early = int32(i)
			}
		}
	}
	place := s.places(head) // of each value in the chain
	late, nearest := int32(none), -1
	for i := range s.ops {
		o := &s.ops[i]
		if o.Call <= s.ops[early].Ret || !s.happened(o) {
			continue
		}
		at, ok := -1, false
		switch {
		case o.Kind == register.Read:
			at, ok = place[o.A]
			ok = ok && at < place[v]
		case o.Mutates():
			at, ok = place[o.B]
			ok = ok && (at < place[v] || at == place[v] && !writer)
		}
		if ok && at > nearest {
			late, nearest = int32(i), at
		}
	}
	return illegal(early, late)
}

// places gives each value of the chain from head on its place.
func (s *state) places(head register.Value) map[register.Value]int {
	place := map[register.Value]int{}
	for v := head; ; {
		place[v] = len(place)
		next := s.clusters[v].next
		if next == none {
			return place
		}
		v = s.ops[next].B
		if _, again := place[v]; again {
			return place
		}
	}
}

// contradict is the evidence that the blocks at i and j must each come before the other: the
// operations that are their first return and their last call.
func (s *state) contradict(i, j int) register.Decision {
	var core []int32
	for _, at := range []int{i, j} {
		b := &s.blocks[at]
		place := s.places(b.head)
		first, last := int32(none), int32(none)
		for i := range s.ops {
			o := &s.ops[i]
			v := o.A
			if o.Mutates() {
				v = o.B
			}
			if _, mine := place[v]; !mine || o.Kind == register.Miss || !s.happened(o) {
				continue
			}
			if o.Ret == b.f && first == none {
				first = int32(i)
			}
			if o.Call == b.s && last == none {
				last = int32(i)
			}
		}
		for _, i := range []int32{first, last} {
			if i != none {
				core = append(core, i)
			}
		}
	}
	return illegal(core...)
}

// cycle is the evidence that values come from each other, with no beginning: a chain of cas that
// is its own beginning.
func (s *state) cycle() register.Decision {
	reached := make([]bool, len(s.clusters))
	mark := func(v register.Value) {
		for !reached[v] {
			reached[v] = true
			next := s.clusters[v].next
			if next == none {
				return
			}
			v = s.ops[next].B
		}
	}
	mark(register.Absent)
	for i := range s.ops {
		if s.ops[i].Kind == register.Write {
			mark(s.ops[i].B)
		}
	}
	var core []int32
	for v := range s.clusters {
		w := s.clusters[v].writer
		if w == none || reached[v] {
			continue
		}
		for at := register.Value(v); !reached[at]; {
			reached[at] = true
			w := s.clusters[at].writer
			core = append(core, w)
			at = s.ops[w].A
		}
		return illegal(core...)
	}
	return undecided("a cycle was lost")
}
