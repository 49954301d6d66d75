// Package txn says whether transactions over lists and registers can have happened one after the
// other, each at a moment between its begin and its end: strict serializability. If not, it names
// the anomaly and shows the few transactions that prove it.
//
// It needs values that are written once per key. A list then shows in which order its elements
// came, and a register that is never written without being read in the same transaction says which
// value came before. From the orders of versions follow dependencies between transactions:
//
//	ww   a wrote a version, and b the next one
//	wr   a wrote a version, and b read it
//	rw   a read a version, and b wrote the next one
//	rt   a ended before b began
//
// A cycle of them can not be put into an order. What is found is wrong: every dependency holds in
// every order of the transactions that explains what was read (for ww and rw of lists, because an
// append never reorders what is there). What is not found is right as long as each write of a
// register comes with a read of it: with the order of versions known, an order of the transactions
// that follows all dependencies gives each read what it saw. Only a blind write to a register
// leaves a version without a place, and then a violation can be missed.
//
// See Adya, Weak Consistency (1999), for the names of the anomalies, and Kingsbury and Alvaro, Elle
// (VLDB 2020), for the inference from lists. The time is linear in the number of operations and
// dependencies, but for the search for a short cycle once there is one.
package txn

// Kind says what a step does. The zero value is not a kind.
type Kind uint8

const (
	// Read finds Values: the elements of a list, or the one value of a register, none if absent.
	Read Kind = iota + 1
	// Append puts Value at the end of a list.
	Append
	// Write puts Value into a register.
	Write
)

// Step is a part of a transaction. Keys and values are compared as texts; a key is a list or a
// register, and is never both.
type Step struct {
	Kind   Kind
	Key    string
	Value  string
	Values []string
}

// Fate says what is known of a transaction.
type Fate uint8

// The fates. The zero value is not one.
const (
	// Committed: it happened, and its reads are what it found.
	Committed Fate = iota + 1
	// Aborted: it certainly did not happen.
	Aborted
	// Open: it may have happened at any time after its begin, or not. Its reads say nothing.
	Open
)

// Txn is a transaction. It took effect at a moment between From and To, both included, if it did.
type Txn struct {
	Fate     Fate
	From, To int64
	Steps    []Step
}

// Anomaly is why transactions can not have happened one after the other.
type Anomaly struct {
	// Name is that of the field: "G0", "G1a", "G1b", "G1c", "G-single", "G2", with "-realtime"
	// behind it if the order of time is part of it; or "phantom", "duplicate", "incompatible
	// order", "internal", "lost update".
	Name string
	// Key is where it was seen; empty for a cycle over several.
	Key string
	// Text explains what is wrong, where it is no cycle.
	Text string
	// Txns are the positions of the transactions that prove it; for a cycle in its order.
	Txns []int
	// Edges, for a cycle, say how each of Txns comes before the next, and the last before the
	// first.
	Edges []Edge
}

// Edge is why one transaction comes before another.
type Edge struct {
	Kind EdgeKind
	// Key is what both touch, Value what the second wrote (ww, rw) or read (wr).
	Key, Value string
}

// EdgeKind is the kind of a dependency.
type EdgeKind uint8

// The kinds of dependencies.
const (
	WW EdgeKind = iota
	WR
	RW
	RT
)

func (k EdgeKind) String() string { return [...]string{"ww", "wr", "rw", "rt"}[k] }

// maxAnomalies bounds how many of each name are reported.
const maxAnomalies = 5

// Check judges transactions. Anomalies are the most telling first; none means that there is an
// order, see above for how sure that is. The same transactions give the same anomalies.
func Check(txns []Txn) []Anomaly {
	a := newAnalysis(txns)
	a.index()
	a.inner()
	a.lists()
	a.registers()
	if len(a.found) == 0 {
		a.cycles()
	}
	return a.found
}
