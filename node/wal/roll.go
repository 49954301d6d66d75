package wal

import (
	"errors"
	"fmt"
)

// roll goes on in a new segment. The order matters: the new file exists durably before the old one
// is sealed, and the old one is sealed before the new one is used. So a log whose last segment is
// sealed has lost its end, and one with frames behind an unsealed segment is damaged.
func (l *Log) roll() error {
	f, err := l.takeSpare()
	if err != nil {
		return fmt.Errorf("prepare segment %d: %w", l.header.number+1, err)
	}
	// The seal is frame l.seq of the old segment; the new one begins with the frame after it.
	next := newHeader(l.header.number+1, l.seq+1, l.opts.Owner)
	if err := publish(l.fs, f, next); err != nil {
		return errors.Join(fmt.Errorf("begin segment %d: %w", next.number, err), f.Close())
	}
	pending := l.buf
	l.buf = appendSeal(make([]byte, frameHeader), next.number)
	if err := l.writeFrame(); err != nil {
		return errors.Join(err, f.Close())
	}
	l.buf = pending
	if err := l.file.Close(); err != nil {
		return errors.Join(err, f.Close())
	}
	return l.use(f, next, headerSize)
}

// use makes f the current segment, of which the next frame goes to off.
func (l *Log) use(f File, h segmentHeader, off int64) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	l.file, l.header, l.off, l.end = f, h, off, size
	if n := len(l.segments); n == 0 || l.segments[n-1].number != h.number {
		l.segments = append(l.segments, segmentInfo{number: h.number})
	}
	return nil
}

// publish writes the header of a prepared file and gives the file its name, durably.
func publish(fsys FS, f File, h segmentHeader) error {
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := fsys.Rename(spareName, segmentName(h.number)); err != nil {
		return err
	}
	return fsys.SyncDir()
}

// takeSpare returns the file that was prepared in the background, or prepares one now.
func (l *Log) takeSpare() (File, error) {
	if l.spare != nil {
		s := <-l.spare
		l.spare = nil
		return s.file, s.err
	}
	return createZeroed(l.fs, min(l.opts.SegmentSize, firstSegmentSize))
}

// prepareSpare starts to fill the next segment when the current one is half full.
func (l *Log) prepareSpare() {
	if l.spare != nil || l.off < l.end/2 {
		return
	}
	ch := make(chan spareResult, 1)
	fsys, size := l.fs, l.opts.SegmentSize
	l.spare = ch
	l.opts.Background(func() {
		f, err := createZeroed(fsys, size)
		ch <- spareResult{f, err}
	})
}

func createZeroed(fsys FS, size int64) (File, error) {
	f, err := fsys.Create(spareName)
	if err != nil {
		return nil, err
	}
	if err := zeroFill(f, 0, size); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// zeroFill writes zeros from off to size and syncs often, so that a sync of the log beside it never
// waits for much.
func zeroFill(f File, off, size int64) error {
	zeros := make([]byte, zeroChunk)
	for n := 0; off < size; n++ {
		chunk := zeros[:min(int64(len(zeros)), size-off)]
		if _, err := f.WriteAt(chunk, off); err != nil {
			return err
		}
		off += int64(len(chunk))
		if n%4 == 3 {
			if err := f.Sync(); err != nil {
				return err
			}
		}
	}
	return f.Sync()
}
