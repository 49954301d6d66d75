package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/raftcheck/raftcheck/node/raft"
)

// Version is the format written; FORMAT.md describes it.
const Version = 1

const (
	magic       = "RAFTWAL\n"
	headerSize  = 64
	frameHeader = 24
	alignment   = 8
	// maxFrame bounds what a length field may claim.
	maxFrame = 1 << 30
)

// Owner is whose log it is. A segment that was copied in from elsewhere is refused.
type Owner struct {
	ID          raft.ID
	Incarnation [16]byte
}

// CorruptError says that the log is damaged in a way that a crash does not explain: records were
// durable once and cannot be read now. A node must not start from it, since it may have voted or
// acknowledged what is lost.
type CorruptError struct {
	File   string
	Offset int64
	Reason string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("write-ahead log is corrupt: %s at offset %d: %s", e.File, e.Offset, e.Reason)
}

// ErrFormat says that a segment was written by something that this version does not read.
var ErrFormat = errors.New("unknown format")

func segmentName(number uint64) string { return fmt.Sprintf("wal-%016x.seg", number) }

// segmentNumber reads a number back from a file name; ok is false for files of other kinds.
func segmentNumber(name string) (number uint64, ok bool) {
	hex, found := strings.CutPrefix(name, "wal-")
	hex, isSeg := strings.CutSuffix(hex, ".seg")
	number, err := strconv.ParseUint(hex, 16, 64)
	return number, found && isSeg && err == nil && segmentName(number) == name
}

// segmentHeader opens each file. The epoch is in every frame, so that a frame can only be read in
// the segment that it was written to.
type segmentHeader struct {
	number   uint64
	epoch    uint64
	firstSeq uint64
	owner    Owner
}

func newHeader(number, firstSeq uint64, owner Owner) segmentHeader {
	h := fnv.New64a()
	h.Write(owner.Incarnation[:])
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(owner.ID)))
	h.Write(binary.LittleEndian.AppendUint64(nil, number))
	return segmentHeader{number: number, epoch: h.Sum64(), firstSeq: firstSeq, owner: owner}
}

func (h segmentHeader) encode() []byte {
	buf := make([]byte, headerSize)
	copy(buf, magic)
	le := binary.LittleEndian
	le.PutUint32(buf[8:], Version)
	le.PutUint64(buf[16:], h.number)
	le.PutUint64(buf[24:], h.epoch)
	le.PutUint64(buf[32:], h.firstSeq)
	le.PutUint64(buf[40:], uint64(h.owner.ID))
	copy(buf[48:], h.owner.Incarnation[:])
	le.PutUint32(buf[12:], crc32.Checksum(buf, castagnoli))
	return buf
}

var errHeader = errors.New("segment header is damaged")

func decodeHeader(data []byte) (segmentHeader, error) {
	var h segmentHeader
	if len(data) < headerSize || string(data[:8]) != magic {
		return h, errHeader
	}
	le := binary.LittleEndian
	buf := bytes.Clone(data[:headerSize])
	le.PutUint32(buf[12:], 0)
	if crc32.Checksum(buf, castagnoli) != le.Uint32(data[12:]) {
		return h, errHeader
	}
	if v := le.Uint32(data[8:]); v != Version {
		return h, fmt.Errorf("%w: version %d of the write-ahead log; this program reads %d",
			ErrFormat, v, Version)
	}
	h.number = le.Uint64(data[16:])
	h.epoch = le.Uint64(data[24:])
	h.firstSeq = le.Uint64(data[32:])
	h.owner.ID = raft.ID(le.Uint64(data[40:]))
	copy(h.owner.Incarnation[:], data[48:64])
	return h, nil
}

// sealFrame completes a frame whose payload stands after frameHeader free bytes at the start of
// buf.
func sealFrame(buf []byte, epoch, seq uint64) []byte {
	le := binary.LittleEndian
	le.PutUint32(buf, uint32(len(buf)-frameHeader))
	le.PutUint32(buf[4:], 0)
	le.PutUint64(buf[8:], epoch)
	le.PutUint64(buf[16:], seq)
	le.PutUint32(buf[4:], crc32.Checksum(buf, castagnoli))
	for len(buf)%alignment != 0 {
		buf = append(buf, 0)
	}
	return buf
}

