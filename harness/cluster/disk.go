package cluster

import (
	"context"
	"time"
)

// DiskIlls are what a disk suffers from, all at once. The zero value is a healthy one.
type DiskIlls struct {
	// Read, Write and Sync answer EIO; Full answers ENOSPC to whatever needs room.
	Read, Write, Sync, Full bool
	// SyncDelay comes on top of each fsync.
	SyncDelay time.Duration
}

// DiskCounts say what a disk did. They only grow.
type DiskCounts struct{ Writes, Syncs, Errors, Delayed uint64 }

// PowerFailure says how the power fails.
type PowerFailure struct {
	// Patience is how long it waits for something that is not synced.
	Patience time.Duration
	// Torn waits for a write, of which only a part, drawn by Seed, then reaches the disk.
	Torn bool
	Seed uint64
}

// PowerLost says what a power failure took.
type PowerLost struct {
	// Bytes were written to Files and not synced, Entries are changes of directories; all are
	// gone. Torn is how much is left of a torn write.
	Bytes   int64 `json:"bytes"`
	Files   int   `json:"files"`
	Entries int   `json:"entries"`
	Torn    int   `json:"torn,omitempty"`
	// Took is the time from the cut of the power until process and data were gone.
	Took time.Duration `json:"took_ns"`
}

// Damage is what was damaged: a byte, or the end, of a file.
type Damage struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"size_bytes"`
}

// DiskBreaker breaks the disk of a node. It takes a [Spec] with Disk.
type DiskBreaker interface {
	// BreakDisk replaces what the disk suffers from, and says what it did up to now. Until the
	// zero value heals it, the node may end by itself.
	BreakDisk(ctx context.Context, ills DiskIlls) (DiskCounts, error)
	// DiskCounts says what the disk did up to now.
	DiskCounts(ctx context.Context) (DiskCounts, error)
	// FailPower ends the node's process, and undoes whatever it had not synced.
	FailPower(ctx context.Context, how PowerFailure) (PowerLost, error)
	// DamageDisk copies the files of a node that is Gone, and damages one of them: kind is "flip",
	// for one bit, or "truncate". Until RestoreDisk, the node may end by itself.
	DamageDisk(ctx context.Context, kind string, seed uint64) (Damage, error)
	// RestoreDisk puts the copy back, if there is one. The node must be Gone. Whatever it wrote
	// since is lost: nobody may have heard of it.
	RestoreDisk(ctx context.Context) error
}
