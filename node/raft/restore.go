package raft

import "fmt"

// New restores a node from disk. It returns an error if what was restored contradicts itself.
func New(now Time, opts Options, from Restored) (*Node, error) {
	opts.defaults()
	if err := opts.validate(); err != nil {
		return nil, err
	}
	if err := from.validate(); err != nil {
		return nil, err
	}
	n := &Node{id: opts.ID, opts: opts, rng: opts.Rand, now: now, hard: from.HardState}
	if from.Snapshot.Term > n.hard.Term {
		// The snapshot was installed before the new term was saved. Nothing was said in that term.
		n.setHard(HardState{Term: from.Snapshot.Term})
	}
	n.snap = from.Snapshot
	n.snap.Config = from.Snapshot.Config.normal()
	n.restoreLog(from.Entries)
	if err := n.restoreMembers(); err != nil {
		return nil, err
	}
	n.commit = max(n.snap.Index, from.Applied)
	if n.commit > n.log.last() {
		return nil, fmt.Errorf("restore: applied %d, but the log ends at %d", n.commit, n.log.last())
	}
	n.applied, n.handed, n.out.commit = n.commit, n.commit, n.commit
	n.disk.durable = n.log.last()
	n.reads.context = n.rng.Uint64() // never one of a former life's
	n.resetElectionTimer()
	n.heardAt = now
	if !opts.LeaseReads {
		// A former life may have promised a leader patience; only leases need that to be kept.
		n.heardAt -= opts.ElectionTimeout
	}
	n.event(Event{Kind: EventStart, Index: n.log.last(), Term: n.log.lastTerm()})
	return n, nil
}

// restoreLog takes over the entries, unless they end before the snapshot or contradict it: then
// the snapshot was installed over them, and the crash came before they were discarded. That they
// are is asked for again, and also without entries, so that the next one finds its place.
func (n *Node) restoreLog(entries []Entry) {
	snap := n.snap
	n.log.reset(snap)
	if len(entries) == 0 {
		if snap.Index > 0 {
			n.out.reset = &snap
		}
		return
	}
	l := entryLog{}
	switch first := &entries[0]; {
	case first.Index == n.snap.Index+1:
		l.base, l.baseTerm = n.snap.Index, n.snap.Term
	case first.Index > 1:
		// Its predecessor's term is not known, so the oldest entry itself serves as the base.
		l.base, l.baseTerm = first.Index, first.Term
		entries = entries[1:]
	}
	l.append(entries...)
	l.unsaved = l.last() + 1
	if l.matches(n.snap.Index, n.snap.Term) {
		n.log = l
		return
	}
	n.out.reset = &snap
}

// restoreMembers rebuilds the history of configurations.
func (n *Node) restoreMembers() error {
	n.members.reset(n.snap.Index, n.snap.Config)
	for i := range n.log.entries {
		e := &n.log.entries[i]
		if e.Kind != EntryConfig || e.Index <= n.snap.Index {
			continue
		}
		c, err := DecodeConfig(e.Data)
		if err != nil {
			return fmt.Errorf("restore: entry %d: %w", e.Index, err)
		}
		n.members.add(e.Index, c)
	}
	return nil
}

// validate reports what cannot have been written by a node.
func (r *Restored) validate() error {
	for i := range r.Entries {
		e := &r.Entries[i]
		if e.Term > r.HardState.Term {
			return fmt.Errorf("restore: entry %d has term %d, above the saved term %d",
				e.Index, e.Term, r.HardState.Term)
		}
		if i == 0 {
			if e.Index == 0 || e.Index > r.Snapshot.Index+1 {
				return fmt.Errorf("restore: entries begin at %d, the snapshot ends at %d",
					e.Index, r.Snapshot.Index)
			}
			continue
		}
		if p := &r.Entries[i-1]; e.Index != p.Index+1 || e.Term < p.Term {
			return fmt.Errorf("restore: entry (%d, term %d) follows (%d, term %d)",
				e.Index, e.Term, p.Index, p.Term)
		}
	}
	return nil
}
