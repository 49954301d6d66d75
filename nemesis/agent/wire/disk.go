package wire

import (
	"context"
	"time"
)

// GateSocket is the abstract socket, in the network namespace that a node shares with its agent,
// on which a node that is about to start waits for its disk.
const GateSocket = "@raftcheck-gate"

// GateFile is where the gate is, below the node's data directory, until the disk hides it.
const GateFile = ".raftcheck/gate"

// DiskArgs name directories.
type DiskArgs struct {
	// Backing holds the node's files, as the agent sees it.
	Backing string `json:"backing,omitempty"`
	// Wipe empties it first.
	Wipe bool `json:"wipe,omitempty"`
	// Target is the data directory, as the node sees it.
	Target string `json:"target,omitempty"`
}

// DiskIlls are what a disk suffers from, all at once. The zero value heals.
type DiskIlls struct {
	// Read, Write and Sync answer EIO; Full answers ENOSPC to whatever needs room.
	Read  bool `json:"read,omitempty"`
	Write bool `json:"write,omitempty"`
	Sync  bool `json:"sync,omitempty"`
	Full  bool `json:"full,omitempty"`
	// SyncDelay comes on top of each fsync.
	SyncDelay time.Duration `json:"sync_delay_ns,omitempty"`
}

// DiskResult is how a disk stands. Its counts only grow.
type DiskResult struct {
	Ills    DiskIlls `json:"ills"`
	Writes  uint64   `json:"writes"`
	Syncs   uint64   `json:"syncs"`
	Errors  uint64   `json:"errors"`
	Delayed uint64   `json:"delayed"`
}

// CrashArgs say how the power fails.
type CrashArgs struct {
	// Patience is how long the agent waits for something that is not synced, so that there is
	// something to lose.
	Patience time.Duration `json:"patience_ns"`
	// Torn waits for a write instead, of which only a part reaches the disk, drawn by Seed.
	Torn bool   `json:"torn,omitempty"`
	Seed uint64 `json:"seed,omitempty"`
}

// CrashResult says what a power failure took. The node's processes are gone.
type CrashResult struct {
	// Bytes were written to Files and not synced; Entries are changes of directories. All are
	// undone. Torn is how much of a torn write is left.
	Bytes   int64 `json:"bytes"`
	Files   int   `json:"files"`
	Entries int   `json:"entries"`
	Torn    int   `json:"torn,omitempty"`
	// Killed are the processes that there were.
	Killed int `json:"killed"`
	// Took is the time from the cut of the power until the disk was as it is.
	Took time.Duration `json:"took_ns"`
}

// DamageArgs name a kind of damage, "flip" or "truncate", and the seed that draws the place.
type DamageArgs struct {
	Kind string `json:"kind"`
	Seed uint64 `json:"seed"`
}

// DamageResult says what was damaged.
type DamageResult struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Size   int64  `json:"size_bytes"`
}

// DiskOpen makes a disk of the backing directory, and puts the gate there.
func (c *Client) DiskOpen(ctx context.Context, args DiskArgs) error {
	return c.Call(ctx, OpDiskOpen, args, nil)
}

// DiskMount waits for the node at the gate, mounts its disk where it sees it, and lets it go on.
func (c *Client) DiskMount(ctx context.Context, args DiskArgs) error {
	return c.Call(ctx, OpDiskMount, args, nil)
}

// DiskSet replaces what the disk suffers from.
func (c *Client) DiskSet(ctx context.Context, ills DiskIlls) (res DiskResult, err error) {
	err = c.Call(ctx, OpDiskSet, ills, &res)
	return res, err
}

// Disk says how the disk stands.
func (c *Client) Disk(ctx context.Context) (res DiskResult, err error) {
	err = c.Call(ctx, OpDisk, nil, &res)
	return res, err
}

// DiskCrash kills the node and undoes what it had not synced.
func (c *Client) DiskCrash(ctx context.Context, args CrashArgs) (res CrashResult, err error) {
	err = c.Call(ctx, OpDiskCrash, args, &res)
	return res, err
}

// DiskDamage copies the files of a node that is gone, and damages one.
func (c *Client) DiskDamage(ctx context.Context, args DamageArgs) (res DamageResult, err error) {
	err = c.Call(ctx, OpDiskDamage, args, &res)
	return res, err
}

// DiskRestore puts the copy back.
func (c *Client) DiskRestore(ctx context.Context) (res DiskResult, err error) {
	err = c.Call(ctx, OpDiskRestore, nil, &res)
	return res, err
}