type frame struct {
	seq     uint64
	payload []byte
	size    int64 // on disk, padding included
}

// frameAt reads the frame that begins at off. It believes nothing that the checksum does not cover.
func frameAt(data []byte, off int64, epoch uint64) (frame, bool) {
	if off+frameHeader > int64(len(data)) {
		return frame{}, false
	}
	le, head := binary.LittleEndian, data[off:]
	size := int64(le.Uint32(head))
	if size == 0 || size > maxFrame || frameHeader+size > int64(len(head)) ||
		le.Uint64(head[8:]) != epoch {
		return frame{}, false
	}
	crc := crc32.Update(0, castagnoli, head[:4])
	crc = crc32.Update(crc, castagnoli, []byte{0, 0, 0, 0})
	crc = crc32.Update(crc, castagnoli, head[8:frameHeader+size])
	if crc != le.Uint32(head[4:]) {
		return frame{}, false
	}
	return frame{
		seq: le.Uint64(head[16:]), payload: head[frameHeader : frameHeader+size : frameHeader+size],
		size: (frameHeader + size + alignment - 1) / alignment * alignment,
	}, true
}

// contents is what reading a segment found.
type contents struct {
	header segmentHeader
	frames []frame
	end    int64 // where the next frame would go
	sealed bool
	// torn says that something that is no whole frame stands at end: a write that a crash cut off.
	torn bool
}

// readSegment reads the frames of one segment and decides what its end means:
//
//	zeros           nothing was written there
//	a broken frame  a torn write, if nothing that was written later is readable
//	                corruption, if something is: a frame is written only after the one before
//	                it is durable, so a later frame proves that this one was whole once
func readSegment(name string, data []byte) (contents, error) {
	h, err := decodeHeader(data)
	if err != nil {
		return contents{}, err
	}
	c := contents{header: h, end: headerSize}
	for seq := h.firstSeq; ; seq++ {
		f, ok := frameAt(data, c.end, h.epoch)
		if !ok {
			break
		}
		if f.seq != seq {
			return c, &CorruptError{name, c.end, fmt.Sprintf("frame %d where %d belongs", f.seq, seq)}
		}
		c.frames = append(c.frames, f)
		c.end += f.size
	}
	if c.end > int64(len(data)) {
		c.end = int64(len(data)) // only the padding of the last frame is missing
	}
	rest := data[c.end:]
	if allZero(rest) {
		return c, nil
	}
	c.torn = true
	if off, found := findLater(rest, h.epoch, h.firstSeq+uint64(len(c.frames))); found {
		return c, &CorruptError{name, c.end, fmt.Sprintf(
			"unreadable here, but later records exist at offset %d", c.end+off)}
	}
	return c, nil
}

// findLater looks for a sign that something was written after the broken frame at the start of
// rest.
func findLater(rest []byte, epoch, seq uint64) (off int64, found bool) {
	le := binary.LittleEndian
	if len(rest) >= frameHeader && le.Uint32(rest) > 0 &&
		le.Uint64(rest[8:]) == epoch && le.Uint64(rest[16:]) == seq {
		// Both ends of the header were written, so the length is true unless it is what rotted.
		end := (int64(le.Uint32(rest)) + frameHeader + alignment - 1) / alignment * alignment
		if end < int64(len(rest)) && !allZero(rest[end:]) {
			return end, true
		}
	}
	for off = alignment; off+frameHeader <= int64(len(rest)); off += alignment {
		if f, ok := frameAt(rest, off, epoch); ok && f.seq > seq {
			return off, true
		}
	}
	return 0, false
}

func allZero(data []byte) bool {
	var zeros [4096]byte
	for len(data) > 0 {
		n := min(len(data), len(zeros))
		if !bytes.Equal(data[:n], zeros[:n]) {
			return false
		}
		data = data[n:]
	}
	return true
}
