package search

import "github.com/raftcheck/raftcheck/linearizability/register"

// choose lists what may take effect next so that the operation that returns now can, the most
// promising last to first being tried in order.
func (s *searcher) choose() {
	e := s.events[s.event]
	o := &s.ops[e.op]
	slot := int32(e.slot)
	itself := s.allowed(o)
	canAbsorb := s.free.has(slot)
	wanted := o.Mutates() && s.observers[o.B] > 0
	if canAbsorb && !wanted {
		s.candidates = append(s.candidates, absorb)
	}
	if itself && o.Kind != register.Write {
		s.candidates = append(s.candidates, slot)
	}
	if itself && o.Kind == register.Write && wanted {
		s.candidates = append(s.candidates, slot)
	}
	s.chooseOpen(slot)
	if itself && o.Kind == register.Write && !wanted {
		s.candidates = append(s.candidates, slot)
	}
	if canAbsorb && wanted {
		s.candidates = append(s.candidates, absorb)
	}
	s.chooseMaybe()
}

// allowed says whether o may change the register now.
func (s *searcher) allowed(o *register.Op) bool {
	if !o.Mutates() {
		return false // it would have taken effect as soon as it could
	}
	if _, ok := o.Step(s.value); !ok {
		return false
	}
	observesNow := o.Kind == register.CAS
	if !s.observed && !observesNow {
		return false // what was written last must be observed first
	}
	if o.B == s.value {
		return true
	}
	waiting := s.observers[s.value]
	if observesNow && !o.Maybe {
		waiting--
	}
	return waiting <= 0 || s.writers[s.value] > 0
}

// chooseOpen lists open mutators other than the one that returns now.
func (s *searcher) chooseOpen(returning int32) {
	for left := s.open.without(s.done); ; {
		t := left.pop()
		if t < 0 {
			return
		}
		o := &s.ops[s.slots[t]]
		if t == returning || !s.allowed(o) {
			continue
		}
		if o.Kind == register.Write && !s.useful(o.B) || s.hasTwin(t, o) {
			continue
		}
		s.candidates = append(s.candidates, t)
	}
}

// hasTwin says whether another open operation does the same as o, and returns first.
func (s *searcher) hasTwin(slot int32, o *register.Op) bool {
	for left := s.open.without(s.done); ; {
		t := left.pop()
		if t < 0 {
			return false
		}
		p := &s.ops[s.slots[t]]
		if t == slot || p.Kind != o.Kind || p.B != o.B || p.A != o.A && o.Kind == register.CAS {
			continue
		}
		if p.Ret < o.Ret || p.Ret == o.Ret && t < slot {
			return true
		}
	}
}

// useful says whether somebody who is open can observe v next.
func (s *searcher) useful(v register.Value) bool {
	for left := s.open.without(s.done); ; {
		t := left.pop()
		if t < 0 {
			break
		}
		o := &s.ops[s.slots[t]]
		switch o.Kind {
		case register.Read, register.CAS:
			if o.A == v {
				return true
			}
		case register.Miss:
			if o.A == s.value && v != s.value {
				return true
			}
		}
	}
	for k := range s.classes {
		if c := &s.classes[k]; c.kind == register.CAS && c.a == v && s.available(int32(k)) {
			return true
		}
	}
	return false
}

// wouldAbsorb says whether a blind write would absorb another that could not be absorbed before.
// Then it is worth something even if what it writes stands there already.
func (s *searcher) wouldAbsorb() bool {
	for left := s.open.without(s.done).without(s.free); ; {
		t := left.pop()
		if t < 0 {
			return false
		}
		if s.ops[s.slots[t]].Kind == register.Write {
			return true
		}
	}
}

func (s *searcher) available(k int32) bool {
	n := s.usedOf[k]
	c := &s.classes[k]
	return int(n) < len(c.ops) && c.from[n] <= s.event
}

// chooseMaybe lists classes of indeterminate operations.
func (s *searcher) chooseMaybe() {
	for k := range s.classes {
		c := &s.classes[k]
		if !s.available(int32(k)) {
			continue
		}
		o := register.Op{Kind: c.kind, A: c.a, B: c.b, Maybe: true}
		if c.b == s.value && (c.kind != register.Write || !s.wouldAbsorb()) {
			continue // it would change nothing
		}
		if s.allowed(&o) && s.useful(c.b) {
			s.candidates = append(s.candidates, firstClass+int32(k))
		}
	}
}
