package search

import "math"

// maxClasses is with how many classes of indeterminate operations states are compared by which of
// them they used. With more, two states are the same only if they used the same.
const maxClasses = 64

// antichains remembers, for states that are the same but for the indeterminate operations that they
// used, those that used as few as possible. A state that used no fewer of any class than one that
// was seen can do nothing that the other could not: it is dominated.
type antichains struct {
	width int // classes
	heads map[sum]int32
	next  []int32  // by node; -1 at the end of a chain
	used  []uint16 // by node, width numbers
}

// newAntichains is nil if there are no classes, or so many or so large ones that it does not pay.
func newAntichains(classes []class) *antichains {
	if len(classes) == 0 || len(classes) > maxClasses {
		return nil
	}
	for i := range classes {
		if len(classes[i].ops) > math.MaxUint16 {
			return nil
		}
	}
	return &antichains{width: len(classes), heads: map[sum]int32{}}
}

// add adds what a state used; false if it is dominated by one that was there.
func (a *antichains) add(state sum, used []int32) bool {
	head, known := a.heads[state]
	if !known {
		head = -1
	}
	for n := head; n >= 0; n = a.next[n] {
		old := a.used[int(n)*a.width : int(n+1)*a.width]
		more, fewer := false, false
		for c := range old {
			more = more || used[c] > int32(old[c])
			fewer = fewer || used[c] < int32(old[c])
		}
		if !fewer {
			return false
		}
		if !more { // it dominates the old one, and takes its place
			for c := range old {
				old[c] = uint16(used[c])
			}
			return true
		}
	}
	a.heads[state] = int32(len(a.next))
	a.next = append(a.next, head)
	for _, n := range used {
		a.used = append(a.used, uint16(n))
	}
	return true
}

// bytes is roughly how much memory a takes.
func (a *antichains) bytes() int64 {
	if a == nil {
		return 0
	}
	return 48*int64(len(a.heads)) + 4*int64(cap(a.next)) + 2*int64(cap(a.used))
}
