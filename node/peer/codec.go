package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// A frame is length u32, CRC-32C u32 of the payload, payload: the id of a message as a uvarint, and
// the message. Little-endian.
const (
	frameHeader = 8
	// MaxFrame bounds the payload of a frame, in bytes.
	MaxFrame = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrFrame says that what came over a connection is no valid frame. The connection is then of no
// use.
var ErrFrame = errors.New("bad frame")

const (
	flagReject byte = 1 << iota
	flagForce
	flagEntries
	flagSnapshot
)

// AppendMessage encodes a message behind dst; [DecodeMessage] reads it back.
func AppendMessage(dst []byte, m *raft.Message) []byte {
	var flags byte
	if m.Reject {
		flags |= flagReject
	}
	if m.Force {
		flags |= flagForce
	}
	if len(m.Entries) > 0 {
		flags |= flagEntries
	}
	if m.Snapshot != nil {
		flags |= flagSnapshot
	}
	dst = append(dst, byte(m.Kind), flags)
	for _, v := range [...]uint64{
		uint64(m.From), uint64(m.To), uint64(m.Term), uint64(m.Index), uint64(m.LogTerm),
		uint64(m.Commit), uint64(m.Refused), m.Context,
	} {
		dst = binary.AppendUvarint(dst, v)
	}
	if len(m.Entries) > 0 {
		dst = wal.AppendEntries(dst, m.Entries)
	}
	if m.Snapshot != nil {
		dst = wal.AppendMeta(dst, m.Snapshot)
	}
	return dst
}

// DecodeMessage reads what [AppendMessage] wrote. The entries' data point into the input.
func DecodeMessage(data []byte) (raft.Message, error) {
	if len(data) < 2 {
		return raft.Message{}, fmt.Errorf("%w: message of %d bytes", ErrFrame, len(data))
	}
	m := raft.Message{Kind: raft.MessageKind(data[0])}
	flags := data[1]
	data = data[2:]
	var v [8]uint64
	for i := range v {
		var n int
		if v[i], n = binary.Uvarint(data); n <= 0 {
			return raft.Message{}, fmt.Errorf("%w: message is cut short", ErrFrame)
		}
		data = data[n:]
	}
	m.From, m.To, m.Term = raft.ID(v[0]), raft.ID(v[1]), raft.Term(v[2])
	m.Index, m.LogTerm = raft.Index(v[3]), raft.Term(v[4])
	m.Commit, m.Refused, m.Context = raft.Index(v[5]), raft.Index(v[6]), v[7]
	m.Reject, m.Force = flags&flagReject != 0, flags&flagForce != 0
	var err error
	if flags&flagEntries != 0 {
		if m.Entries, data, err = wal.DecodeEntries(data); err != nil {
			return raft.Message{}, fmt.Errorf("%w: %w", ErrFrame, err)
		}
	}
	if flags&flagSnapshot != 0 {
		if m.Snapshot, data, err = wal.DecodeMeta(data); err != nil {
			return raft.Message{}, fmt.Errorf("%w: %w", ErrFrame, err)
		}
	}
	if m.Kind < raft.MsgPreVote || m.Kind > raft.MsgReadIndexResp || len(data) > 0 {
		return raft.Message{}, fmt.Errorf("%w: kind %d, %d bytes left over", ErrFrame, m.Kind, len(data))
	}
	return m, nil
}

// Envelope is a message on its way.
type Envelope struct {
	raft.Message
	// ID is unique among the messages of all nodes that have one, in all their lives; so that
	// what was sent can be found in the traces of sender and receiver. Zero for none.
	ID uint64
}

// AppendFrame encodes a message as a frame behind dst.
func AppendFrame(dst []byte, e *Envelope) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, frameHeader)...)
	dst = binary.AppendUvarint(dst, e.ID)
	dst = AppendMessage(dst, &e.Message)
	payload := dst[start+frameHeader:]
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(dst[start+4:], crc32.Checksum(payload, castagnoli))
	return dst
}

// parseHeader reads the length and checksum of a frame.
func parseHeader(head []byte) (size int, crc uint32, err error) {
	n := binary.LittleEndian.Uint32(head)
	if n > MaxFrame {
		return 0, 0, fmt.Errorf("%w: length %d", ErrFrame, n)
	}
	return int(n), binary.LittleEndian.Uint32(head[4:]), nil
}

// decodePayload checks and decodes the payload of a frame.
func decodePayload(payload []byte, crc uint32) (Envelope, error) {
	if got := crc32.Checksum(payload, castagnoli); got != crc {
		return Envelope{}, fmt.Errorf("%w: checksum %08x, it should be %08x", ErrFrame, got, crc)
	}
	id, n := binary.Uvarint(payload)
	if n <= 0 {
		return Envelope{}, fmt.Errorf("%w: no id", ErrFrame)
	}
	m, err := DecodeMessage(payload[n:])
	return Envelope{m, id}, err
}
