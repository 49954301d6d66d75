//go:build linux

package crashfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// blockSize is the unit in which old contents are kept.
const blockSize = 4096

// undo is what it takes to bring the backing directory back to what was synced. It is guarded by
// the mutex of its [Disk].
//
//  1. For a file with unsynced changes, files holds its synced size, and each synced block that
//     was overwritten since.
//  2. entries holds the unsynced changes of directories, the oldest first.
type undo struct {
	side    string // where unlinked files live on until their directory is synced
	serial  int
	files   map[uint64]*dirty // by inode
	entries []entry
}

// dirty is a file with changes that were not synced.
type dirty struct {
	f      *os.File // our own, so that a file without a name can be mended too
	size   int64    // when it was last synced
	blocks map[int64][]byte
	bytes  int64 // written since
}

// entry is a change of one directory, or of two.
type entry struct {
	dirs    [2]uint64 // inodes
	child   uint64    // inode of what was named
	created bool      // child was made by this change
	back    func() error
	settle  func() // forgets what was kept to go back
}

// touch begins to keep what f holds, unless that is under way.
func (u *undo) touch(ino uint64, f *os.File) (*dirty, error) {
	if d := u.files[ino]; d != nil {
		return d, nil
	}
	own, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	st, err := own.Stat()
	if err != nil {
		return nil, errors.Join(err, own.Close())
	}
	d := &dirty{f: own, size: st.Size(), blocks: map[int64][]byte{}}
	u.files[ino] = d
	return d, nil
}

// keep saves the synced contents of n bytes from offset on, which are about to change.
func (d *dirty) keep(offset, n int64) error {
	end := min(offset+n, d.size)
	for b := offset / blockSize; b*blockSize < end; b++ {
		if d.blocks[b] != nil {
			continue
		}
		old := make([]byte, min(blockSize, d.size-b*blockSize))
		if _, err := d.f.ReadAt(old, b*blockSize); err != nil {
			return err
		}
		d.blocks[b] = old
	}
	return nil
}

// back undoes the unsynced changes, and forgets them.
func (d *dirty) back() error {
	errs := []error{d.f.Truncate(d.size)}
	for b, old := range d.blocks {
		_, err := d.f.WriteAt(old, b*blockSize)
		errs = append(errs, err)
	}
	return errors.Join(append(errs, d.f.Close())...)
}

// synced makes the contents of a file safe, and the name under which it was made: so do the file
// systems of Linux. A later rename is not safe before its directory is.
func (u *undo) synced(ino uint64) {
	if d := u.files[ino]; d != nil {
		_ = d.f.Close() // it was only there to go back
		delete(u.files, ino)
	}
	for child := ino; ; {
		i := slices.IndexFunc(u.entries, func(e entry) bool { return e.created && e.child == child })
		if i < 0 {
			return
		}
		child = u.entries[i].dirs[0]
		u.entries = slices.Delete(u.entries, i, i+1)
	}
}

// syncedDir makes the entries of a directory safe.
func (u *undo) syncedDir(ino uint64) {
	u.entries = slices.DeleteFunc(u.entries, func(e entry) bool {
		mine := e.dirs[0] == ino || e.dirs[1] == ino
		if mine && e.settle != nil {
			e.settle()
		}
		return mine
	})
	u.synced(ino)
}

// made notes that path, in directory dir, was made just now.
func (u *undo) made(dir uint64, path string) {
	ino := inodeOf(path)
	if d := u.files[ino]; d != nil { // of a file that is gone, whose number is used again
		_ = d.f.Close()
		delete(u.files, ino)
	}
	u.entries = append(u.entries, entry{dirs: [2]uint64{dir}, child: ino, created: true,
		back: func() error {
			if inodeOf(path) != ino {
				return nil
			}
			return os.RemoveAll(path)
		}})
}

// removing notes that path is about to lose its name, and lets it live on under another.
func (u *undo) removing(dir uint64, path string) error {
	kept, err := u.shelve(path)
	if err != nil {
		return err
	}
	u.entries = append(u.entries, entry{dirs: [2]uint64{dir}, child: inodeOf(path),
		back:   func() error { return os.Rename(kept, path) },
		settle: func() { _ = os.Remove(kept) }})
	return nil
}

// removedDir notes that an empty directory is gone.
func (u *undo) removedDir(dir uint64, path string, mode fs.FileMode) {
	u.entries = append(u.entries, entry{dirs: [2]uint64{dir},
		back: func() error { return os.Mkdir(path, mode) }})
}

// renaming notes that from is about to be called to, and keeps what was called so before.
func (u *undo) renaming(fromDir, toDir uint64, from, to string) error {
	ino := inodeOf(from)
	kept := ""
	if st, err := os.Lstat(to); err == nil && !st.IsDir() {
		if kept, err = u.shelve(to); err != nil {
			return err
		}
	}
	u.entries = append(u.entries, entry{dirs: [2]uint64{fromDir, toDir}, child: ino,
		back: func() error {
			var errs []error
			if inodeOf(to) == ino {
				errs = append(errs, os.Rename(to, from))
			}
			if kept != "" {
				errs = append(errs, os.Rename(kept, to))
			}
			return errors.Join(errs...)
		},
		settle: func() {
			if kept != "" {
				_ = os.Remove(kept)
			}
		}})
	return nil
}

// forgetLast takes the newest entry back: what it noted did not happen.
func (u *undo) forgetLast() {
	last := len(u.entries) - 1
	if e := u.entries[last]; e.settle != nil {
		e.settle()
	}
	u.entries = u.entries[:last]
}

// shelve gives path a second name.
func (u *undo) shelve(path string) (string, error) {
	u.serial++
	kept := filepath.Join(u.side, strconv.Itoa(u.serial))
	return kept, os.Link(path, kept)
}

// rollBack undoes everything that was not synced, and says how much that was.
func (u *undo) rollBack() (lost Lost, err error) {
	var errs []error
	for _, d := range u.files {
		lost.Bytes += d.bytes
		lost.Files++
		errs = append(errs, d.back())
	}
	for _, e := range slices.Backward(u.entries) {
		lost.Entries++
		errs = append(errs, e.back())
	}
	u.files, u.entries = map[uint64]*dirty{}, nil
	return lost, errors.Join(errs...)
}

// inodeOf is the number of what path names; 0 if that is nothing.
func inodeOf(path string) uint64 {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil {
		return 0
	}
	return st.Ino
}

// owner is whom a file belongs to.
func owner(st fs.FileInfo) (uid, gid int) {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(sys.Uid), int(sys.Gid)
	}
	return -1, -1 // as it is
}
