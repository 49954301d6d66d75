package wal

import (
	"errors"
	"fmt"
	"slices"
)

// Open recovers the log in the directory, or begins one. It repairs the torn end that a crash
// leaves and refuses, with a [CorruptError], what a crash cannot explain.
func Open(fsys FS, opts Options) (*Log, Recovered, error) {
	if opts.SegmentSize == 0 {
		opts.SegmentSize = defaultSegmentSize
	}
	if opts.Background == nil {
		opts.Background = func(f func()) { f() }
	}
	l := &Log{fs: fsys, opts: opts, seq: 1}
	if err := fsys.Remove(spareName); err != nil {
		return nil, Recovered{}, fmt.Errorf("remove unfinished segment: %w", err)
	}
	numbers, err := listSegments(fsys)
	if err != nil {
		return nil, Recovered{}, err
	}
	if len(numbers) == 0 {
		return l, Recovered{Clean: true}, l.begin()
	}
	rec, err := l.recover(numbers)
	if err != nil {
		return nil, Recovered{}, err
	}
	return l, rec, nil
}

func (l *Log) begin() error {
	f, err := createZeroed(l.fs, min(l.opts.SegmentSize, firstSegmentSize))
	if err != nil {
		return fmt.Errorf("create the first segment: %w", err)
	}
	h := newHeader(1, l.seq, l.opts.Owner)
	if err := publish(l.fs, f, h); err != nil {
		return errors.Join(fmt.Errorf("create the first segment: %w", err), f.Close())
	}
	return l.use(f, h, headerSize)
}

func listSegments(fsys FS) ([]uint64, error) {
	names, err := fsys.List()
	if err != nil {
		return nil, fmt.Errorf("list segments: %w", err)
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for i := 1; i < len(numbers); i++ {
		if numbers[i] != numbers[i-1]+1 {
			return nil, &CorruptError{segmentName(numbers[i-1] + 1), 0, "segment is missing"}
		}
	}
	return numbers, nil
}

func (l *Log) recover(numbers []uint64) (Recovered, error) {
	walk := walker{fs: l.fs, numbers: numbers}
	var img image
	var tail contents
	err := walk.each(func(name string, c contents) error {
		if c.header.owner != l.opts.Owner {
			return fmt.Errorf("%s belongs to node %s with incarnation %x, not to %s with %x", name,
				c.header.owner.ID, c.header.owner.Incarnation,
				l.opts.Owner.ID, l.opts.Owner.Incarnation)
		}
		info := segmentInfo{number: c.header.number}
		for _, f := range c.frames {
			if err := img.applyFrame(f); err != nil {
				return &CorruptError{name, 0, fmt.Sprintf("frame %d: %v", f.seq, err)}
			}
			if n := len(img.entries); n > 0 {
				info.last = max(info.last, img.entries[n-1].Index)
			}
		}
		l.segments = append(l.segments, info)
		tail = c
		return nil
	})
	if err != nil {
		return Recovered{}, err
	}
	if err := img.finish(); err != nil {
		return Recovered{}, &CorruptError{segmentName(numbers[0]), 0, err.Error()}
	}
	if err := l.dropUnused(walk.unused); err != nil {
		return Recovered{}, err
	}
	l.hs, l.snapshot = img.hs, img.snapshot
	l.seq = tail.header.firstSeq + uint64(len(tail.frames))
	torn, err := l.resume(tail)
	return Recovered{
		HardState: img.hs, Snapshot: img.snapshot, Entries: img.entries,
		TornBytes: torn, Clean: img.clean && torn == 0,
	}, err
}

func (m *image) applyFrame(f frame) error {
	records, err := decodeFrame(f.payload)
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := m.apply(r); err != nil {
			return err
		}
	}
	return nil
}

// dropUnused removes a segment that a crash left between its creation and its first use.
func (l *Log) dropUnused(number uint64) error {
	if number == 0 {
		return nil
	}
	if err := l.fs.Remove(segmentName(number)); err != nil {
		return fmt.Errorf("remove unused segment: %w", err)
	}
	return l.fs.SyncDir()
}

