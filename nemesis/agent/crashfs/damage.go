//go:build linux

package crashfs

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// The kinds of damage.
const (
	Flip     = "flip"     // one bit of one file is another
	Truncate = "truncate" // the end of one file is missing
)

// Damaged says what was done to a file.
type Damaged struct {
	File   string // below the backing directory
	Offset int64  // of the byte, or where it ends now
	Size   int64  // before
}

// saved is where a copy of all files is, while they are damaged.
func (d *Disk) saved() string { return filepath.Join(d.dir, Hidden, "saved") }

// Damage copies all files and damages one of them, drawn by seed. The node must not run.
func (d *Disk) Damage(kind string, seed uint64) (what Damaged, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := os.Stat(d.saved()); err == nil {
		return what, errors.New("it is damaged already")
	}
	files, err := d.list()
	if err != nil {
		return what, err
	}
	if len(files) == 0 {
		return what, errors.New("there is no file to damage")
	}
	if err := d.copyAll(d.dir, d.saved()); err != nil {
		return what, errors.Join(fmt.Errorf("copy the files: %w", err), os.RemoveAll(d.saved()))
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	what.File = files[rng.IntN(len(files))]
	f, err := os.OpenFile(filepath.Join(d.dir, what.File), os.O_RDWR, 0)
	if err != nil {
		return what, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return what, err
	}
	what.Size = st.Size()
	what.Offset = rng.Int64N(what.Size)
	if kind == Truncate {
		return what, f.Truncate(what.Offset)
	}
	one := make([]byte, 1)
	if _, err := f.ReadAt(one, what.Offset); err != nil {
		return what, err
	}
	one[0] ^= 1 << rng.IntN(8)
	_, err = f.WriteAt(one, what.Offset)
	return what, err
}

// Restore puts the copy back that [Disk.Damage] made. The node must not run. It is idempotent.
func (d *Disk) Restore() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := os.Stat(d.saved()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := d.undo.rollBack(); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != Hidden {
			if err := os.RemoveAll(filepath.Join(d.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := d.copyAll(d.saved(), d.dir); err != nil {
		return err
	}
	return os.RemoveAll(d.saved())
}

// list are the files that can be damaged, in the order of their names.
func (d *Disk) list() (files []string, err error) {
	err = filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == Hidden {
			return filepath.SkipDir
		}
		st, err := e.Info()
		if err == nil && st.Mode().IsRegular() && st.Size() > 0 {
			name, _ := filepath.Rel(d.dir, path) // it is below
			files = append(files, name)
		}
		return err
	})
	slices.Sort(files)
	return files, err
}

// copyAll copies what is in one directory into another, owners and rights included.
func (d *Disk) copyAll(from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && e.Name() == Hidden {
			return filepath.SkipDir
		}
		name, _ := filepath.Rel(from, path) // it is below
		return copyOne(path, filepath.Join(to, name))
	})
}

func copyOne(from, to string) error {
	st, err := os.Lstat(from)
	if err != nil {
		return err
	}
	switch {
	case st.IsDir():
		err = os.MkdirAll(to, st.Mode().Perm())
	case st.Mode()&fs.ModeSymlink != 0:
		var target string
		if target, err = os.Readlink(from); err == nil {
			err = os.Symlink(target, to)
		}
	case st.Mode().IsRegular():
		var data []byte
		if data, err = os.ReadFile(from); err == nil {
			err = os.WriteFile(to, data, st.Mode().Perm())
		}
	default:
		return nil // a socket, say
	}
	if err != nil {
		return err
	}
	uid, gid := owner(st)
	return os.Lchown(to, uid, gid)
}
