package wal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// memFS is a directory in memory that forgets like a disk: crash keeps what was synced and, of the
// rest, what chance picks sector by sector. failAt makes one operation fail.
type memFS struct {
	names   map[string]*memFile // what a reader sees
	durable map[string]*memFile // what the directory on disk says
	ops     int
	failAt  int // the operation with this number fails, and all after it; 0 for never
}

type memFile struct {
	fs     *memFS
	data   []byte
	synced []byte
}

var errInjected = errors.New("injected disk error")

func newMemFS() *memFS {
	return &memFS{names: map[string]*memFile{}, durable: map[string]*memFile{}}
}

func (m *memFS) step() error {
	m.ops++
	if m.failAt > 0 && m.ops >= m.failAt {
		return errInjected
	}
	return nil
}

func (m *memFS) Create(name string) (File, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	f := &memFile{fs: m}
	m.names[name] = f
	return f, nil
}

func (m *memFS) Open(name string) (File, error) {
	if f, ok := m.names[name]; ok {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

func (m *memFS) List() ([]string, error) { return slices.Sorted(maps.Keys(m.names)), nil }

func (m *memFS) Rename(from, to string) error {
	if err := m.step(); err != nil {
		return err
	}
	m.names[to] = m.names[from]
	delete(m.names, from)
	return nil
}

func (m *memFS) Remove(name string) error {
	if err := m.step(); err != nil {
		return err
	}
	delete(m.names, name)
	return nil
}

func (m *memFS) SyncDir() error {
	if err := m.step(); err != nil {
		return err
	}
	m.durable = maps.Clone(m.names)
	return nil
}

// crash returns the directory as a machine finds it after power was lost.
func (m *memFS) crash(rng *rand.Rand) *memFS {
	after := newMemFS()
	names := m.durable
	if rng.IntN(2) == 0 { // the directory happened to reach the disk
		names = m.names
	}
	for name, f := range names {
		kept := &memFile{fs: after, data: tear(rng, f.synced, f.data)}
		kept.synced = slices.Clone(kept.data)
		after.names[name] = kept
	}
	after.durable = maps.Clone(after.names)
	return after
}

// tear mixes the sectors of two versions of a file; the size may be that of either.
func tear(rng *rand.Rand, old, cur []byte) []byte {
	const sector = 512
	size := len(old)
	if rng.IntN(2) == 0 {
		size = len(cur)
	}
	out := make([]byte, size)
	copy(out, old)
	for off := 0; off < size; off += sector {
		if end := min(off+sector, size, len(cur)); off < end && rng.IntN(2) == 0 {
			copy(out[off:end], cur[off:end])
		}
	}
	return out
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.step(); err != nil {
		n := len(p) / 2
		f.write(p[:n], off)
		return n, err
	}
	f.write(p, off)
	return len(p), nil
}

func (f *memFile) write(p []byte, off int64) {
	if grow := off + int64(len(p)) - int64(len(f.data)); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	copy(f.data[off:], p)
}

func (f *memFile) Sync() error {
	if err := f.fs.step(); err != nil {
		return err
	}
	f.synced = slices.Clone(f.data)
	return nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.fs.step(); err != nil {
		return err
	}
	f.data = slices.Clone(f.data[:size])
	return nil
}

func (f *memFile) Size() (int64, error) { return int64(len(f.data)), nil }
func (f *memFile) Close() error         { return nil }

// reseal computes the checksum of a segment header anew.
func reseal(h []byte) []byte {
	binary.LittleEndian.PutUint32(h[12:], crc32.Checksum(h, castagnoli))
	return h
}