// resume opens the last segment for writing, and repairs its end if that is torn: cut it off, make
// that durable, and preallocate the space again.
func (l *Log) resume(tail contents) (torn int64, err error) {
	name := segmentName(tail.header.number)
	f, err := l.fs.Open(name)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", name, err)
	}
	size, err := f.Size()
	if err == nil && tail.torn {
		torn = size - tail.end
		err = repair(f, tail.end, size)
	}
	if err != nil {
		return 0, errors.Join(fmt.Errorf("repair %s: %w", name, err), f.Close())
	}
	return torn, l.use(f, tail.header, tail.end)
}

func repair(f File, end, size int64) error {
	if err := f.Truncate(end); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return zeroFill(f, end, size)
}

// walker reads the segments of a directory in order and checks how they hang together.
type walker struct {
	fs      FS
	numbers []uint64
	unused  uint64 // a last segment without any frame, whose predecessor goes on; 0 for none
}

func (w *walker) each(visit func(name string, c contents) error) error {
	var prev contents
	for i, number := range w.numbers {
		name := segmentName(number)
		data, err := ReadFile(w.fs, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		c, err := readSegment(name, data)
		last := i == len(w.numbers)-1
		switch {
		case errors.Is(err, errHeader):
			return &CorruptError{name, 0, err.Error()}
		case err != nil:
			return err
		case c.header.number != number:
			return &CorruptError{name, 0, fmt.Sprintf("holds segment %d", c.header.number)}
		}
		if c.sealed, err = sealOf(c); err != nil {
			return &CorruptError{name, c.end, err.Error()}
		}
		if i > 0 && !prev.sealed {
			if len(c.frames) > 0 || c.torn || !last {
				return &CorruptError{segmentName(number - 1), prev.end,
					"ends without a seal, but segments after it are in use"}
			}
			w.unused = number
			return nil
		}
		want := prev.header.firstSeq + uint64(len(prev.frames))
		if i > 0 && c.header.firstSeq != want {
			return &CorruptError{name, 0, fmt.Sprintf(
				"begins with frame %d where %d belongs", c.header.firstSeq, want)}
		}
		if last && c.sealed {
			return &CorruptError{segmentName(number + 1), 0, "the last segment is missing"}
		}
		if c.sealed && c.torn {
			return &CorruptError{name, c.end, "something was written after the seal"}
		}
		if err := visit(name, c); err != nil {
			return err
		}
		prev = c
	}
	return nil
}

// sealOf says whether the last frame is a seal.
func sealOf(c contents) (bool, error) {
	if len(c.frames) == 0 {
		return false, nil
	}
	records, err := decodeFrame(c.frames[len(c.frames)-1].payload)
	if err != nil {
		return false, err
	}
	seal := records[0].Seal
	if seal != 0 && seal != c.header.number+1 {
		return false, fmt.Errorf("the seal names segment %d", seal)
	}
	return seal != 0, nil
}

// Position is where a record stands.
type Position struct {
	File   string
	Offset int64 // of its frame
	Seq    uint64
}

// Scan reports every record in the directory, in order, without changing anything. torn says
// that something that is no whole frame stands at the end.
func Scan(fsys FS, visit func(Position, Record) error) (owner Owner, torn bool, err error) {
	numbers, err := listSegments(fsys)
	if err != nil {
		return Owner{}, false, err
	}
	walk := walker{fs: fsys, numbers: numbers}
	err = walk.each(func(name string, c contents) error {
		owner = c.header.owner
		off := int64(headerSize)
		for _, f := range c.frames {
			records, err := decodeFrame(f.payload)
			if err != nil {
				return &CorruptError{name, off, err.Error()}
			}
			for _, r := range records {
				if err := visit(Position{name, off, f.seq}, r); err != nil {
					return err
				}
			}
			off += f.size
		}
		torn = c.torn
		return nil
	})
	return owner, torn, err
}
