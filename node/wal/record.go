package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/raftcheck/raftcheck/node/raft"
)

// Batch is one change to the log, in the order of its fields; everything in it becomes durable
// together or not at all.
type Batch struct {
	HardState *raft.HardState
	// Snapshot says that the state up to its Index is kept elsewhere, durably. The entries up to
	// there are dropped; later ones stay if the log holds the entry (Index, Term), else they go.
	Snapshot *raft.SnapshotMeta
	// Reset is a Snapshot after which no entry stays, whatever the log holds.
	Reset    *raft.SnapshotMeta
	Truncate raft.Index // discard the entries from here on; 0 for none
	Append   []raft.Entry
}

// Empty says that there is nothing to save.
func (b *Batch) Empty() bool {
	return b.HardState == nil && b.Snapshot == nil && b.Reset == nil &&
		b.Truncate == 0 && len(b.Append) == 0
}

// The types of record inside a frame; FORMAT.md describes their bodies.
const (
	recHardState byte = iota + 1
	recSnapshot
	recTruncate
	recEntries
	recSeal
	recClose
	recReset
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errMalformed = errors.New("malformed record")

func appendBatch(dst []byte, b *Batch) []byte {
	if hs := b.HardState; hs != nil {
		dst = append(dst, recHardState)
		dst = binary.AppendUvarint(dst, uint64(hs.Term))
		dst = binary.AppendUvarint(dst, uint64(hs.Vote))
	}
	if b.Snapshot != nil {
		dst = AppendMeta(append(dst, recSnapshot), b.Snapshot)
	}
	if b.Reset != nil {
		dst = AppendMeta(append(dst, recReset), b.Reset)
	}
	if b.Truncate > 0 {
		dst = append(dst, recTruncate)
		dst = binary.AppendUvarint(dst, uint64(b.Truncate))
	}
	if len(b.Append) > 0 {
		dst = AppendEntries(append(dst, recEntries), b.Append)
	}
	return dst
}

func appendSeal(dst []byte, next uint64) []byte {
	return binary.AppendUvarint(append(dst, recSeal), next)
}

// AppendEntries encodes consecutive entries; [DecodeEntries] reads them back.
func AppendEntries(dst []byte, entries []raft.Entry) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(entries)))
	if len(entries) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(entries[0].Index))
	for i := range entries {
		e := &entries[i]
		dst = binary.AppendUvarint(dst, uint64(e.Term))
		dst = append(dst, byte(e.Kind))
		dst = binary.AppendUvarint(dst, uint64(len(e.Data)))
		dst = append(dst, e.Data...)
	}
	return dst
}

// AppendMeta encodes what a snapshot stands for; [DecodeMeta] reads it back.
func AppendMeta(dst []byte, m *raft.SnapshotMeta) []byte {
	dst = binary.AppendUvarint(dst, uint64(m.Index))
	dst = binary.AppendUvarint(dst, uint64(m.Term))
	for _, ids := range [][]raft.ID{m.Config.Voters, m.Config.Old, m.Config.Learners} {
		dst = binary.AppendUvarint(dst, uint64(len(ids)))
		for _, id := range ids {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
	}
	return dst
}

// reader takes values off the front of a slice; after the first mistake it yields zeros and keeps
// the error, so that decoders read straight down.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.bad = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

// count reads a number of things of which each takes at least min bytes, so that a wrong number
// cannot ask for more memory than the input is long.
func (r *reader) count(minBytes int) int {
	n := r.uvarint()
	if n > uint64(len(r.data)/minBytes) {
		r.bad, r.data = true, nil
		return 0
	}
	return int(n)
}

func (r *reader) bytes(n uint64) []byte {
	if n > uint64(len(r.data)) {
		r.bad, r.data = true, nil
		return nil
	}
	b := r.data[:n:n]
	r.data = r.data[n:]
	return b
}

// DecodeEntries reads what [AppendEntries] wrote and returns the rest. The entries' data point into
// the input.
func DecodeEntries(data []byte) (entries []raft.Entry, rest []byte, err error) {
	r := reader{data: data}
	entries = r.entries()
	if r.bad {
		return nil, nil, fmt.Errorf("entries: %w", errMalformed)
	}
	return entries, r.data, nil
}

func (r *reader) entries() []raft.Entry {
	n := r.count(3)
	if n == 0 {
		return nil
	}
	index := raft.Index(r.uvarint())
	entries := make([]raft.Entry, n)
	for i := range entries {
		entries[i] = raft.Entry{
			Index: index + raft.Index(i),
			Term:  raft.Term(r.uvarint()),
			Kind:  raft.EntryKind(r.byte()),
		}
		if size := r.uvarint(); size > 0 {
			entries[i].Data = r.bytes(size)
		}
	}
	return entries
}

// DecodeMeta reads what [AppendMeta] wrote and returns the rest.
func DecodeMeta(data []byte) (m *raft.SnapshotMeta, rest []byte, err error) {
	r := reader{data: data}
	m = r.meta()
	if r.bad {
		return nil, nil, fmt.Errorf("snapshot mark: %w", errMalformed)
	}
	return m, r.data, nil
}

func (r *reader) meta() *raft.SnapshotMeta {
	m := &raft.SnapshotMeta{Index: raft.Index(r.uvarint()), Term: raft.Term(r.uvarint())}
	for _, ids := range []*[]raft.ID{&m.Config.Voters, &m.Config.Old, &m.Config.Learners} {
		for range r.count(1) {
			*ids = append(*ids, raft.ID(r.uvarint()))
		}
	}
	return m
}

// Record is one thing that a frame says, as [Scan] reports it; exactly one field is set.
type Record struct {
	HardState *raft.HardState
	Snapshot  *raft.SnapshotMeta
	Reset     *raft.SnapshotMeta
	Truncate  raft.Index
	Entries   []raft.Entry
	Seal      uint64 // the segment goes on in the one with this number
	Close     bool   // the node stopped cleanly here
}

// empty says that the record says nothing, which no writer writes.
func (r *Record) empty() bool {
	return r.HardState == nil && r.Snapshot == nil && r.Reset == nil && r.Truncate == 0 &&
		len(r.Entries) == 0 && r.Seal == 0 && !r.Close
}

// decodeFrame splits the payload of a frame into its records.
func decodeFrame(payload []byte) ([]Record, error) {
	r := reader{data: payload}
	var records []Record
	for len(r.data) > 0 {
		var rec Record
		switch typ := r.byte(); typ {
		case recHardState:
			rec.HardState = &raft.HardState{
				Term: raft.Term(r.uvarint()), Vote: raft.ID(r.uvarint()),
			}
		case recSnapshot:
			rec.Snapshot = r.meta()
		case recReset:
			rec.Reset = r.meta()
		case recTruncate:
			rec.Truncate = raft.Index(r.uvarint())
		case recEntries:
			rec.Entries = r.entries()
		case recSeal:
			rec.Seal = r.uvarint()
		case recClose:
			rec.Close = true
		default:
			return nil, fmt.Errorf("record type %d: %w", typ, errMalformed)
		}
		if r.bad || rec.empty() {
			return nil, errMalformed
		}
		records = append(records, rec)
	}
	return records, nil
}
