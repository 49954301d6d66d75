package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// The transfer: the fetching side says which snapshot it has a part of, the other side names its
// newest one and sends the file from there on, or from the start if it is another one.
//
//	fetch: index u64, term u64, size u64, offset u64   (zero for nothing)
//	serve: index u64, term u64, size u64, offset u64, bytes of the file from offset on
//	       (index zero: there is none)
const requestSize = 32

// progressLimit is how long either side waits for the other to take or send the next piece.
const progressLimit = 10 * time.Second

// Conn is what a transfer needs of a connection.
type Conn interface {
	io.ReadWriter
	SetDeadline(t time.Time) error
}

type part struct {
	index raft.Index
	term  raft.Term
	size  int64
}

func (p part) name() string {
	return fmt.Sprintf("%s%x-%x-%x", partPrefix, uint64(p.index), uint64(p.term), p.size)
}

func parsePart(name string) (p part, ok bool) {
	if !strings.HasPrefix(name, partPrefix) {
		return part{}, false
	}
	_, err := fmt.Sscanf(name, partPrefix+"%x-%x-%x", &p.index, &p.term, &p.size)
	return p, err == nil && p.name() == name
}

func encode(p part, offset int64) []byte {
	b := make([]byte, 0, requestSize)
	for _, v := range [...]uint64{uint64(p.index), uint64(p.term), uint64(p.size), uint64(offset)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decode(r io.Reader) (p part, offset int64, err error) {
	var b [requestSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return part{}, 0, err
	}
	le := binary.LittleEndian
	p = part{raft.Index(le.Uint64(b[:])), raft.Term(le.Uint64(b[8:])), int64(le.Uint64(b[16:]))}
	if offset = int64(le.Uint64(b[24:])); offset < 0 || p.size < 0 || offset > p.size {
		return part{}, 0, errors.New("malformed request")
	}
	return p, offset, nil
}

// Serve sends the newest snapshot over a connection.
func (s *Store) Serve(conn Conn) error {
	if err := conn.SetDeadline(time.Now().Add(progressLimit)); err != nil {
		return err
	}
	has, offset, err := decode(conn)
	if err != nil {
		return fmt.Errorf("serve snapshot: %w", err)
	}
	name, err := s.Newest()
	if errors.Is(err, ErrNone) {
		_, err = conn.Write(encode(part{}, 0))
		return err
	}
	if err != nil {
		return err
	}
	f, err := s.fs.Open(name)
	if err != nil {
		return fmt.Errorf("serve snapshot: %w", err)
	}
	defer f.Close()
	index, term, _ := parseName(name)
	size, err := f.Size()
	if err != nil {
		return err
	}
	mine := part{index, term, size}
	if has != mine {
		offset = 0
	}
	if _, err := conn.Write(encode(mine, offset)); err != nil {
		return fmt.Errorf("serve snapshot: %w", err)
	}
	return send(conn, f, offset, size)
}

func send(conn Conn, f wal.File, offset, size int64) error {
	buf := make([]byte, chunkSize)
	for offset < size {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), size-offset)], offset)
		if n == 0 {
			return fmt.Errorf("serve snapshot: %w", err)
		}
		if err := conn.SetDeadline(time.Now().Add(progressLimit)); err != nil {
			return err
		}
		if _, err := conn.Write(buf[:n]); err != nil {
			return fmt.Errorf("serve snapshot: %w", err)
		}
		offset += int64(n)
	}
	return nil
}

// Fetch reads the newest snapshot of the other side of a connection, going on where an earlier call
// broke off, and returns it when it has been checked and is durable. One that is older than least
// is refused: it would be of no use.
func (s *Store) Fetch(conn Conn, least raft.Index) (raft.SnapshotMeta, error) {
	has, offset, err := s.findPart()
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	if err := conn.SetDeadline(time.Now().Add(progressLimit)); err != nil {
		return raft.SnapshotMeta{}, err
	}
	if _, err := conn.Write(encode(has, offset)); err != nil {
		return raft.SnapshotMeta{}, err
	}
	theirs, start, err := decode(conn)
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	if theirs.index < least || theirs.index == 0 {
		return raft.SnapshotMeta{}, fmt.Errorf("the peer's newest snapshot is of %d, not %d or later",
			theirs.index, least)
	}
	if err := s.receive(conn, theirs, start); err != nil {
		return raft.SnapshotMeta{}, err
	}
	return s.accept(theirs)
}

// findPart looks for a part that was fetched before.
func (s *Store) findPart() (p part, offset int64, err error) {
	names, err := s.fs.List()
	if err != nil {
		return part{}, 0, err
	}
	for _, name := range names {
		p, ok := parsePart(name)
		if !ok {
			continue
		}
		f, err := s.fs.Open(name)
		if err != nil {
			return part{}, 0, err
		}
		offset, err = f.Size()
		if err = errors.Join(err, f.Close()); err != nil {
			return part{}, 0, err
		}
		if offset <= p.size {
			return p, offset, nil
		}
	}
	return part{}, 0, nil
}

// dropParts removes all parts but the one that is wanted.
func (s *Store) dropParts(but string) error {
	names, err := s.fs.List()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, ok := parsePart(name); ok && name != but {
			if err := s.remove(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) receive(conn Conn, p part, offset int64) error {
	if err := s.dropParts(p.name()); err != nil {
		return err
	}
	open := s.fs.Open
	if offset == 0 {
		open = s.fs.Create
	}
	f, err := open(p.name())
	if err != nil {
		return err
	}
	buf := make([]byte, chunkSize)
	for offset < p.size {
		if err = conn.SetDeadline(time.Now().Add(progressLimit)); err != nil {
			break
		}
		var n int
		n, err = conn.Read(buf[:min(int64(len(buf)), p.size-offset)])
		if n > 0 {
			if _, werr := f.WriteAt(buf[:n], offset); werr != nil {
				err = werr
				break
			}
			offset += int64(n)
		}
		if err != nil {
			break
		}
	}
	if offset == p.size {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// accept checks what was received, from the first byte to the last, and gives it its name. Damaged
// parts are removed, so that the next attempt begins anew.
func (s *Store) accept(p part) (raft.SnapshotMeta, error) {
	r, err := s.Open(p.name())
	if err == nil {
		_, err = io.Copy(io.Discard, r)
		if err == nil && (r.Meta.Index != p.index || r.Meta.Term != p.term) {
			err = &DamagedError{p.name(), "it is of another index"}
		}
		err = errors.Join(err, r.Close())
	}
	if err != nil {
		return raft.SnapshotMeta{}, errors.Join(err, s.remove(p.name()))
	}
	return r.Meta, s.publish(p.name(), r.Meta)
}
