package raft

import (
	"errors"
	"fmt"
	"math/rand/v2"
)

const millisecond Time = 1e6

// What a call can be refused with. Nothing was appended or queued when one of these is returned.
var (
	ErrNotLeader    = errors.New("not the leader")
	ErrTransferring = errors.New("leadership is being transferred")
	ErrOverloaded   = errors.New("too much is uncommitted")
	ErrReadAborted  = errors.New("read aborted: leadership changed or the leader did not answer")
	ErrConfigBusy   = errors.New("a membership change is in progress, or none is allowed yet")
	ErrBadConfig    = errors.New("bad membership")
	ErrNotVoter     = errors.New("the target is not another voter")
)

// Options are the constants of a node. Zero means the default, except for ID and Rand.
type Options struct {
	ID   ID
	Rand *rand.Rand // for election timeouts and read contexts; seeded differently at each start

	Heartbeat       Time // leader's heartbeat interval; 50 ms
	ElectionTimeout Time // the shortest election timeout, the longest is twice that; 300 ms

	MaxInflightMsgs     int // Appends on their way to one follower; 64
	MaxInflightBytes    int // and their size; 4 MiB
	MaxBatchBytes       int // of the entries in one Append, but always at least one; 256 KiB
	MaxUncommittedBytes int // proposals beyond this are refused with ErrOverloaded; 64 MiB
	KeepTail            int // entries kept in memory behind a snapshot, for slow followers; 4096

	// LeaseReads lets a leader answer reads without asking, as long as no other can have been
	// elected (thesis, §6.4.1). That rests on clocks: those of any two members, over an election
	// timeout, must run at rates within MaxDriftPPM parts per million of true time (500 if zero).
	// All members must agree on LeaseReads and ElectionTimeout. Without it no promise of this
	// package depends on a clock.
	LeaseReads  bool
	MaxDriftPPM int

	NoPreVote     bool // campaign without asking first (thesis §9.6)
	NoCheckQuorum bool // lead on without hearing from a quorum (thesis §6.2)
}

// Restored is what a node has on disk when it starts. A first start has only
// Snapshot.Config, the first membership, equal on all its members (with Index 0); a node that
// will be added later by a leader starts with nothing at all.
type Restored struct {
	HardState HardState
	Snapshot  SnapshotMeta // the newest durable snapshot
	Entries   []Entry      // contiguous; may begin before the snapshot's end
	Applied   Index        // the state machine's; the snapshot's Index if zero
}

// defaults fills in what was left zero.
func (o *Options) defaults() {
	fill := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = 50 * millisecond
	}
	if o.ElectionTimeout == 0 {
		o.ElectionTimeout = 300 * millisecond
	}
	fill(&o.MaxInflightMsgs, 64)
	fill(&o.MaxInflightBytes, 4<<20)
	fill(&o.MaxBatchBytes, 256<<10)
	fill(&o.MaxUncommittedBytes, 64<<20)
	fill(&o.KeepTail, 4096)
	fill(&o.MaxDriftPPM, 500)
}

func (o *Options) validate() error {
	switch {
	case o.ID == 0:
		return errors.New("options: the node has no ID")
	case o.Rand == nil:
		return errors.New("options: no source of randomness")
	case o.ElectionTimeout < 2*o.Heartbeat:
		return fmt.Errorf("options: election timeout %d ns is less than two heartbeats of %d ns",
			o.ElectionTimeout, o.Heartbeat)
	}
	return nil
}
