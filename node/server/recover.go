package server

import (
	crand "crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/snapshot"
	"github.com/raftcheck/raftcheck/node/wal"
)

// recover reads the data directory and makes the core of it.
func (s *Server) recover() (*raft.Node, *kv.Machine, error) {
	machine, from, err := s.openData()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", s.cfg.Data, err), s.unlock())
	}
	rng, err := newRand()
	if err != nil {
		return nil, nil, errors.Join(err, s.wal.Abandon(), s.unlock())
	}
	s.firstID = rng.Uint64() >> 1
	node, err := raft.New(1, raft.Options{
		ID: s.cfg.ID, Rand: rng,
		Heartbeat:       raft.Time(s.cfg.Heartbeat),
		ElectionTimeout: raft.Time(s.cfg.ElectionTimeout),
		KeepTail:        s.cfg.KeepTail,
		LeaseReads:      s.cfg.LeaseReads,
		MaxDriftPPM:     s.cfg.MaxDriftPPM,
	}, from)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", s.cfg.Data, err), s.wal.Abandon(),
			s.unlock())
	}
	return node, machine, nil
}

func (s *Server) unlock() error {
	if s.lock == nil {
		return nil
	}
	return s.lock.Close()
}

// openData opens everything in the data directory, in this order: whose it is, the newest snapshot,
// the log behind it.
func (s *Server) openData() (*kv.Machine, raft.Restored, error) {
	var none raft.Restored
	if err := os.MkdirAll(s.cfg.Data, 0o750); err != nil {
		return nil, none, err
	}
	fsys := s.cfg.openFS(s.cfg.Data)
	var err error
	if s.lock, err = lockDir(s.cfg.Data); err != nil {
		return nil, none, err
	}
	if s.identity, err = loadIdentity(fsys, s.cfg); err != nil {
		return nil, none, err
	}
	if s.book, err = loadPeerbook(fsys); err != nil {
		return nil, none, err
	}
	voters, err := s.identity.voters()
	if err != nil {
		return nil, none, err
	}
	s.store = snapshot.NewStore(fsys)
	if err := s.store.Clean(); err != nil {
		return nil, none, err
	}
	machine, meta, err := loadNewest(s.store)
	if err != nil {
		return nil, none, err
	}
	if meta.Index == 0 && slices.Contains(voters, s.cfg.ID) {
		meta.Config = raft.Config{Voters: voters}
	}
	found, err := s.openLog(fsys, meta)
	if err != nil {
		return nil, none, err
	}
	s.log.Info("recovered", "term", found.HardState.Term, "snapshot", meta.Index,
		"entries", len(found.Entries), "clean", found.Clean)
	return machine, raft.Restored{
		HardState: found.HardState, Snapshot: meta, Entries: found.Entries,
	}, nil
}

// openLog opens the write-ahead log, which must not begin after the snapshot ends.
func (s *Server) openLog(fsys wal.FS, meta raft.SnapshotMeta) (wal.Recovered, error) {
	incarnation, err := s.identity.incarnation()
	if err != nil {
		return wal.Recovered{}, err
	}
	log, found, err := wal.Open(fsys, wal.Options{
		Owner:       wal.Owner{ID: s.cfg.ID, Incarnation: incarnation},
		SegmentSize: s.cfg.SegmentSize,
		Background:  func(f func()) { go f() },
	})
	if err != nil {
		return found, err
	}
	if found.Snapshot != nil && found.Snapshot.Index > meta.Index {
		return found, errors.Join(log.Abandon(), &snapshot.DamagedError{
			File: s.cfg.Data, Reason: fmt.Sprintf(
				"the log begins after %d, but the newest snapshot is of %d",
				found.Snapshot.Index, meta.Index),
		})
	}
	if found.TornBytes > 0 {
		s.log.Warn("removed an unfinished write from the end of the log", "bytes", found.TornBytes)
	}
	s.wal = log
	return found, nil
}

func newRand() (*rand.Rand, error) {
	var seed [16]byte
	if _, err := crand.Read(seed[:]); err != nil {
		return nil, err
	}
	return rand.New(rand.NewPCG(
		binary.LittleEndian.Uint64(seed[:8]), binary.LittleEndian.Uint64(seed[8:]))), nil
}
