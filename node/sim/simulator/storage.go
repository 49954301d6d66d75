package simulator

import (
	"slices"

	"github.com/raftcheck/raftcheck/node/raft"
)

// save queues the write that o asks for.
func (p *process) save(o *raft.Output) {
	if o.Ticket == 0 {
		return
	}
	p.disk.queue = append(p.disk.queue, pendingWrite{
		o.Ticket, o.HardState, o.Reset, o.Truncate, o.Append,
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
	t := p.disk.finish()
	p.sync()
	p.core.Persisted(t)
	k := 0
	for k < len(p.held) && p.held[k].After <= t {
		p.w.transmit(p, &p.held[k].Message)
		k++
	}
	p.held = slices.Delete(p.held, 0, k)
	p.input()
}

// maybeSnapshot takes a snapshot when enough was applied since the last one.
func (p *process) maybeSnapshot() {
	every := raft.Index(p.w.plan.SnapEvery)
	if every == 0 || p.machine.applied < p.disk.snap.Index+every {
		return
	}
	if meta, ok := p.core.MetaAt(p.machine.applied); ok {
		p.disk.saveSnapshot(meta, &p.machine)
		p.disk.compact(raft.Index(p.w.plan.Raft.KeepTail))
		p.core.Snapshotted(meta)
	}
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
	if ok {
		meta = from.disk.snap
		p.disk.saveSnapshot(meta, &from.disk.state)
	}
	p.core.Installed(meta, ok)
	p.input()
}
