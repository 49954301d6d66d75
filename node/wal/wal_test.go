package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/raftcheck/raftcheck/node/raft"
)

var testOwner = Owner{ID: 3, Incarnation: [16]byte{1, 2, 3}}

func testOptions() Options { return Options{Owner: testOwner, SegmentSize: 4096} }

// state is a log as the dumb twin of the real one keeps it.
type state struct {
	HardState raft.HardState
	Snapshot  *raft.SnapshotMeta
	Entries   []raft.Entry
}

func (s *state) last() raft.Index {
	if n := len(s.Entries); n > 0 {
		return s.Entries[n-1].Index
	}
	return s.first() - 1
}

func (s *state) first() raft.Index {
	if s.Snapshot != nil {
		return s.Snapshot.Index + 1
	}
	return 1
}

func (s state) apply(b Batch) state {
	s.Entries = slices.Clone(s.Entries)
	if b.HardState != nil {
		s.HardState = *b.HardState
	}
	if b.Snapshot != nil {
		i := slices.IndexFunc(s.Entries, func(e raft.Entry) bool {
			return e.Index == b.Snapshot.Index && e.Term == b.Snapshot.Term
		})
		if i < 0 {
			i = len(s.Entries) - 1
		}
		s.Entries, s.Snapshot = slices.Clone(s.Entries[i+1:]), b.Snapshot
	}
	if b.Reset != nil {
		s.Entries, s.Snapshot = nil, b.Reset
	}
	if b.Truncate > 0 {
		s.Entries = slices.DeleteFunc(s.Entries, func(e raft.Entry) bool {
			return e.Index >= b.Truncate
		})
	}
	s.Entries = append(s.Entries, b.Append...)
	return s
}

// randomBatch makes a batch that a node in state s could save.
func randomBatch(rng *rand.Rand, s *state) Batch {
	var b Batch
	hs := s.HardState
	if rng.IntN(4) == 0 {
		hs.Term++
		hs.Vote = raft.ID(rng.IntN(4))
		b.HardState = &hs
	}
	next := s.last() + 1
	switch rng.IntN(8) {
	case 0:
		if n := len(s.Entries); n > 0 {
			e := s.Entries[rng.IntN(n)]
			b.Snapshot = &raft.SnapshotMeta{Index: e.Index, Term: e.Term,
				Config: raft.Config{Voters: []raft.ID{1, 2, 3}}}
		}
	case 1:
		if rng.IntN(4) == 0 {
			b.Reset = &raft.SnapshotMeta{Index: s.last() + 5, Term: hs.Term}
			next = b.Reset.Index + 1
		}
	case 2:
		if n := len(s.Entries); n > 0 {
			b.Truncate = s.Entries[rng.IntN(n)].Index
			next = b.Truncate
		}
	}
	for range rng.IntN(4) {
		var data []byte
		if size := rng.IntN(300); size > 0 {
			data = bytes.Repeat([]byte{byte(rng.IntN(256))}, size)
		}
		b.Append = append(b.Append, raft.Entry{Index: next, Term: hs.Term,
			Kind: raft.EntryKind(rng.IntN(3)), Data: data})
		next++
	}
	if b.Empty() {
		b.HardState = &hs
	}
	return b
}

func recoveredState(r Recovered) state {
	return state{HardState: r.HardState, Snapshot: r.Snapshot, Entries: slices.Clone(r.Entries)}
}

func diff(want, got state) string {
	for _, s := range []*state{&want, &got} {
		if len(s.Entries) == 0 {
			s.Entries = nil
		}
	}
	return cmp.Diff(want, got)
}

func open(t *testing.T, fsys FS) (*Log, Recovered) {
	t.Helper()
	l, r, err := Open(fsys, testOptions())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return l, r
}

// write saves n random batches and returns the state after each, the empty one first.
func write(t *testing.T, l *Log, rng *rand.Rand, n int) []state {
	t.Helper()
	states := []state{{}}
	for range n {
		cur := states[len(states)-1]
		b := randomBatch(rng, &cur)
		if err := l.Save(b); err != nil {
			t.Fatalf("save: %v", err)
		}
		states = append(states, cur.apply(b))
	}
	return states
}

