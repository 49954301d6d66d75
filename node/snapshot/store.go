// Package snapshot keeps snapshots of the state machine on disk: a file that is whole or is not
// there.
//
//	snap-<index>-<term>.snap    the newest snapshot
//	part-<index>-<term>-<size>  one that is being fetched from another node
//	snap.tmp                    one that is being written
//
// Two snapshots of the same index are equal, byte for byte, on whatever nodes they were taken, as
// long as the state machine writes equal states as equal bytes. So a transfer that broke off can be
// resumed from any node that has that snapshot. FORMAT.md describes the bytes.
package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

const (
	tmpName    = "snap.tmp"
	snapPrefix = "snap-"
	snapSuffix = ".snap"
	partPrefix = "part-"
)

// Store is a directory with snapshots. Writing, fetching and removing may go on in different
// goroutines, but only one at a time of each.
type Store struct{ fs wal.FS }

// NewStore returns the store in a directory.
func NewStore(fsys wal.FS) *Store { return &Store{fsys} }

// ErrNone says that there is no snapshot.
var ErrNone = errors.New("there is no snapshot")

// DamagedError says that a snapshot cannot be read as it was written.
type DamagedError struct {
	File   string
	Reason string
}

func (e *DamagedError) Error() string { return "snapshot is damaged: " + e.File + ": " + e.Reason }

func fileName(index raft.Index, term raft.Term) string {
	return fmt.Sprintf("%s%016x-%x%s", snapPrefix, uint64(index), uint64(term), snapSuffix)
}

// parseName reads index and term back from a file name.
func parseName(name string) (index raft.Index, term raft.Term, ok bool) {
	if !strings.HasPrefix(name, snapPrefix) || !strings.HasSuffix(name, snapSuffix) {
		return 0, 0, false
	}
	_, err := fmt.Sscanf(name, snapPrefix+"%x-%x"+snapSuffix, &index, &term)
	return index, term, err == nil && fileName(index, term) == name
}

// Newest is the name of the newest snapshot; ErrNone if there is none.
func (s *Store) Newest() (name string, err error) {
	names, err := s.fs.List()
	if err != nil {
		return "", fmt.Errorf("list snapshots: %w", err)
	}
	var best raft.Index
	for _, n := range names {
		if index, _, ok := parseName(n); ok && index >= best {
			name, best = n, index
		}
	}
	if name == "" {
		return "", ErrNone
	}
	return name, nil
}

// Find is the name of the snapshot of an index and term.
func (s *Store) Find(index raft.Index, term raft.Term) (name string, err error) {
	names, err := s.fs.List()
	if err != nil {
		return "", fmt.Errorf("list snapshots: %w", err)
	}
	if name = fileName(index, term); slices.Contains(names, name) {
		return name, nil
	}
	return "", fmt.Errorf("%w of index %d, term %d", ErrNone, index, term)
}

// Clean removes all snapshots older than the newest, and what a crash left of one being written.
// Files that are open stay readable.
func (s *Store) Clean() error {
	newest, err := s.Newest()
	if err != nil && !errors.Is(err, ErrNone) {
		return err
	}
	names, err := s.fs.List()
	if err != nil {
		return err
	}
	for _, n := range names {
		_, _, isSnap := parseName(n)
		if n != tmpName && (!isSnap || n == newest) {
			continue
		}
		if err := s.fs.Remove(n); err != nil {
			return fmt.Errorf("remove snapshot: %w", err)
		}
	}
	return nil
}

// publish gives a finished file its name, durably.
func (s *Store) publish(from string, meta raft.SnapshotMeta) error {
	if err := s.fs.Rename(from, fileName(meta.Index, meta.Term)); err != nil {
		return err
	}
	return s.fs.SyncDir()
}

// remove deletes files that may not be there.
func (s *Store) remove(name string) error {
	if err := s.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
