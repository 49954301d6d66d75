package wal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// FS is the directory that a log lives in. Names are plain file names without a path. The simulator
// brings its own, which forgets and tears what was not synced; [OSDir] is the real one.
type FS interface {
	// Create makes an empty file, or empties the one that is there, for reading and writing.
	Create(name string) (File, error)
	// Open opens a file that exists for reading and writing; a missing one is fs.ErrNotExist.
	Open(name string) (File, error)
	// List returns the names of all files, sorted.
	List() ([]string, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes creations, renames and removals durable.
	SyncDir() error
}

// File is an open file of an [FS].
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Sync makes the contents and the size durable (fdatasync).
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// OSDir is the [FS] of a real directory.
type OSDir string

// Create implements [FS].
func (d OSDir) Create(name string) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
}

// Open implements [FS].
func (d OSDir) Open(name string) (File, error) { return d.open(name, os.O_RDWR) }

func (d OSDir) open(name string, flag int) (File, error) {
	f, err := os.OpenFile(filepath.Join(string(d), name), flag, 0o640)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// List implements [FS].
func (d OSDir) List() ([]string, error) {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// Rename implements [FS].
func (d OSDir) Rename(from, to string) error {
	return os.Rename(filepath.Join(string(d), from), filepath.Join(string(d), to))
}

// Remove implements [FS]; a file that is not there is no error.
func (d OSDir) Remove(name string) error {
	err := os.Remove(filepath.Join(string(d), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// SyncDir implements [FS].
func (d OSDir) SyncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync directory %s: %w", d, err), f.Close())
	}
	return f.Close()
}

type osFile struct{ *os.File }

// Sync implements [File].
func (f osFile) Sync() error { return datasync(f.File) }

// Size implements [File].
func (f osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// ReadFile returns the whole contents of a file.
func ReadFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := readAll(f)
	return data, errors.Join(err, f.Close())
}

func readAll(f File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if n, err := f.ReadAt(data, 0); err != nil && (!errors.Is(err, io.EOF) || int64(n) != size) {
		return nil, err
	}
	return data, nil
}

// WriteFile replaces a file as a whole: the name holds the old contents or the new ones, whatever
// happens in between.
func WriteFile(fsys FS, name string, data []byte) error {
	tmp := name + ".tmp"
	f, err := fsys.Create(tmp)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := fsys.Rename(tmp, name); err != nil {
		return err
	}
	return fsys.SyncDir()
}
