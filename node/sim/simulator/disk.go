package simulator

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// disk is what survives a crash of one node, and what is on its way there. Writes are performed
// in order; those that wait while one is being synced are synced together with the next.
type disk struct {
	hard    raft.HardState
	base    raft.Index // the log holds base+1 …
	entries []raft.Entry
	snap    raft.SnapshotMeta
	state   machine // the snapshot's contents

	queue   []pendingWrite
	syncing int // how many of queue are being synced now

	// cutOff is what was being written when the node crashed, if it has a real log.
	cutOff []pendingWrite
}

type pendingWrite struct {
	ticket   raft.Ticket
	hard     *raft.HardState
	reset    *raft.SnapshotMeta
	truncate raft.Index
	entries  []raft.Entry
	mark     *raft.SnapshotMeta // our own snapshot is durable: the log may begin behind it
}

func (d *disk) last() raft.Index { return d.base + raft.Index(len(d.entries)) }

// term is the term of the durable entry at i, from the log or as the snapshot's end.
func (d *disk) term(i raft.Index) (raft.Term, bool) {
	switch {
	case i > d.base && i <= d.last():
		return d.entries[i-d.base-1].Term, true
	case i == d.snap.Index:
		return d.snap.Term, true
	}
	return 0, false
}

// holds reports whether the entry (i, t) is safe here: in the log, or covered by the snapshot.
func (d *disk) holds(i raft.Index, t raft.Term) bool {
	if i <= d.snap.Index {
		return true
	}
	have, ok := d.term(i)
	return ok && have == t
}

// perform makes w durable.
func (d *disk) perform(w *pendingWrite) {
	if w.hard != nil {
		d.hard = *w.hard
	}
	if w.reset != nil {
		d.base, d.entries = w.reset.Index, nil
	}
	if w.truncate != 0 {
		d.entries = d.entries[:w.truncate-d.base-1]
	}
	d.entries = append(d.entries, w.entries...)
}

// finish completes the writes that were being synced and returns the last ticket.
func (d *disk) finish() raft.Ticket {
	var t raft.Ticket
	for i := range d.syncing {
		d.perform(&d.queue[i])
		t = max(t, d.queue[i].ticket)
	}
	d.queue = slices.Delete(d.queue, 0, d.syncing)
	d.syncing = 0
	return t
}

// crash loses what was not synced; or all but a part from its beginning, the last write of which
// may be torn.
func (d *disk) crash(rng *rand.Rand, tear bool) {
	if tear && len(d.queue) > 0 {
		whole := rng.IntN(len(d.queue) + 1)
		for i := range whole {
			d.perform(&d.queue[i])
		}
		if whole < len(d.queue) {
			w := d.queue[whole]
			w.entries = w.entries[:rng.IntN(len(w.entries)+1)]
			if rng.IntN(2) == 0 {
				w.entries = nil
				if rng.IntN(2) == 0 {
					w.truncate, w.reset = 0, nil
				}
			}
			d.perform(&w)
		}
	}
	d.queue, d.syncing = d.queue[:0], 0
}

// recovered takes in what the real log said after a crash. It must be all that was durable, and
// perhaps the frame that was being written then, as a whole.
func (d *disk) recovered(found *wal.Recovered) error {
	if !d.agrees(found) {
		with := *d
		with.entries = slices.Clone(d.entries)
		for i := range d.cutOff {
			with.perform(&d.cutOff[i])
		}
		if !with.agrees(found) {
			return fmt.Errorf("the log holds %+v and ends at %d after mark %v, but %+v, and end %d, "+
				"was durable; with what was being written: %+v, and end %d", found.HardState,
				lastOf(found), found.Snapshot, d.hard, d.last(), with.hard, with.last())
		}
	}
	d.cutOff = nil
	d.hard, d.entries = found.HardState, slices.Clone(found.Entries)
	d.base = markOf(found)
	return nil
}

// agrees reports whether the real log is what this one is, but for a beginning that was dropped.
func (d *disk) agrees(found *wal.Recovered) bool {
	if d.hard != found.HardState || d.last() != lastOf(found) {
		return false
	}
	for i := range found.Entries {
		e := &found.Entries[i]
		if e.Index <= d.base {
			return false
		}
		mine := &d.entries[e.Index-d.base-1]
		if mine.Term != e.Term || mine.Kind != e.Kind || !bytes.Equal(mine.Data, e.Data) {
			return false
		}
	}
	return true
}

func markOf(found *wal.Recovered) raft.Index {
	if found.Snapshot == nil {
		return 0
	}
	return found.Snapshot.Index
}

func lastOf(found *wal.Recovered) raft.Index {
	return markOf(found) + raft.Index(len(found.Entries))
}

// saveSnapshot makes a snapshot durable. The log stays as it is: if the snapshot is another node's,
// it may contradict what stands there, and the core says what to do about that.
func (d *disk) saveSnapshot(meta raft.SnapshotMeta, state *machine) {
	if meta.Index > d.snap.Index {
		d.snap, d.state = meta, *state
	}
}

// compact drops the entries that our own snapshot covers, but for keep.
func (d *disk) compact(keep raft.Index) {
	if to := min(d.snap.Index, d.last()); to > d.base+keep && len(d.queue) == 0 {
		d.entries = slices.Clone(d.entries[to-keep-d.base:])
		d.base = to - keep
	}
}

// restored is what a process finds when it starts.
func (d *disk) restored(first raft.Config) raft.Restored {
	r := raft.Restored{HardState: d.hard, Snapshot: d.snap, Entries: slices.Clone(d.entries)}
	if d.snap.Index == 0 {
		r.Snapshot.Config = first
	}
	return r
}