func TestWhatWasSavedIsThereAgain(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 1))
		fsys := NewMemory()
		var want state
		for range 4 { // several lives of the node
			l, r := open(t, fsys)
			if d := diff(want, recoveredState(r)); d != "" {
				t.Fatalf("seed %d: got(+) want(-):\n%s", seed, d)
			}
			for range 40 {
				batches := make([]Batch, 1+rng.IntN(3))
				for i := range batches {
					batches[i] = randomBatch(rng, &want)
					want = want.apply(batches[i])
				}
				if err := l.Save(batches...); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, r := open(t, fsys); !r.Clean {
			t.Errorf("seed %d: a closed log is not clean", seed)
		}
	}
}

func TestRealDirectory(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	dir := OSDir(t.TempDir())
	l, _ := open(t, dir)
	states := write(t, l, rng, 100)
	if err := l.Abandon(); err != nil {
		t.Fatal(err)
	}
	l, r := open(t, dir)
	if d := diff(states[100], recoveredState(r)); d != "" {
		t.Errorf("got(+) want(-):\n%s", d)
	}
	if r.Clean || r.TornBytes != 0 {
		t.Errorf("abandoned log: clean %v, torn %d", r.Clean, r.TornBytes)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCrashLosesNothingThatWasSaved(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		fsys := NewMemory()
		var want state
		for life := range 3 {
			l, r, err := Open(fsys, testOptions())
			if err != nil {
				t.Fatalf("seed %d life %d: %v", seed, life, err)
			}
			if d := diff(want, recoveredState(r)); d != "" {
				t.Fatalf("seed %d life %d: got(+) want(-):\n%s", seed, life, d)
			}
			var maybe state
			fsys.failAt = fsys.ops + 1 + rng.IntN(150)
			for {
				b := randomBatch(rng, &want)
				maybe = want.apply(b)
				if err = l.Save(b); err != nil {
					break
				}
				want = maybe
			}
			if !errors.Is(err, errInjected) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if err := l.Save(Batch{HardState: &raft.HardState{Term: 99}}); !errors.Is(err, ErrBroken) {
				t.Fatalf("seed %d: a broken log takes more: %v", seed, err)
			}
			fsys = fsys.Crash(rng)
			// The batch that failed may have reached the disk as a whole.
			probe := fsys.Crash(rand.New(rand.NewPCG(0, 0)))
			_, r, err = Open(probe, testOptions())
			if err != nil {
				t.Fatalf("seed %d life %d: reopen: %v", seed, life, err)
			}
			if diff(maybe, recoveredState(r)) == "" {
				want = maybe
			}
		}
	}
}

// oneSegment returns the bytes of a log with one segment, and where each of its frames ends.
func oneSegment(t *testing.T) (data []byte, states []state, ends []int64) {
	t.Helper()
	fsys := NewMemory()
	opts := testOptions()
	opts.SegmentSize = 1 << 16
	l, _, err := Open(fsys, opts)
	if err != nil {
		t.Fatal(err)
	}
	states = []state{{}}
	ends = []int64{l.off}
	for i := range 12 {
		var cur = states[i]
		b := Batch{Append: []raft.Entry{{Index: raft.Index(i + 1), Term: 2,
			Kind: raft.EntryCommand, Data: fmt.Appendf(nil, "value %d of twelve", i)}}}
		if err := l.Save(b); err != nil {
			t.Fatal(err)
		}
		states = append(states, cur.apply(b))
		ends = append(ends, l.off)
	}
	return fsys.names[segmentName(1)].data, states, ends
}

func openBytes(data []byte) (Recovered, *Memory, error) {
	fsys := NewMemory()
	fsys.names[segmentName(1)] = &memoryFile{fs: fsys, data: data, synced: data}
	_, r, err := Open(fsys, testOptions())
	return r, fsys, err
}

func TestCutAtEveryByte(t *testing.T) {
	data, states, ends := oneSegment(t)
	last := ends[len(ends)-1]
	for cut := int64(headerSize); cut <= last; cut++ {
		// Files end where the cut is, or go on with zeros, as a preallocated one does.
		for _, size := range []int64{cut, last + 500} {
			cutData := make([]byte, size)
			copy(cutData, data[:cut])
			r, fsys, err := openBytes(cutData)
			if err != nil {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			want := len(r.Entries)
			whole := 0
			for whole+1 < len(ends) && ends[whole+1] <= cut {
				whole++
			}
			// Only padding may be missing from a frame that counts.
			if want != whole && (want != whole+1 || ends[want]-cut >= alignment) {
				t.Fatalf("cut at %d: %d entries recovered, %d frames are whole", cut, want, whole)
			}
			if d := diff(states[want], recoveredState(r)); d != "" {
				t.Fatalf("cut at %d: got(+) want(-):\n%s", cut, d)
			}
			// The repair is durable: a second start finds a clean end.
			_, r, err = Open(fsys, testOptions())
			if err != nil || r.TornBytes != 0 {
				t.Fatalf("cut at %d: second start: torn %d, %v", cut, r.TornBytes, err)
			}
		}
	}
}

func TestFlippedBits(t *testing.T) {
	data, states, ends := oneSegment(t)
	lastFrame := ends[len(ends)-2]
	for off := int64(0); off < ends[len(ends)-1]; off++ {
		flipped := slices.Clone(data)
		flipped[off] ^= 1 << (off % 8)
		r, _, err := openBytes(flipped)
		corrupt, isCorrupt := errors.AsType[*CorruptError](err)
		switch {
		case off < lastFrame:
			inPadding := err == nil && diff(states[12], recoveredState(r)) == ""
			if !isCorrupt && !inPadding {
				t.Errorf("bit in byte %d: err %v, %d entries", off, err, len(r.Entries))
			}
			if isCorrupt && corrupt.File != segmentName(1) {
				t.Errorf("bit in byte %d: blames %s", off, corrupt.File)
			}
		case err == nil && len(r.Entries) < 11:
			t.Errorf("bit in byte %d of the last frame: %d entries", off, len(r.Entries))
		}
	}
}

func TestDamageIsRefused(t *testing.T) {
	build := func() *Memory {
		fsys := NewMemory()
		l, _, err := Open(fsys, testOptions())
		if err != nil {
			t.Fatal(err)
		}
		for i := range raft.Index(60) {
			if err := l.Save(Batch{Append: []raft.Entry{{Index: i + 1, Term: 1,
				Data: make([]byte, 200)}}}); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(l.segments); n < 3 {
			t.Fatalf("only %d segments", n)
		}
		return fsys
	}
	last := func(fsys *Memory) string {
		names, _ := fsys.List()
		names = slices.DeleteFunc(names, func(n string) bool { return n == spareName })
		return names[len(names)-1]
	}
	cases := map[string]func(fsys *Memory){
		"the first segment is missing": func(fsys *Memory) { delete(fsys.names, segmentName(1)) },
		"a middle segment is missing":  func(fsys *Memory) { delete(fsys.names, segmentName(2)) },
		"the last segment is missing":  func(fsys *Memory) { delete(fsys.names, last(fsys)) },
		"a segment was copied over another": func(fsys *Memory) {
			fsys.names[segmentName(2)] = fsys.names[segmentName(1)]
		},
		"a sealed segment was cut": func(fsys *Memory) {
			f := fsys.names[segmentName(2)]
			f.data = f.data[:len(f.data)/2]
		},
		"the header is gone": func(fsys *Memory) { clear(fsys.names[last(fsys)].data[:headerSize]) },
	}
	for name, damage := range cases {
		t.Run(name, func(t *testing.T) {
			fsys := build()
			damage(fsys)
			_, _, err := Open(fsys, testOptions())
			if _, ok := errors.AsType[*CorruptError](err); !ok {
				t.Errorf("opened with error %v", err)
			}
		})
	}
}

func TestForeignAndNewerLogsAreRefused(t *testing.T) {
	fsys := NewMemory()
	l, _ := open(t, fsys)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	opts := testOptions()
	opts.Owner.ID = 4
	if _, _, err := Open(fsys, opts); err == nil {
		t.Error("opened the log of another node")
	}
	h := newHeader(1, 1, testOwner).encode()
	h[8] = Version + 1
	clear(h[12:16])
	copy(fsys.names[segmentName(1)].data, reseal(h))
	if _, _, err := Open(fsys, testOptions()); !errors.Is(err, ErrFormat) {
		t.Errorf("newer format: %v", err)
	}
}

func TestSnapshotDropsSegments(t *testing.T) {
	fsys := NewMemory()
	l, _ := open(t, fsys)
	hs := raft.HardState{Term: 5, Vote: 2}
	if err := l.Save(Batch{HardState: &hs}); err != nil {
		t.Fatal(err)
	}
	var next raft.Index = 1
	for range 20 {
		for range 20 {
			e := raft.Entry{Index: next, Term: 5, Data: make([]byte, 200)}
			if err := l.Save(Batch{Append: []raft.Entry{e}}); err != nil {
				t.Fatal(err)
			}
			next++
		}
		mark := raft.SnapshotMeta{Index: next - 5, Term: 5}
		if err := l.Save(Batch{Snapshot: &mark}); err != nil {
			t.Fatal(err)
		}
		if n := len(l.segments); n > 3 {
			t.Fatalf("%d segments remain after a snapshot", n)
		}
	}
	_, r := open(t, fsys)
	if r.HardState != hs || len(r.Entries) != 4 || r.Snapshot.Index != next-5 {
		t.Errorf("hard state %v, %d entries, snapshot %v", r.HardState, len(r.Entries), r.Snapshot)
	}
}

func FuzzFrame(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	var s state
	for range 50 {
		b := randomBatch(rng, &s)
		s = s.apply(b)
		f.Add(appendBatch(nil, &b))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		records, err := decodeFrame(data)
		if err != nil {
			return
		}
		var again []byte
		for _, r := range records {
			again = appendRecord(again, r)
		}
		second, err := decodeFrame(again)
		if err != nil {
			t.Fatalf("what was encoded does not decode: %v", err)
		}
		if d := cmp.Diff(records, second); d != "" {
			t.Errorf("round trip: %s", d)
		}
	})
}

func appendRecord(dst []byte, r Record) []byte {
	switch {
	case r.Seal > 0:
		return appendSeal(dst, r.Seal)
	case r.Close:
		return append(dst, recClose)
	}
	return appendBatch(dst, &Batch{r.HardState, r.Snapshot, r.Reset, r.Truncate, r.Entries})
}

func FuzzSegment(f *testing.F) {
	fsys := NewMemory()
	l, _, err := Open(fsys, testOptions())
	if err != nil {
		f.Fatal(err)
	}
	for i := range raft.Index(5) {
		e := raft.Entry{Index: i + 1, Term: 1, Data: []byte("x")}
		if err := l.Save(Batch{Append: []raft.Entry{e}}); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(fsys.names[segmentName(1)].data[:l.off])
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, fsys, err := openBytes(data); err == nil {
			// What opens once opens again, with nothing left to repair.
			if _, r, err := Open(fsys, testOptions()); err != nil || r.TornBytes != 0 {
				t.Errorf("second open: torn %d, %v", r.TornBytes, err)
			}
		}
	})
}

func BenchmarkSave(b *testing.B) {
	l, _, err := Open(OSDir(b.TempDir()),
		Options{Owner: testOwner, Background: func(f func()) { go f() }})
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 256)
	var index raft.Index
	for b.Loop() {
		index++
		if err := l.Save(Batch{Append: []raft.Entry{{Index: index, Term: 1, Data: data}}}); err != nil {
			b.Fatal(err)
		}
	}
}

// reseal computes the checksum of a segment header anew.
func reseal(h []byte) []byte {
	binary.LittleEndian.PutUint32(h[12:], crc32.Checksum(h, castagnoli))
	return h
}
