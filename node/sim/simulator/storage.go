package simulator

import (
	"errors"
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/snapshot"
)

// save queues the write that o asks for.
func (p *process) save(o *raft.Output) {
	if o.Ticket == 0 {
		return
	}
	p.disk.queue = append(p.disk.queue, pendingWrite{
		o.Ticket, o.HardState, o.Reset, o.Truncate, o.Append, nil,
	})
	p.sync()
}

// sync starts to sync what is queued, unless the disk is busy.
func (p *process) sync() {
	d, plan := &p.disk, &p.w.plan
	if d.syncing > 0 || len(d.queue) == 0 {
		return
	}
	d.syncing = len(d.queue)
	took := plan.Sync + upTo(p.w.rng, plan.SyncJitter)
	if !p.w.calm && chance(p.w.rng, plan.StallPerMille) {
		took += upTo(p.w.rng, plan.Stall)
	}
	p.w.schedule(p, evDisk, took, 0)
}

// synced reports to the core, and lets the messages go that waited.
func (p *process) synced() {
	if p.real != nil && !p.saveReal() {
		return
	}
	t := p.disk.finish()
	p.sync()
	if t > 0 {
		p.core.Persisted(t)
	}
	k := 0
	for k < len(p.held) && p.held[k].After <= t {
		p.w.transmit(p, &p.held[k].Message)
		k++
	}
	p.held = slices.Delete(p.held, 0, k)
	p.input()
}

// saveReal writes to the real log what is being synced. When the disk fails, the process ends.
func (p *process) saveReal() bool {
	w := p.w
	if !w.calm && chance(w.rng, w.plan.DiskErrPerMille) {
		p.real.fs.Fail(w.rng.IntN(2))
	}
	err := p.real.save(p.disk.queue[:p.disk.syncing])
	if err == nil {
		return true
	}
	if w.calm {
		w.fail("storage", "%s: %v", p.id, err)
		return false
	}
	w.stats.DiskErrors++
	w.trace(p, "disk error", err.Error())
	w.crash(p)
	return false
}

// maybeSnapshot takes a snapshot when enough was applied since the last one.
func (p *process) maybeSnapshot() {
	every := raft.Index(p.w.plan.SnapEvery)
	if every == 0 || p.machine.applied < p.disk.snap.Index+every {
		return
	}
	meta, ok := p.core.MetaAt(p.machine.applied)
	switch {
	case !ok:
	case p.real == nil:
		p.disk.saveSnapshot(meta, &p.machine)
		p.disk.compact(raft.Index(p.w.plan.Raft.KeepTail))
		p.core.Snapshotted(meta)
	case p.real.saving == nil:
		p.real.saving = &savedState{meta, p.real.kv.View(), p.machine}
		p.w.schedule(p, evSaved, upTo(p.w.rng, 30*millisecond), 0)
	}
}

// saved writes the snapshot out that was begun a while ago. Another node's may be here by now.
func (p *process) saved() {
	s := p.real.saving
	p.real.saving = nil
	if err := s.write(p.real.store); err != nil {
		p.w.fail("storage", "%s: %v", p.id, err)
		return
	}
	p.disk.saveSnapshot(s.meta, &s.model)
	if p.core.Snapshotted(s.meta) {
		p.disk.queue = append(p.disk.queue, pendingWrite{mark: &s.meta})
		p.sync()
	}
	if err := p.real.store.Clean(); err != nil {
		p.w.fail("storage", "%s: %v", p.id, err)
	}
	p.input()
}

// startFetch begins to fetch a snapshot; a later one replaces it.
func (p *process) startFetch(meta raft.SnapshotMeta, from raft.ID) {
	p.fetch, p.from = meta, from
	took := p.w.latency() + p.w.latency() + upTo(p.w.rng, 50*millisecond)
	p.w.schedule(p, evFetched, took, uint32(meta.Index))
}

// fetched installs what the other side has by now, if it can be reached.
func (p *process) fetched(index uint32) {
	if p.fetch.Index != raft.Index(index) {
		return
	}
	meta, from := p.fetch, p.w.process(p.from)
	p.fetch = raft.SnapshotMeta{}
	ok := from.core != nil && !from.paused && !p.w.cut(p.id, p.from) && !p.w.cut(p.from, p.id) &&
		from.disk.snap.Index >= meta.Index
	if ok && p.real != nil {
		ok = p.fetchReal(from, meta.Index)
	}
	if ok {
		meta = from.disk.snap
		p.disk.saveSnapshot(meta, &from.disk.state)
	}
	p.core.Installed(meta, ok)
	p.input()
}

// fetchReal fetches the file; the line may be cut on the way, and the next attempt goes on there.
func (p *process) fetchReal(from *process, least raft.Index) bool {
	limit := 1 << 30
	if !p.w.calm && p.w.rng.IntN(3) == 0 {
		limit = p.w.rng.IntN(2000)
	}
	meta, err := p.real.fetch(from.real, least, limit)
	_, damaged := errors.AsType[*snapshot.DamagedError](err)
	switch {
	case errors.Is(err, errLineCut), damaged:
		// A part that was not synced may be torn by a crash; it was dropped, and the next attempt
		// begins anew. If it never succeeds, the cluster does not recover, which is checked too.
		return false
	case err == nil && meta.Index != from.disk.snap.Index:
		err = fmt.Errorf("fetched the snapshot of %d, not %d", meta.Index, from.disk.snap.Index)
	}
	if err != nil {
		p.w.fail("storage", "%s fetches from %s: %v", p.id, from.id, err)
	}
	return err == nil
}

// restoreState loads the snapshot that the core wants to go on from.
func (p *process) restoreState() {
	p.machine = p.disk.state
	p.backlog = p.backlog[:0]
	if p.real == nil {
		return
	}
	if _, err := p.real.load(p); err != nil {
		p.w.fail("storage", "%s restores: %v", p.id, err)
	}
}

// apply applies an entry to the state machine, or to the real one and its model.
func (p *process) apply(e *raft.Entry) raft.Index {
	if p.real == nil {
		return p.machine.apply(e)
	}
	version, err := p.real.apply(&p.machine, e)
	if err != nil {
		p.w.fail("state machine", "%s: %v", p.id, err)
	}
	return version
}

// crashReal loses what the real disk had not synced. What it kept shows when it is opened.
func (p *process) crashReal(tear bool) {
	d := &p.disk
	d.cutOff = nil
	if tear || p.real.fs.Failing() {
		d.cutOff = slices.Clone(d.queue[:d.syncing])
	}
	p.real.crash(p.w.rng, d.cutOff)
	d.queue, d.syncing = d.queue[:0], 0
}
