package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/peer"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/snapshot"
	"github.com/raftcheck/raftcheck/node/wal"
)

// snapshots does the slow work around snapshots beside the loop: it writes our own out and fetches
// those of a leader. Each piece of work ends with a call on the loop.
//
//	applier ─ view ─► loop: what must it carry? ─► save ─► loop: compact the log
//	core: Install ─► fetch ─► loop: Installed ─► core: Restore ─► applier: load
type snapshots struct {
	store     *snapshot.Store
	transport *peer.Transport
	inbox     *inbox
	log       *slog.Logger

	ctx    context.Context // ends with the node
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// saving and stopFetch belong to the loop.
	saving    bool
	stopFetch context.CancelFunc
	fetching  sync.Mutex // one fetch at a time
}

const (
	fetchAttempts = 20
	fetchPause    = 100 * time.Millisecond
)

// save writes the view out and then compacts the log. It runs on the loop and returns at once; done
// is called when there is nothing left to do, with the size of the file, or 0 if there is none.
func (s *snapshots) save(l *loop, view kv.View, done func(size int64)) {
	meta, ok := l.node.MetaAt(raft.Index(view.Applied()))
	if !ok || s.saving {
		done(0)
		return
	}
	s.saving = true
	s.wg.Go(func() {
		began := time.Now()
		size, err := s.write(meta, view)
		s.inbox.callAlways(func(l *loop) {
			s.saving = false
			if err != nil {
				s.log.Error("take snapshot", "index", meta.Index, "error", err)
				done(0)
				return
			}
			s.log.Info("took snapshot", "index", meta.Index, "bytes", size,
				"ms", time.Since(began).Milliseconds())
			if l.node.Snapshotted(meta) {
				l.disk.add(diskJob{batch: wal.Batch{Snapshot: &meta}})
			}
			l.applier.add(applyJob{clean: true})
			done(size)
		})
	})
}

func (s *snapshots) write(meta raft.SnapshotMeta, view kv.View) (int64, error) {
	w, err := s.store.Create(meta)
	if err != nil {
		return 0, err
	}
	if _, err := view.WriteTo(w); err != nil {
		return 0, errors.Join(err, w.Abort())
	}
	return w.Commit()
}

// fetch gets a snapshot from a leader and reports to the core. It runs on the loop and returns at
// once; a fetch that is under way is given up for the new one.
func (s *snapshots) fetch(meta raft.SnapshotMeta, from raft.ID) {
	if s.stopFetch != nil {
		s.stopFetch()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.stopFetch = cancel
	s.wg.Go(func() {
		s.fetching.Lock()
		defer s.fetching.Unlock()
		got, err := s.tryFetch(ctx, meta, from)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.log.Warn("fetch snapshot", "from", from.String(), "index", meta.Index, "error", err)
			got = meta
		} else {
			s.log.Info("fetched snapshot", "from", from.String(), "index", got.Index)
		}
		s.inbox.callAlways(func(l *loop) { l.node.Installed(got, err == nil) })
	})
}

func (s *snapshots) tryFetch(ctx context.Context, meta raft.SnapshotMeta, from raft.ID,
) (got raft.SnapshotMeta, err error) {
	for range fetchAttempts {
		if got, err = s.fetchOnce(ctx, meta, from); err == nil {
			return got, nil
		}
		select {
		case <-ctx.Done():
			return got, ctx.Err()
		case <-time.After(fetchPause):
		}
	}
	return got, err
}

func (s *snapshots) fetchOnce(ctx context.Context, meta raft.SnapshotMeta, from raft.ID,
) (raft.SnapshotMeta, error) {
	conn, err := s.transport.Fetch(ctx, from)
	if err != nil {
		return raft.SnapshotMeta{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	got, err := s.store.Fetch(conn, meta.Index)
	if stop() {
		err = errors.Join(err, conn.Close())
	}
	return got, err
}

// serve sends our newest snapshot to a peer.
func (s *snapshots) serve(conn net.Conn, to raft.ID) {
	if err := s.store.Serve(conn); err != nil {
		s.log.Warn("send snapshot", "to", to.String(), "error", err)
	}
}

func (s *snapshots) close() {
	s.cancel()
	s.wg.Wait()
}

// loadNewest returns the newest snapshot on disk, or an empty machine if there is none.
func loadNewest(store *snapshot.Store) (*kv.Machine, raft.SnapshotMeta, error) {
	name, err := store.Newest()
	if errors.Is(err, snapshot.ErrNone) {
		return kv.New(), raft.SnapshotMeta{}, nil
	}
	if err != nil {
		return nil, raft.SnapshotMeta{}, err
	}
	return load(store, name)
}

// load reads the state machine out of a snapshot.
func load(store *snapshot.Store, name string) (*kv.Machine, raft.SnapshotMeta, error) {
	r, err := store.Open(name)
	if err != nil {
		return nil, raft.SnapshotMeta{}, err
	}
	m, err := kv.Restore(r)
	if err == nil && m.Applied() != uint64(r.Meta.Index) {
		err = fmt.Errorf("%s holds the state after %d", name, m.Applied())
	}
	return m, r.Meta, errors.Join(err, r.Close())
}
