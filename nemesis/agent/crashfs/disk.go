//go:build linux

// Package crashfs is a file system that forgets: it passes everything through to a backing
// directory, and remembers how to undo what was not synced. So a power failure can be had without
// a machine that fails. It can also answer with errors, be full, and be slow to sync.
//
// What a crash leaves is what POSIX and the file systems of Linux promise, and no more: synced
// contents of files, under the name that a synced file was made with; renames and removals whose
// directory was synced. Everything else is gone. A sync does not reach the real disk, since it is
// not that one which fails.
package crashfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Hidden is the directory below the backing one that the node does not see. It is ours.
const Hidden = ".raftcheck"

// Ills are what a disk suffers from. The zero value is a healthy one.
type Ills struct {
	// Read, Write and Sync answer EIO.
	Read, Write, Sync bool
	// Full answers ENOSPC to whatever needs room.
	Full bool
	// SyncDelay comes on top of each sync.
	SyncDelay time.Duration
}

// Counts tell what a disk did. They only grow.
type Counts struct {
	Writes, Syncs, Errors, Delayed uint64
}

// Lost is what a crash undid.
type Lost struct {
	Bytes          int64 // written to files, and not synced
	Files, Entries int   // with such bytes, and changes of directories
	Torn           int   // bytes that are left of a torn write; 0 if none was torn
}

// Disk is a backing directory, and what of it is not synced. It outlives mounts. Its methods may
// be called concurrently.
type Disk struct {
	dir  string
	ills atomic.Pointer[Ills]

	writes, syncs, errors, delayed atomic.Uint64

	mu   sync.Mutex // guards what follows, and orders all changes of the backing directory
	undo undo
	// dead is closed when a power failure is over; nil while there is power. Calls wait for it,
	// so that a node never hears of the failure: it is killed meanwhile.
	dead  chan struct{}
	tear  func(size int) int // how much to keep of the next write; nil while none is to be torn
	torn  int
	tore  chan struct{} // closed when a write was torn
	moved chan struct{} // closed when something is not synced, for those who wait
}

// Open makes a disk of a directory. What a former disk left there of its own is removed.
func Open(dir string) (*Disk, error) {
	side := filepath.Join(dir, Hidden, "undo")
	if err := os.RemoveAll(side); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(side, 0o755); err != nil {
		return nil, err
	}
	d := At(dir)
	d.undo.side = side
	return d, nil
}

// At is a disk of which nothing may be changed: to try whether it can be mounted.
func At(dir string) *Disk {
	d := &Disk{dir: dir, undo: undo{files: map[uint64]*dirty{}}}
	d.ills.Store(&Ills{})
	return d
}

// Set replaces the ills.
func (d *Disk) Set(i Ills) { d.ills.Store(&i) }

// Ills are those of now.
func (d *Disk) Ills() Ills { return *d.ills.Load() }

// Counts tell what happened up to now.
func (d *Disk) Counts() Counts {
	return Counts{Writes: d.writes.Load(), Syncs: d.syncs.Load(), Errors: d.errors.Load(),
		Delayed: d.delayed.Load()}
}

// Fail cuts the power. With patience it waits so long for something that is not synced, or, if tear
// is given, for a write, of which tear says how much stays. From then on nothing changes any more
// and every call waits. The node must be killed next, then [Disk.Recover] be called.
func (d *Disk) Fail(ctx context.Context, patience time.Duration, tear func(size int) int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d.mu.Lock()
	if d.dead != nil {
		d.mu.Unlock()
		return fmt.Errorf("the power is off already")
	}
	wait := make(chan struct{})
	d.torn = 0
	switch {
	case tear != nil:
		d.tear, d.tore = tear, wait
	case len(d.undo.files)+len(d.undo.entries) > 0:
		close(wait)
	default:
		d.moved = wait
	}
	if tear == nil && d.moved == nil {
		d.dead = make(chan struct{})
		d.mu.Unlock()
		return nil
	}
	d.mu.Unlock()
	select {
	case <-wait:
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tear, d.tore, d.moved = nil, nil, nil
	if d.dead == nil {
		d.dead = make(chan struct{})
	}
	return nil
}

// Release answers all calls that wait with EIO. Whoever made them must have been killed: a process
// that a signal has ended can not hear the answer.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead != nil {
		close(d.dead)
	}
}

