// Package wal keeps a node's log and hard state on disk: a write-ahead log in segments, in which a
// batch of changes is one frame, one write and one fdatasync.
//
//	wal-0000000000000001.seg   wal-0000000000000002.seg
//	┌──────┬───────┬───────┬────┐  ┌──────┬──────────┬───────┬─────────────┐
//	│header│frame 1│frame 2│seal│  │header│frame 4   │frame 5│ zeros       │
//	└──────┴───────┴───────┴────┘  └──────┴──────────┴───────┴─────────────┘
//	                                       checkpoint first
//
// What it promises:
//
//  1. When Save returns nil, everything in the batch survives a crash. When it does not, the log
//     takes nothing any more: after a failed fsync nobody knows what is on the disk (Rebello et
//     al., "Can Applications Recover from fsync Failures?", ATC 2020), so the node has to stop.
//  2. A frame is written only after the one before it is durable. So a broken frame at the very end
//     is a write that a crash cut off, and is removed; a broken frame with anything behind it is
//     damage, and Open refuses with a [CorruptError] instead of forgetting what was acknowledged.
//  3. Segments are filled with zeros before they are used: overwriting blocks that exist costs no
//     journal commit, which halves the time of a sync on ext4.
//
// FORMAT.md describes the bytes.
package wal

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/raftcheck/raftcheck/node/raft"
)

// Options says whose log it is and how large its files are.
type Options struct {
	Owner Owner
	// SegmentSize is what a segment is preallocated to, in bytes; 0 is 16 MiB. The very first
	// segment is 1 MiB at most, so that a new node is up at once.
	SegmentSize int64
	// Background runs f, which prepares the next segment, beside everything else. nil runs it
	// at once, in the calling goroutine, which the simulator wants.
	Background func(f func())
}

const (
	defaultSegmentSize = 16 << 20
	firstSegmentSize   = 1 << 20
	zeroChunk          = 256 << 10
	spareName          = "wal-spare.tmp"
)

// ErrBroken is what every call returns after a write or sync has failed.
var ErrBroken = errors.New("write-ahead log failed before")

// Log is an open log. One goroutine at a time may use it; Stats may be called from any.
type Log struct {
	fs   FS
	opts Options

	file     File
	header   segmentHeader
	off, end int64 // where the next frame goes; how much of the file is preallocated
	seq      uint64
	buf      []byte

	hs       raft.HardState
	snapshot *raft.SnapshotMeta
	segments []segmentInfo // oldest first, the current one last

	spare  chan spareResult // of capacity 1; nil while none is being prepared
	broken error

	frames, syncs, bytes atomic.Uint64
}

// segmentInfo is what compaction needs to know of a segment.
type segmentInfo struct {
	number uint64
	last   raft.Index // the highest index of any entry in it
}

type spareResult struct {
	file File
	err  error
}

// Stats counts work done since the log was opened.
type Stats struct {
	Frames, Syncs, Bytes uint64
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	return Stats{l.frames.Load(), l.syncs.Load(), l.bytes.Load()}
}

// Save makes the batches durable, in order, as one frame. On any error the log is broken: the batch
// may or may not be on the disk, and nothing else will be taken.
func (l *Log) Save(batches ...Batch) error {
	if l.broken != nil {
		return fmt.Errorf("%w: %w", ErrBroken, l.broken)
	}
	l.buf = append(l.buf[:0], make([]byte, frameHeader)...)
	for i := range batches {
		l.buf = appendBatch(l.buf, &batches[i])
	}
	if len(l.buf) == frameHeader {
		return nil
	}
	if err := l.save(batches); err != nil {
		l.broken = err
		return err
	}
	return nil
}

func (l *Log) save(batches []Batch) error {
	if l.off+int64(len(l.buf))+2*frameHeader > l.end && l.off > headerSize {
		if err := l.roll(); err != nil {
			return err
		}
	}
	if l.off == headerSize {
		l.buf = append(l.checkpoint(), l.buf[frameHeader:]...)
	}
	if err := l.writeFrame(); err != nil {
		return err
	}
	marked := false
	for i := range batches {
		marked = l.note(&batches[i]) || marked
	}
	if marked {
		return l.dropObsolete()
	}
	l.prepareSpare()
	return nil
}

// note keeps in mind what a durable batch changed, and says whether it moved the snapshot.
func (l *Log) note(b *Batch) (marked bool) {
	if b.HardState != nil {
		l.hs = *b.HardState
	}
	if b.Snapshot != nil {
		l.snapshot, marked = b.Snapshot, true
	}
	if b.Reset != nil {
		l.snapshot, marked = b.Reset, true
	}
	if n := len(b.Append); n > 0 {
		cur := &l.segments[len(l.segments)-1]
		cur.last = max(cur.last, b.Append[n-1].Index)
	}
	return marked
}

// checkpoint begins a frame with everything that older segments say besides entries. It is in the
// first frame of each segment, so that those before it can be deleted later.
func (l *Log) checkpoint() []byte {
	return appendBatch(make([]byte, frameHeader),
		&Batch{HardState: &l.hs, Snapshot: l.snapshot})
}

// writeFrame writes and syncs what stands in l.buf behind the space for the frame header.
func (l *Log) writeFrame() error {
	if len(l.buf) > maxFrame {
		return fmt.Errorf("frame of %d bytes exceeds %d", len(l.buf), maxFrame)
	}
	l.buf = sealFrame(l.buf, l.header.epoch, l.seq)
	if _, err := l.file.WriteAt(l.buf, l.off); err != nil {
		return fmt.Errorf("write frame %d to segment %d: %w", l.seq, l.header.number, err)
	}
	if err := l.file.Sync(); err != nil {
		return fmt.Errorf("sync frame %d in segment %d: %w", l.seq, l.header.number, err)
	}
	l.off += int64(len(l.buf))
	l.end = max(l.end, l.off)
	l.seq++
	l.frames.Add(1)
	l.syncs.Add(1)
	l.bytes.Add(uint64(len(l.buf)))
	if cap(l.buf) > 4<<20 {
		l.buf = nil
	}
	return nil
}

// dropObsolete deletes the segments of which all entries lie in the snapshot, oldest first and each
// durably, so that there never is a gap between those that remain.
func (l *Log) dropObsolete() error {
	for len(l.segments) > 1 && l.segments[0].last <= l.snapshot.Index {
		if err := l.fs.Remove(segmentName(l.segments[0].number)); err != nil {
			return fmt.Errorf("drop segment: %w", err)
		}
		if err := l.fs.SyncDir(); err != nil {
			return err
		}
		l.segments = l.segments[1:]
	}
	return nil
}

// Close notes that the node stops in good order and closes the files. Without it nothing that was
// saved is lost; the mark only lets the next Open tell a damaged last frame from a torn one.
func (l *Log) Close() error {
	if l.broken == nil {
		l.buf = make([]byte, frameHeader)
		if l.off == headerSize {
			l.buf = l.checkpoint()
		}
		l.buf = append(l.buf, recClose)
		l.broken = l.writeFrame()
	}
	failed := l.broken
	return errors.Join(failed, l.Abandon())
}

// Abandon closes the files without the mark that Close writes: the log then looks as after a crash.
func (l *Log) Abandon() error {
	if l.broken == nil {
		l.broken = errors.New("closed")
	}
	var err error
	if l.spare != nil {
		if s := <-l.spare; s.file != nil {
			err = s.file.Close()
		}
		l.spare = nil
	}
	return errors.Join(err, l.file.Close())
}
