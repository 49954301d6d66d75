package snapshot

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

func meta(index raft.Index) raft.SnapshotMeta {
	return raft.SnapshotMeta{Index: index, Term: 3, Config: raft.Config{
		Voters: []raft.ID{1, 2, 3}, Learners: []raft.ID{4}}}
}

func noise(n int) []byte {
	rng := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func write(t *testing.T, s *Store, m raft.SnapshotMeta, data []byte) {
	t.Helper()
	w, err := s.Create(m)
	if err != nil {
		t.Fatal(err)
	}
	for len(data) > 0 { // in uneven pieces
		n := min(len(data), 70001)
		if _, err := w.Write(data[:n]); err != nil {
			t.Fatal(err)
		}
		data = data[n:]
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

func read(s *Store) (raft.SnapshotMeta, []byte, error) {
	name, err := s.Newest()
	if err != nil {
		return raft.SnapshotMeta{}, nil, err
	}
	r, err := s.Open(name)
	if err != nil {
		return raft.SnapshotMeta{}, nil, err
	}
	data, err := io.ReadAll(r)
	return r.Meta, data, errors.Join(err, r.Close())
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 5*chunkSize + 17} {
		s := NewStore(wal.OSDir(t.TempDir()))
		if _, _, err := read(s); !errors.Is(err, ErrNone) {
			t.Errorf("empty store: %v", err)
		}
		write(t, s, meta(7), noise(size))
		m, data, err := read(s)
		if err != nil || !bytes.Equal(data, noise(size)) {
			t.Errorf("size %d: %d bytes, %v", size, len(data), err)
		}
		if d := cmp.Diff(meta(7), m); d != "" {
			t.Error(d)
		}
	}
}

func TestOnlyTheNewestStays(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(wal.OSDir(dir))
	write(t, s, meta(7), noise(10))
	write(t, s, meta(300), noise(20))
	if _, err := s.Create(meta(400)); err != nil { // and a crash comes
		t.Fatal(err)
	}
	if err := s.Clean(); err != nil {
		t.Fatal(err)
	}
	files, _ := os.ReadDir(dir)
	if len(files) != 1 || !strings.HasPrefix(files[0].Name(), "snap-000000000000012c-3") {
		t.Errorf("left: %v", files)
	}
	if _, err := s.Find(7, 3); !errors.Is(err, ErrNone) {
		t.Errorf("the old one: %v", err)
	}
}

func TestEveryDamageIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s := NewStore(wal.OSDir(dir))
	write(t, s, meta(7), noise(300))
	name, err := s.Newest()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, name)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, i int, data []byte) {
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _, err := read(s)
		if _, ok := errors.AsType[*DamagedError](err); !ok {
			t.Errorf("%s at %d: %v", what, i, err)
		}
	}
	for i := range good {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1 << (i % 8)
		check("flipped", i, flipped)
		check("cut", i, good[:i])
	}
	check("longer", len(good), append(bytes.Clone(good), 0))
}

// transfer runs both sides over a pipe; the fetching side hangs up after limit bytes.
func transfer(t *testing.T, from, to *Store, least raft.Index, limit int64,
) (raft.SnapshotMeta, error) {
	t.Helper()
	a, b := net.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- from.Serve(a)
		_ = a.Close()
	}()
	m, err := to.Fetch(&limited{b, limit}, least)
	_ = b.Close()
	_ = <-served // it was hung up on
	return m, err
}

type limited struct {
	net.Conn
	left int64
}

var errCut = errors.New("line was cut")

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errCut
	}
	n, err := l.Conn.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

func TestTransferIsResumed(t *testing.T) {
	data := noise(3*chunkSize + 5)
	from, to := NewStore(wal.OSDir(t.TempDir())), NewStore(wal.OSDir(t.TempDir()))
	if _, err := transfer(t, from, to, 1, 1<<30); err == nil {
		t.Error("fetched from an empty store")
	}
	write(t, from, meta(7), data)
	if _, err := transfer(t, from, to, 8, 1<<30); err == nil {
		t.Error("took an older snapshot than is of use")
	}
	for range 3 {
		if _, err := transfer(t, from, to, 5, chunkSize); !errors.Is(err, errCut) {
			t.Fatalf("got %v", err)
		}
	}
	// What is there counts: the rest is less than a whole transfer.
	m, err := transfer(t, from, to, 5, chunkSize)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(meta(7), m); d != "" {
		t.Error(d)
	}
	if _, got, err := read(to); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestAPartOfAnotherSnapshotIsNotUsed(t *testing.T) {
	from, to := NewStore(wal.OSDir(t.TempDir())), NewStore(wal.OSDir(t.TempDir()))
	write(t, from, meta(7), noise(2*chunkSize))
	if _, err := transfer(t, from, to, 5, chunkSize); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	write(t, from, meta(9), noise(2*chunkSize+1))
	if m, err := transfer(t, from, to, 5, 1<<30); err != nil || m.Index != 9 {
		t.Errorf("got %v, %v", m, err)
	}
	if _, got, err := read(to); err != nil || !bytes.Equal(got, noise(2*chunkSize+1)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestADamagedPartIsFetchedAnew(t *testing.T) {
	dir := t.TempDir()
	from, to := NewStore(wal.OSDir(t.TempDir())), NewStore(wal.OSDir(dir))
	write(t, from, meta(7), noise(2*chunkSize))
	if _, err := transfer(t, from, to, 5, chunkSize); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	parts, _ := filepath.Glob(filepath.Join(dir, "part-*"))
	f, err := os.OpenFile(parts[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("rot"), 1000); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	_, err = transfer(t, from, to, 5, 1<<30)
	if _, ok := errors.AsType[*DamagedError](err); !ok {
		t.Errorf("took a damaged part: %v", err)
	}
	if _, err := transfer(t, from, to, 5, 1<<30); err != nil {
		t.Errorf("the second time: %v", err)
	}
}

func FuzzReader(f *testing.F) {
	dir := f.TempDir()
	s := NewStore(wal.OSDir(dir))
	w, err := s.Create(meta(1))
	if err != nil {
		f.Fatal(err)
	}
	if _, err := w.Write([]byte("hello")); err != nil {
		f.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		f.Fatal(err)
	}
	name, _ := s.Newest()
	good, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, got, err := read(s); err == nil && len(got) > len(data) {
			t.Errorf("%d bytes out of %d", len(got), len(data))
		}
	})
}