// Recover undoes what was not synced, and turns the power on again. Nobody may use the disk.
func (d *Disk) Recover() (Lost, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	lost, err := d.undo.rollBack()
	lost.Torn, d.torn = d.torn, 0
	d.dead = nil
	return lost, err
}

// lock waits until there is power. It answers EIO if that was cut while it waited.
func (d *Disk) lock() syscall.Errno {
	d.mu.Lock()
	return d.powered()
}

// powered lets go of the mutex if there is no power.
func (d *Disk) powered() syscall.Errno {
	if d.dead == nil {
		return 0
	}
	dead := d.dead
	d.mu.Unlock()
	<-dead
	return syscall.EIO
}

// unsynced tells whoever waits for something that is not synced, and cuts the power.
func (d *Disk) unsynced() {
	if d.moved != nil {
		close(d.moved)
		d.moved, d.dead = nil, make(chan struct{})
	}
}

// fault counts an error that is one of the ills.
func (d *Disk) fault(e syscall.Errno) syscall.Errno {
	d.errors.Add(1)
	return e
}

// write writes, and keeps what was there.
func (d *Disk) write(ino uint64, f *os.File, data []byte, offset int64) (int, syscall.Errno) {
	switch ills := d.Ills(); {
	case ills.Write:
		return 0, d.fault(syscall.EIO)
	case ills.Full:
		return 0, d.fault(syscall.ENOSPC)
	}
	if e := d.lock(); e != 0 {
		return 0, e
	}
	d.writes.Add(1)
	file, err := d.undo.touch(ino, f)
	if err == nil {
		err = file.keep(offset, int64(len(data)))
	}
	if err == nil && d.tear != nil && len(data) > 1 {
		return 0, d.tearWrite(ino, f, data, offset)
	}
	n := 0
	if err == nil {
		n, err = f.WriteAt(data, offset)
		file.bytes += int64(n)
		d.unsynced()
	}
	d.mu.Unlock()
	return n, errno(err)
}

// tearWrite lets a part of the write reach the disk, cuts the power, and waits.
func (d *Disk) tearWrite(ino uint64, f *os.File, data []byte, offset int64) syscall.Errno {
	d.torn = d.tear(len(data))
	_, err := f.WriteAt(data[:d.torn], offset)
	d.undo.synced(ino) // what was written to it before has reached the disk, too
	d.tear = nil
	close(d.tore)
	d.dead = make(chan struct{})
	if err != nil {
		d.torn = 0
	}
	return d.powered()
}

// resize is for truncation and allocation: it keeps what is lost by it.
func (d *Disk) resize(ino uint64, f *os.File, from, n int64, do func() error) syscall.Errno {
	if e := d.lock(); e != 0 {
		return e
	}
	defer d.mu.Unlock()
	file, err := d.undo.touch(ino, f)
	if err == nil {
		if n < 0 {
			n = max(file.size-from, 0)
		}
		err = file.keep(from, n)
	}
	if err == nil {
		err = do()
		d.unsynced()
	}
	return errno(err)
}

// sync makes a file safe, or a directory.
func (d *Disk) sync(ino uint64, dir bool) syscall.Errno {
	ills := d.Ills()
	d.syncs.Add(1)
	if ills.SyncDelay > 0 {
		d.delayed.Add(1)
		time.Sleep(ills.SyncDelay) // a signal must not shorten it: fsync is not interrupted
	}
	if ills.Sync {
		return d.fault(syscall.EIO)
	}
	if e := d.lock(); e != 0 {
		return e
	}
	defer d.mu.Unlock()
	if dir {
		d.undo.syncedDir(ino)
	} else {
		d.undo.synced(ino)
	}
	return 0
}

// errno is what the kernel is told.
func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e
	}
	return syscall.EIO
}
