package raft

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestLogAgreesWithTheDumbOne plays random appends, truncations and compactions on the log and
// on a plain list of all entries, and looks whether a slice that was handed out ever changes.
func TestLogAgreesWithTheDumbOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var l entryLog
		l.reset(SnapshotMeta{})
		all := []Entry{{}} // by index
		term, committed := Term(1), Index(0)
		type handed struct{ slice, copy []Entry }
		var out []handed
		for range 60 {
			switch rng.IntN(5) {
			case 0, 1:
				term += Term(rng.IntN(2))
				for range 1 + rng.IntN(4) {
					e := Entry{Index: l.last() + 1, Term: term, Data: make([]byte, rng.IntN(9))}
					l.append(e)
					all = append(all, e)
				}
			case 2:
				if l.last() > committed {
					i := committed + 1 + Index(rng.IntN(int(l.last()-committed)))
					l.truncate(i)
					all = all[:i:i]
					term++
				}
			case 3:
				s := l.unsavedEntries()
				l.unsaved, l.truncated = l.last()+1, 0
				committed = max(committed, l.last()-Index(rng.IntN(int(l.last()-committed)+1)))
				out = append(out, handed{s, slices.Clone(s)})
			case 4:
				l.compact(min(committed, l.base+Index(rng.IntN(5))))
			}
			compareLog(t, &l, all)
		}
		for _, h := range out {
			if !slices.EqualFunc(h.slice, h.copy, func(a, b Entry) bool {
				return a.Index == b.Index && a.Term == b.Term
			}) {
				t.Fatalf("entries that were handed out changed")
			}
		}
	}
}

func compareLog(t *testing.T, l *entryLog, all []Entry) {
	t.Helper()
	if l.last() != Index(len(all)-1) || l.lastTerm() != all[len(all)-1].Term {
		t.Fatalf("ends at (%d, term %d), want (%d, term %d)",
			l.last(), l.lastTerm(), len(all)-1, all[len(all)-1].Term)
	}
	bytes := 0
	for i := range all {
		got, ok := l.term(Index(i))
		if ok != (Index(i) >= l.base) || ok && got != all[i].Term {
			t.Fatalf("term of %d is %d, %t; want %d", i, got, ok, all[i].Term)
		}
		if Index(i) > l.base {
			bytes += len(all[i].Data)
		}
	}
	if bytes != l.bytes {
		t.Fatalf("counts %d bytes, want %d", l.bytes, bytes)
	}
}

// TestSliceObeysItsLimit: at least one entry, and not more than the limit.
func TestSliceObeysItsLimit(t *testing.T) {
	var l entryLog
	l.reset(SnapshotMeta{})
	for i := range 5 {
		l.append(Entry{Index: Index(i + 1), Data: make([]byte, 84)}) // counts as 100
	}
	for limit, want := range map[int]int{0: 1, 1: 1, 199: 1, 200: 2, 350: 3, 1 << 20: 4} {
		if got := len(l.slice(2, 5, limit)); got != want {
			t.Errorf("limit %d: %d entries, want %d", limit, got, want)
		}
	}
}

// TestHintSkipsTerms: from the end of any log, and with one exchange for each term at most, the
// hints lead to the place where two logs agree.
func TestHintSkipsTerms(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	grow := func(l *entryLog, n int, from Term) {
		for range n {
			from += Term(rng.IntN(2))
			l.append(Entry{Index: l.last() + 1, Term: from})
		}
	}
	for range 2000 {
		var a, b entryLog
		a.reset(SnapshotMeta{})
		grow(&a, rng.IntN(6), 1)
		b.reset(SnapshotMeta{})
		b.append(a.entries...)
		common := a.last()
		start := a.lastTerm()
		grow(&a, 1+rng.IntN(20), start+1)
		// b's own entries have terms that a has not: those in which another one led.
		for range rng.IntN(20) {
			b.append(Entry{Index: b.last() + 1, Term: max(b.lastTerm(), start+100) + Term(rng.IntN(2))})
		}
		prev := a.last()
		for probes := 0; ; probes++ {
			if at, _ := a.term(prev); b.matches(prev, at) {
				break
			}
			if probes > 25 {
				t.Fatalf("no agreement after %d probes, at %d", probes, prev)
			}
			at, _ := a.term(prev)
			hint := b.hint(prev, at)
			hintTerm, _ := b.term(hint)
			prev = min(prev-1, a.hint(hint, hintTerm))
		}
		if prev > common {
			t.Fatalf("agree at %d, beyond the common %d", prev, common)
		}
	}
}
