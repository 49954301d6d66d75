package raft

import "fmt"

// entryLog is the tail of the log that is kept in memory.
//
//	 base        first                unsaved          last
//	  │            │                     │               │
//	──┴────────────┴─────────────────────┴───────────────┘
//	  snapshot      handed out to be saved  not yet handed out
//
// Entries are immutable: a truncation cuts the capacity too, so that the next append copies
// instead of overwriting what a driver, a message or the disk may still be reading.
type entryLog struct {
	base     Index // the entry before entries[0]: compacted away, or 0
	baseTerm Term
	entries  []Entry
	bytes    int // payload in entries

	unsaved   Index // the first entry not yet handed out to be saved
	truncated Index // the lowest handed-out entry cut off since the last hand-out; 0 for none
}

// entrySize is what an entry counts as in all limits: its payload, and a little for itself.
func entrySize(e *Entry) int { return len(e.Data) + 16 }

func (l *entryLog) last() Index { return l.base + Index(len(l.entries)) }

func (l *entryLog) lastTerm() Term {
	if len(l.entries) == 0 {
		return l.baseTerm
	}
	return l.entries[len(l.entries)-1].Term
}

// term is the term of the entry at i; false if i is compacted away or not there yet.
func (l *entryLog) term(i Index) (Term, bool) {
	switch {
	case i == l.base:
		return l.baseTerm, true
	case i < l.base || i > l.last():
		return 0, false
	}
	return l.entries[i-l.base-1].Term, true
}

// matches reports whether the entry at i is there with term t. By the Log Matching Property the
// logs then agree up to i (paper, §5.3).
func (l *entryLog) matches(i Index, t Term) bool {
	have, ok := l.term(i)
	return ok && have == t
}

// upToDate reports whether a log ending at (i, t) is at least as up to date as this one: the
// later last term wins, then the longer log (paper, §5.4.1).
func (l *entryLog) upToDate(i Index, t Term) bool {
	return t > l.lastTerm() || t == l.lastTerm() && i >= l.last()
}

// hint is where a log that ends, or differs, at (i, t) could at best agree with this one: our
// largest index up to i whose term is not above t. Each exchange of hints skips a whole term.
func (l *entryLog) hint(i Index, t Term) Index {
	i = min(i, l.last())
	for i > l.base {
		if have, _ := l.term(i); have <= t {
			break
		}
		i--
	}
	return i
}

// slice returns the entries lo..hi, but stops before maxBytes is exceeded, after at least one.
func (l *entryLog) slice(lo, hi Index, maxBytes int) []Entry {
	from := int(lo - l.base - 1)
	to, size := from, 0
	for to < int(hi-l.base) {
		size += entrySize(&l.entries[to])
		if size > maxBytes && to > from {
			break
		}
		to++
	}
	return l.entries[from:to:to]
}

// append adds entries, which must continue the log.
func (l *entryLog) append(entries ...Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Index != l.last()+1 || e.Term < l.lastTerm() {
			panic(fmt.Sprintf("raft: entry (%d, term %d) does not follow (%d, term %d)",
				e.Index, e.Term, l.last(), l.lastTerm()))
		}
		l.entries = append(l.entries, *e)
		l.bytes += len(e.Data)
	}
}

// truncate discards the entries from i on.
func (l *entryLog) truncate(i Index) {
	keep := int(i - l.base - 1)
	for k := keep; k < len(l.entries); k++ {
		l.bytes -= len(l.entries[k].Data)
	}
	l.entries = l.entries[:keep:keep]
	if i < l.unsaved {
		l.unsaved = i
		if l.truncated == 0 || i < l.truncated {
			l.truncated = i
		}
	}
}

// compact forgets the entries up to i. What is not yet handed out to be saved stays.
func (l *entryLog) compact(i Index) {
	i = min(i, l.unsaved-1)
	if i <= l.base {
		return
	}
	t, _ := l.term(i)
	kept := l.entries[i-l.base:]
	l.entries = append(make([]Entry, 0, len(kept)+len(kept)/4+16), kept...)
	l.base, l.baseTerm = i, t
	l.bytes = 0
	for k := range l.entries {
		l.bytes += len(l.entries[k].Data)
	}
}

// reset replaces the whole log by what a snapshot stands for.
func (l *entryLog) reset(meta SnapshotMeta) {
	*l = entryLog{base: meta.Index, baseTerm: meta.Term, unsaved: meta.Index + 1}
}

// unsavedEntries are the entries to hand out next.
func (l *entryLog) unsavedEntries() []Entry {
	from := int(l.unsaved - l.base - 1)
	return l.entries[from:len(l.entries):len(l.entries)]
}
