package wal

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
)

// Memory is an [FS] in memory that forgets like a disk: a crash keeps what was synced and, of the
// rest, what chance picks sector by sector. Tests and the simulator keep their logs there.
type Memory struct {
	names   map[string]*memoryFile // what a reader sees
	durable map[string]*memoryFile // what the directory on disk says
	ops     int
	failAt  int // the operation with this number fails, and all after it; 0 for never
}

type memoryFile struct {
	fs     *Memory
	data   []byte
	synced []byte
}

var errInjected = errors.New("injected disk error")

// NewMemory returns an empty directory.
func NewMemory() *Memory {
	return &Memory{names: map[string]*memoryFile{}, durable: map[string]*memoryFile{}}
}

// Fail lets that many more changes succeed; the next one fails, and all after it.
func (m *Memory) Fail(after int) { m.failAt = m.ops + after + 1 }

// Failing says that changes fail from now on, or from some later one on.
func (m *Memory) Failing() bool { return m.failAt > 0 }

func (m *Memory) step() error {
	m.ops++
	if m.failAt > 0 && m.ops >= m.failAt {
		return errInjected
	}
	return nil
}

// Create implements [FS].
func (m *Memory) Create(name string) (File, error) {
	if err := m.step(); err != nil {
		return nil, err
	}
	f := &memoryFile{fs: m}
	m.names[name] = f
	return f, nil
}

// Open implements [FS].
func (m *Memory) Open(name string) (File, error) {
	if f, ok := m.names[name]; ok {
		return f, nil
	}
	return nil, fs.ErrNotExist
}

// List implements [FS].
func (m *Memory) List() ([]string, error) { return slices.Sorted(maps.Keys(m.names)), nil }

// Rename implements [FS].
func (m *Memory) Rename(from, to string) error {
	if err := m.step(); err != nil {
		return err
	}
	m.names[to] = m.names[from]
	delete(m.names, from)
	return nil
}

// Remove implements [FS].
func (m *Memory) Remove(name string) error {
	if err := m.step(); err != nil {
		return err
	}
	delete(m.names, name)
	return nil
}

// SyncDir implements [FS].
func (m *Memory) SyncDir() error {
	if err := m.step(); err != nil {
		return err
	}
	m.durable = maps.Clone(m.names)
	return nil
}

// Crash returns the directory as a machine finds it after power was lost.
func (m *Memory) Crash(rng *rand.Rand) *Memory {
	after := NewMemory()
	names := m.durable
	if rng.IntN(2) == 0 { // the directory happened to reach the disk
		names = m.names
	}
	for _, name := range slices.Sorted(maps.Keys(names)) { // the same seed, the same crash
		f := names[name]
		kept := &memoryFile{fs: after, data: tear(rng, f.synced, f.data)}
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

func (f *memoryFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memoryFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.step(); err != nil {
		n := len(p) / 2
		f.write(p[:n], off)
		return n, err
	}
	f.write(p, off)
	return len(p), nil
}

func (f *memoryFile) write(p []byte, off int64) {
	if grow := off + int64(len(p)) - int64(len(f.data)); grow > 0 {
		f.data = append(f.data, make([]byte, grow)...)
	}
	copy(f.data[off:], p)
}

func (f *memoryFile) Sync() error {
	if err := f.fs.step(); err != nil {
		return err
	}
	f.synced = slices.Clone(f.data)
	return nil
}

func (f *memoryFile) Truncate(size int64) error {
	if err := f.fs.step(); err != nil {
		return err
	}
	f.data = slices.Clone(f.data[:size])
	return nil
}

func (f *memoryFile) Size() (int64, error) { return int64(len(f.data)), nil }
func (f *memoryFile) Close() error         { return nil }
