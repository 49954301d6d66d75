package simulator

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/snapshot"
	"github.com/raftcheck/raftcheck/node/wal"
)

// realEvery says how many seeds share one in which the nodes run raftnode's own write-ahead log,
// snapshot store and state machine. They cost several times as much as their models.
const realEvery = 8

// realSegment is small, so that segments are rolled and dropped all the time.
const realSegment = 4 << 10

// real is what raftnode has around the core: node/wal and node/snapshot on a simulated disk, and
// node/kv. The models beside it (disk, machine) say what each of them must hold:
//
//	core ─ pendingWrite ─► wal.Log ── crash, Open ──► must be what the disk model kept
//	core ─ Apply ────────► kv.Machine ──────────────► must answer as the machine model does
//	snapshots ───────────► snapshot.Store ──────────► must load as the machine model was
type real struct {
	fs    *wal.Memory
	log   *wal.Log
	store *snapshot.Store
	kv    *kv.Machine
	// saving is the snapshot being written; its view shares nothing with what is applied later.
	saving *savedState
}

type savedState struct {
	meta  raft.SnapshotMeta
	view  kv.View
	model machine
}

// open recovers the node's data as node/server does, and compares it with what the models kept.
func (r *real) open(p *process, first raft.Config) (raft.Restored, error) {
	r.store = snapshot.NewStore(r.fs)
	if err := r.store.Clean(); err != nil {
		return raft.Restored{}, err
	}
	meta, err := r.load(p)
	if err != nil {
		return raft.Restored{}, err
	}
	if meta.Index == 0 {
		meta.Config = first
	}
	log, found, err := wal.Open(r.fs, wal.Options{
		Owner: wal.Owner{ID: p.id}, SegmentSize: realSegment,
	})
	if err != nil {
		return raft.Restored{}, err
	}
	r.log = log
	if err := p.disk.recovered(&found); err != nil {
		return raft.Restored{}, err
	}
	return raft.Restored{HardState: found.HardState, Snapshot: meta, Entries: found.Entries}, nil
}

// load reads the state out of the newest snapshot, which must be the one that the disk model has.
func (r *real) load(p *process) (raft.SnapshotMeta, error) {
	r.kv = kv.New()
	var meta raft.SnapshotMeta
	switch name, err := r.store.Newest(); {
	case errors.Is(err, snapshot.ErrNone):
	case err != nil:
		return meta, err
	default:
		f, err := r.store.Open(name)
		if err != nil {
			return meta, err
		}
		meta = f.Meta
		r.kv, err = kv.Restore(f)
		if err := errors.Join(err, f.Close()); err != nil {
			return meta, err
		}
	}
	if meta.Index != p.disk.snap.Index || meta.Term != p.disk.snap.Term {
		return meta, fmt.Errorf("the newest snapshot is (%d, term %d), not (%d, term %d)",
			meta.Index, meta.Term, p.disk.snap.Index, p.disk.snap.Term)
	}
	return meta, r.equals(&p.disk.state)
}

// equals compares the state with the model's.
func (r *real) equals(m *machine) error {
	if raft.Index(r.kv.Applied()) != m.applied {
		return fmt.Errorf("the state is that of %d, not %d", r.kv.Applied(), m.applied)
	}
	for key := range m.keys {
		if err := r.sameKey(m, uint32(key)); err != nil {
			return err
		}
	}
	return nil
}

func (r *real) sameKey(m *machine, key uint32) error {
	c := m.keys[key]
	item, found := r.kv.Get(keyName(key))
	if found != (c.version > 0) || raft.Index(item.Version) != c.version ||
		found && item.Value != string(command{c.client, c.seq, key}.encode()) {
		return fmt.Errorf("after %d, key %d is %x at version %d, not %+v",
			m.applied, key, item.Value, item.Version, c)
	}
	return nil
}

func keyName(key uint32) string { return "k" + strconv.FormatUint(uint64(key), 10) }

// encode is the command that a client sends to raftnode: its first opens a session.
func (c command) encodeReal(session uint64) []byte {
	if session == 0 {
		return (&kv.Command{Op: kv.OpOpenSession}).Encode()
	}
	return (&kv.Command{
		Op: kv.OpPut, Key: keyName(c.key), Value: string(c.encode()),
		Session: kv.Session{ID: session, Seq: uint64(c.seq), Ack: uint64(c.seq)},
	}).Encode()
}

// apply applies an entry to both machines, which must agree on the answer.
func (r *real) apply(m *machine, e *raft.Entry) (version raft.Index, err error) {
	if e.Kind != raft.EntryCommand {
		r.kv.Skip(uint64(e.Index))
		return m.apply(e), nil
	}
	c, err := kv.Decode(e.Data)
	if err != nil {
		return 0, err
	}
	got := r.kv.Apply(uint64(e.Index), e.Data)
	if c.Op == kv.OpOpenSession {
		m.skip(e)
		return raft.Index(got.Version), nil
	}
	plain := *e
	plain.Data = []byte(c.Value)
	version = m.apply(&plain)
	if forgotten := got.Code == kv.CodeSeqExpired; raft.Index(got.Version) != version ||
		forgotten != (version == 0) || !forgotten && got.Code != "" {
		return 0, fmt.Errorf("entry %d is answered with %+v, not with version %d",
			e.Index, got, version)
	}
	return version, r.sameKey(m, decodeCommand(plain.Data).key)
}

// save makes writes durable, as one frame.
func (r *real) save(writes []pendingWrite) error {
	batches := make([]wal.Batch, 0, len(writes))
	for i := range writes {
		w := &writes[i]
		batches = append(batches, wal.Batch{
			HardState: w.hard, Snapshot: w.mark, Reset: w.reset, Truncate: w.truncate,
			Append: w.entries,
		})
	}
	return r.log.Save(batches...)
}

// crash loses what was not synced: nothing of what was being written may have reached the disk, or
// any part of it.
func (r *real) crash(rng *rand.Rand, writing []pendingWrite) {
	if len(writing) > 0 {
		r.fs.Fail(rng.IntN(2)) // the write is cut off, or its sync
		_ = r.save(writing)
	}
	if r.saving != nil {
		r.fs.Fail(1 + rng.IntN(3))
		_ = r.saving.write(r.store)
		r.saving = nil
	}
	r.fs = r.fs.Crash(rng)
	r.log, r.store, r.kv = nil, nil, nil
}

func (s *savedState) write(to *snapshot.Store) error {
	w, err := to.Create(s.meta)
	if err != nil {
		return err
	}
	if _, err := s.view.WriteTo(w); err != nil {
		return errors.Join(err, w.Abort())
	}
	_, err = w.Commit()
	return err
}

// fetch gets the newest snapshot of another node, over a line that is cut after limit bytes.
func (r *real) fetch(from *real, least raft.Index, limit int) (raft.SnapshotMeta, error) {
	l := &line{serve: from.store.Serve, limit: limit}
	meta, err := r.store.Fetch(l, least)
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return meta, errLineCut
	}
	return meta, err
}

var errLineCut = errors.New("the line was cut")
