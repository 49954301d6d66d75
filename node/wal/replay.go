package wal

import (
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/node/raft"
)

// Recovered is what the log said when it was opened.
type Recovered struct {
	HardState raft.HardState
	Snapshot  *raft.SnapshotMeta // nil if there never was one
	// Entries begin right after the snapshot. Their data belong to the caller.
	Entries []raft.Entry
	// TornBytes counts what was cut off the end: a write that a crash had interrupted, of which
	// nothing was acknowledged. Zero for a clean end.
	TornBytes int64
	// Clean says that the node had stopped in good order.
	Clean bool
}

// image is the log as the records read so far describe it.
type image struct {
	hs       raft.HardState
	snapshot *raft.SnapshotMeta
	entries  []raft.Entry
	clean    bool
}

// snapshotIndex is where the snapshot ends; zero without one.
func (m *image) snapshotIndex() raft.Index {
	if m.snapshot == nil {
		return 0
	}
	return m.snapshot.Index
}

func (m *image) apply(rec Record) error {
	m.clean = rec.Close
	switch {
	case rec.HardState != nil:
		if rec.HardState.Term < m.hs.Term {
			return fmt.Errorf("term goes back from %d to %d", m.hs.Term, rec.HardState.Term)
		}
		m.hs = *rec.HardState
	case rec.Snapshot != nil:
		return m.applySnapshot(rec.Snapshot)
	case rec.Reset != nil:
		m.entries = nil
		return m.applySnapshot(rec.Reset)
	case rec.Truncate > 0:
		if rec.Truncate <= m.snapshotIndex() {
			return fmt.Errorf("truncation to %d reaches into the snapshot at %d",
				rec.Truncate, m.snapshotIndex())
		}
		if len(m.entries) > 0 {
			keep := max(0, int64(rec.Truncate)-int64(m.entries[0].Index))
			m.entries = m.entries[:min(int64(len(m.entries)), keep)]
		}
	case len(rec.Entries) > 0:
		return m.applyEntries(rec.Entries)
	}
	return nil
}

func (m *image) applySnapshot(s *raft.SnapshotMeta) error {
	if s.Index < m.snapshotIndex() {
		return fmt.Errorf("snapshot goes back from %d to %d", m.snapshotIndex(), s.Index)
	}
	m.snapshot = s
	i := slices.IndexFunc(m.entries, func(e raft.Entry) bool { return e.Index == s.Index })
	switch {
	case i >= 0 && m.entries[i].Term == s.Term:
		m.entries = slices.Clone(m.entries[i+1:])
	case len(m.entries) > 0 && m.entries[0].Index > s.Index:
		// Those entries are gone already, with the segments before this one.
	default:
		m.entries = nil
	}
	return nil
}

func (m *image) applyEntries(entries []raft.Entry) error {
	first := entries[0].Index
	if n := len(m.entries); n > 0 && m.entries[n-1].Index+1 != first {
		return fmt.Errorf("entry %d follows entry %d", first, m.entries[n-1].Index)
	}
	if first <= m.snapshotIndex() {
		return fmt.Errorf("entry %d lies inside the snapshot at %d", first, m.snapshotIndex())
	}
	// With nothing before it any start is accepted here: the segments before may have been dropped
	// for a snapshot of which the mark comes later. finish looks again.
	m.entries = append(m.entries, entries...)
	return nil
}

// finish checks that the log begins where the snapshot ends.
func (m *image) finish() error {
	if len(m.entries) > 0 && m.entries[0].Index != m.snapshotIndex()+1 {
		return fmt.Errorf("the log begins with entry %d, but the snapshot ends at %d",
			m.entries[0].Index, m.snapshotIndex())
	}
	return nil
}
