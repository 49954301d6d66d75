package txn

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// possible tries every order of the transactions, with each choice of the open ones.
func possible(txns []Txn) bool {
	return place(txns, make([]bool, len(txns)), map[string][]string{})
}

// place puts one more transaction behind those that are placed.
func place(txns []Txn, placed []bool, state map[string][]string) bool {
	all := true
	for i := range txns {
		all = all && (placed[i] || txns[i].Fate != Committed)
	}
	if all {
		return true
	}
	for i := range txns {
		if placed[i] || txns[i].Fate == Aborted || !mayBeNext(txns, placed, i) {
			continue
		}
		after, ok := replay(&txns[i], state)
		if !ok {
			continue
		}
		placed[i] = true
		if place(txns, placed, after) {
			return true
		}
		placed[i] = false
	}
	return false
}

// mayBeNext says whether all that ended before i began is placed.
func mayBeNext(txns []Txn, placed []bool, i int) bool {
	for j := range txns {
		if txns[j].Fate == Committed && !placed[j] && txns[j].To < txns[i].From {
			return false
		}
	}
	return true
}

func replay(t *Txn, before map[string][]string) (map[string][]string, bool) {
	state := map[string][]string{}
	maps.Copy(state, before)
	for _, s := range t.Steps {
		switch s.Kind {
		case Append:
			state[s.Key] = append(slices.Clone(state[s.Key]), s.Value)
		case Write:
			state[s.Key] = []string{s.Value}
		case Read:
			if t.Fate == Committed && !slices.Equal(state[s.Key], s.Values) {
				return nil, false
			}
		}
	}
	return state, true
}

// draw makes transactions on two lists and a register, as a store would answer that carries them
// out one after the other, and then spoils some of it.
func draw(rng *rand.Rand, blind bool) []Txn {
	n := 2 + rng.IntN(4)
	txns := make([]Txn, n)
	state := map[string][]string{}
	next := 0
	value := func() string { next++; return strconv.Itoa(next) }
	for i := range txns {
		t := &txns[i]
		t.From = int64(3*i) - rng.Int64N(6)
		t.To = int64(3*i) + rng.Int64N(6)
		t.Fate = Committed
		switch rng.IntN(8) {
		case 0:
			t.Fate = Aborted
		case 1:
			t.Fate = Open
		}
		for range 1 + rng.IntN(3) {
			key := string("xyr"[rng.IntN(3)])
			read := Step{Kind: Read, Key: key}
			switch {
			case key == "r" && t.Fate == Open && !blind:
			case rng.IntN(2) == 0:
				t.Steps = append(t.Steps, read)
			case key != "r":
				t.Steps = append(t.Steps, Step{Kind: Append, Key: key, Value: value()})
			case blind:
				t.Steps = append(t.Steps, Step{Kind: Write, Key: key, Value: value()})
			default:
				t.Steps = append(t.Steps, read, Step{Kind: Write, Key: key, Value: value()})
			}
		}
		happens := t.Fate == Committed || t.Fate == Open && rng.IntN(2) == 0
		for j := range t.Steps {
			s := &t.Steps[j]
			switch {
			case s.Kind == Read:
				s.Values = slices.Clone(state[s.Key])
			case happens && s.Kind == Append:
				state[s.Key] = append(slices.Clone(state[s.Key]), s.Value)
			case happens:
				state[s.Key] = []string{s.Value}
			}
		}
	}
	spoil(rng, txns)
	return txns
}

// spoil changes what some reads found.
func spoil(rng *rand.Rand, txns []Txn) {
	for range rng.IntN(3) {
		t := &txns[rng.IntN(len(txns))]
		if len(t.Steps) == 0 {
			continue
		}
		s := &t.Steps[rng.IntN(len(t.Steps))]
		o := &txns[rng.IntN(len(txns))]
		switch {
		case s.Kind != Read:
			t.From, o.From, t.To, o.To = o.From, t.From, o.To, t.To
		case s.Key == "r":
			s.Values = nil
			for _, w := range o.Steps {
				if w.Key == "r" && w.Kind == Write {
					s.Values = []string{w.Value}
				}
			}
		case len(s.Values) > 0 && rng.IntN(2) == 0:
			s.Values = s.Values[:rng.IntN(len(s.Values))]
		default:
			for _, w := range o.Steps {
				if w.Key == s.Key && w.Kind == Append && !slices.Contains(s.Values, w.Value) {
					s.Values = append(s.Values, w.Value)
				}
			}
		}
	}
}

func TestWhatIsFoundAndWhatIsNotAgreesWithTryingEveryOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	n, bad, names := 20_000, 0, map[string]int{}
	if testing.Short() {
		n = 5_000
	}
	for i := range n {
		txns := draw(rng, false)
		found, ok := Check(txns), possible(txns)
		if ok != (len(found) == 0) {
			t.Fatalf("history %d: an order exists: %v, but found %v\n%s", i, ok, found, list(txns))
		}
		if !ok {
			bad++
			names[found[0].Name]++
		}
	}
	if bad < n/10 || bad > n*9/10 {
		t.Errorf("%d of %d histories are wrong: that is no test", bad, n)
	}
	t.Logf("%d histories, %d wrong: %v", n, bad, names)
}

func TestNothingIsFoundWhereThereIsAnOrderEvenWithBlindWrites(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	n, bad, missed := 20_000, 0, 0
	if testing.Short() {
		n = 5_000
	}
	for i := range n {
		txns := draw(rng, true)
		found, ok := Check(txns), possible(txns)
		if ok && len(found) > 0 {
			t.Fatalf("history %d has an order, but found %v\n%s", i, found, list(txns))
		}
		if !ok {
			bad++
			if len(found) == 0 {
				missed++
			}
		}
	}
	if missed > bad/2 {
		t.Errorf("%d of %d wrong histories are missed", missed, bad)
	}
	t.Logf("%d histories, %d wrong, %d of them missed", n, bad, missed)
}

func list(txns []Txn) (out string) {
	for i, t := range txns {
		fate := [...]string{"?", "committed", "aborted", "open"}[t.Fate]
		out += fmt.Sprintf("%d %s [%d,%d]", i, fate, t.From, t.To)
		for _, s := range t.Steps {
			switch s.Kind {
			case Read:
				out += fmt.Sprintf("  %s=%v", s.Key, s.Values)
			case Append:
				out += fmt.Sprintf("  %s+%s", s.Key, s.Value)
			case Write:
				out += fmt.Sprintf("  %s:=%s", s.Key, s.Value)
			}
		}
		out += "\n"
	}
	return out
}
