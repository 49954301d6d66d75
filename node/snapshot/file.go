package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// Version is the format written; FORMAT.md describes it.
const Version = 1

const (
	magic       = "RAFTSNAP"
	chunkSize   = 256 << 10
	chunkHeader = 8
	maxMeta     = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Writer writes a snapshot. It becomes visible with Commit, and not before.
type Writer struct {
	store *Store
	file  wal.File
	meta  raft.SnapshotMeta
	off   int64
	crc   uint32
	chunk []byte
}

// Create begins a snapshot.
func (s *Store) Create(meta raft.SnapshotMeta) (*Writer, error) {
	f, err := s.fs.Create(tmpName)
	if err != nil {
		return nil, fmt.Errorf("create snapshot: %w", err)
	}
	w := &Writer{store: s, file: f, meta: meta,
		chunk: make([]byte, chunkHeader, chunkHeader+chunkSize)}
	body := wal.AppendMeta(nil, &meta)
	head := append([]byte(magic), make([]byte, 12)...)
	binary.LittleEndian.PutUint32(head[8:], Version)
	binary.LittleEndian.PutUint32(head[12:], uint32(len(body)))
	head = append(head, body...)
	w.crc = crc32.Checksum(head, castagnoli) // with the field itself zero
	binary.LittleEndian.PutUint32(head[16:], w.crc)
	if err := w.put(head); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

func (w *Writer) put(p []byte) error {
	if _, err := w.file.WriteAt(p, w.off); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	w.off += int64(len(p))
	return nil
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		room := chunkHeader + chunkSize - len(w.chunk)
		k := min(room, len(p))
		w.chunk = append(w.chunk, p[:k]...)
		p = p[k:]
		if k == room {
			if err := w.flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// flush writes the chunk. Its checksum goes on from the chunk before, so chunks cannot be
// exchanged. An empty chunk is the end.
func (w *Writer) flush() error {
	data := w.chunk[chunkHeader:]
	binary.LittleEndian.PutUint32(w.chunk, uint32(len(data)))
	w.crc = crc32.Update(w.crc, castagnoli, w.chunk[:4])
	w.crc = crc32.Update(w.crc, castagnoli, data)
	binary.LittleEndian.PutUint32(w.chunk[4:], w.crc)
	err := w.put(w.chunk)
	w.chunk = w.chunk[:chunkHeader]
	return err
}

// Commit makes the snapshot durable and visible. size is that of the file.
func (w *Writer) Commit() (size int64, err error) {
	if len(w.chunk) > chunkHeader {
		if err := w.flush(); err != nil {
			return 0, errors.Join(err, w.file.Close())
		}
	}
	if err := w.flush(); err != nil {
		return 0, errors.Join(err, w.file.Close())
	}
	if err := w.file.Sync(); err != nil {
		return 0, errors.Join(fmt.Errorf("sync snapshot: %w", err), w.file.Close())
	}
	if err := w.file.Close(); err != nil {
		return 0, err
	}
	return w.off, w.store.publish(tmpName, w.meta)
}

// Abort gives the snapshot up.
func (w *Writer) Abort() error {
	return errors.Join(w.file.Close(), w.store.remove(tmpName))
}

// Reader reads a snapshot and checks it on the way: what it returns is what was written, and io.EOF
// comes only at the true end.
type Reader struct {
	Meta raft.SnapshotMeta
	Size int64 // of the file

	file  wal.File
	name  string
	off   int64
	crc   uint32
	chunk []byte
	done  bool
}

// Open opens a snapshot by the name that Newest or Find returned.
func (s *Store) Open(name string) (*Reader, error) {
	f, err := s.fs.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	r := &Reader{file: f, name: name}
	if err := r.begin(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func (r *Reader) begin() (err error) {
	if r.Size, err = r.file.Size(); err != nil {
		return err
	}
	var head [20]byte
	if err := r.take(head[:]); err != nil {
		return err
	}
	if string(head[:8]) != magic {
		return r.damaged("no magic")
	}
	if v := binary.LittleEndian.Uint32(head[8:]); v != Version {
		return r.damaged(fmt.Sprintf("version %d, this program reads %d", v, Version))
	}
	n := binary.LittleEndian.Uint32(head[12:])
	if n > maxMeta {
		return r.damaged("header too long")
	}
	body := make([]byte, n)
	if err := r.take(body); err != nil {
		return err
	}
	want := binary.LittleEndian.Uint32(head[16:])
	clear(head[16:])
	r.crc = crc32.Update(crc32.Checksum(head[:], castagnoli), castagnoli, body)
	if r.crc != want {
		return r.damaged("checksum of the header")
	}
	meta, rest, err := wal.DecodeMeta(body)
	if err != nil || len(rest) > 0 {
		return r.damaged("header malformed")
	}
	r.Meta = *meta
	return nil
}

func (r *Reader) damaged(reason string) error { return &DamagedError{r.name, reason} }

// take reads exactly len(p) bytes.
func (r *Reader) take(p []byte) error {
	n, err := r.file.ReadAt(p, r.off)
	r.off += int64(n)
	switch {
	case n == len(p):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return r.damaged("it is cut short")
	}
	return fmt.Errorf("read snapshot: %w", err)
}

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(r.chunk) == 0 {
		if err := r.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.chunk)
	r.chunk = r.chunk[n:]
	return n, nil
}

func (r *Reader) next() error {
	if r.done {
		return io.EOF
	}
	var head [chunkHeader]byte
	if err := r.take(head[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > chunkSize {
		return r.damaged("chunk too long")
	}
	data := make([]byte, n)
	if err := r.take(data); err != nil {
		return err
	}
	r.crc = crc32.Update(r.crc, castagnoli, head[:4])
	r.crc = crc32.Update(r.crc, castagnoli, data)
	if r.crc != binary.LittleEndian.Uint32(head[4:]) {
		return r.damaged("checksum")
	}
	if n == 0 {
		r.done = true
		if r.off != r.Size {
			return r.damaged("something follows the end")
		}
		return io.EOF
	}
	r.chunk = data
	return nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
