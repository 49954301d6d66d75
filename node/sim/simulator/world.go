// Package simulator runs whole clusters of the raft core in virtual time. One seed decides
// everything: the cluster's size and tuning, each message's delay, loss or duplication, what a
// crash leaves of an unfinished disk write, when clocks drift and when members come and go. The
// same seed gives the same run, step for step, so a failure can be looked at for as long as it
// takes.
//
//	            ┌────────── events, by virtual time ◄──────────┐
//	            ▼                                               │
//	process: core.Step/Tick/Persisted… ─Drain─► disk, network, state machine
//	            │                                               │
//	            └── every effect ─► truth: the invariants ◄── clients: every answer
//
// After every step the run is compared with what an all-seeing observer knows: one leader a term,
// logs that match, nothing decided ever lost, one vote a term over all restarts, nothing told that
// is not on disk, commits on the disks of a quorum, reads no older than what was decided before
// they began, writes in the order of real time; and in the end, that the cluster recovers.
package simulator

import (
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// maxEvents is more than any run needs whose messages do not breed: a wide window of appends with
// one entry each, on links that reorder them, makes do with some millions.
const maxEvents = 10_000_000

// World is one run.
type World struct {
	plan  Plan
	rng   *rand.Rand
	now   raft.Time
	queue queue
	slab  slab
	log   io.Writer // nil for silence

	nodes   []*process
	first   raft.Config
	clients []client
	truth   truth
	net     network
	calm    bool // nothing breaks any more
	quiet   bool // and clients begin nothing new

	faults []fault
	stats  Stats
	digest uint64
	broken *Violation
}

// Violation is an invariant that did not hold.
type Violation struct {
	Invariant string
	Detail    string
	At        raft.Time
}

func (v *Violation) String() string {
	return fmt.Sprintf("%s, at %s: %s", v.Invariant, show(v.At), v.Detail)
}

// Stats counts what a run saw, so that a run which tested nothing can be told.
type Stats struct {
	Events, Messages, Elections, Commits int
	Writes, Reads, Undecided             int
	Crashes, Partitions, Pauses          int
	Snapshots, Installs, Configs         int
	Real, DiskErrors                     int // runs with real storage, and its failures
}

// Add sums two runs up.
func (s *Stats) Add(o *Stats) {
	s.Events += o.Events
	s.Messages += o.Messages
	s.Elections += o.Elections
	s.Commits += o.Commits
	s.Writes += o.Writes
	s.Reads += o.Reads
	s.Undecided += o.Undecided
	s.Crashes += o.Crashes
	s.Partitions += o.Partitions
	s.Pauses += o.Pauses
	s.Snapshots += o.Snapshots
	s.Installs += o.Installs
	s.Configs += o.Configs
	s.Real += o.Real
	s.DiskErrors += o.DiskErrors
}

// Result is the outcome of a run.
type Result struct {
	Plan      Plan
	Stats     Stats
	Digest    uint64     // of everything that happened, in order
	Violation *Violation // nil if all invariants held
}

// Run simulates the run of a seed. If log is not nil, everything that happens is written there.
func Run(seed uint64, log io.Writer) Result {
	rng := rand.New(rand.NewPCG(seed, 0x5eed))
	plan := Draw(rng)
	if plan.Real = seed%realEvery == 0; plan.Real {
		plan.DiskErrPerMille = pick(rng, 0, 2, 20)
	}
	return RunPlan(plan, rng, log)
}

// RunPlan simulates a plan with all further choices drawn from rng.
func RunPlan(plan Plan, rng *rand.Rand, log io.Writer) (res Result) {
	w := &World{plan: plan, rng: rng, log: log, digest: 1}
	w.truth.committed = make([]decided, 1)
	w.truth.votes = make([][]raft.ID, plan.Nodes+plan.Spares)
	defer func() {
		if r := recover(); r != nil {
			w.fail("assertion", "%v", r)
		}
		res = Result{plan, w.stats, w.digest, w.broken}
	}()
	w.setUp()
	w.runUntil(plan.Duration)
	w.calmDown()
	w.runUntil(plan.Duration + plan.Settle*2/3)
	w.quiet = true
	for _, p := range w.nodes {
		p.atQuiet = p.machine.applied
	}
	w.runUntil(plan.Duration + plan.Settle - second)
	last := raft.Index(len(w.truth.committed) - 1)
	w.runUntil(plan.Duration + plan.Settle)
	w.checkRecovered(last)
	return res
}

func (w *World) setUp() {
	for i := range w.plan.Nodes {
		w.first.Voters = append(w.first.Voters, raft.ID(i+1))
	}
	total := w.plan.Nodes + w.plan.Spares
	w.net.init(total)
	for i := range total {
		p := &process{w: w, id: raft.ID(i + 1), joined: i < w.plan.Nodes}
		p.retired = w.plan.DeadSpares && !p.joined
		if w.plan.Real {
			w.stats.Real = 1
			p.real = &real{fs: wal.NewMemory()}
		}
		w.nodes = append(w.nodes, p)
	}
	for _, p := range w.nodes {
		if !p.retired {
			p.start()
		}
	}
	w.clients = make([]client, min(w.plan.Clients, maxClients))
	for i := range w.clients {
		w.after(upTo(w.rng, w.plan.Think+1), event{kind: evClient, node: int16(i)})
	}
	if w.plan.FaultEvery > 0 {
		w.after(upTo(w.rng, w.plan.FaultEvery), event{kind: evFault})
	}
	if w.plan.AdminEvery > 0 {
		w.after(upTo(w.rng, w.plan.AdminEvery), event{kind: evAdmin})
	}
}

func (w *World) process(id raft.ID) *process { return w.nodes[id-1] }

func (w *World) failed() bool { return w.broken != nil }

// fail notes the first violation; the run ends there.
func (w *World) fail(invariant, format string, args ...any) {
	if w.broken == nil {
		w.broken = &Violation{invariant, fmt.Sprintf(format, args...), w.now}
	}
}

// schedule makes something happen to p's present life after a time.
func (w *World) schedule(p *process, kind eventKind, in raft.Time, arg uint32) {
	w.scheduleAt(p, kind, w.now+in, arg)
}

func (w *World) scheduleAt(p *process, kind eventKind, at raft.Time, arg uint32) {
	w.queue.push(event{at: at, kind: kind, node: int16(p.id), life: p.life, arg: arg})
}

func (w *World) after(in raft.Time, e event) {
	e.at = w.now + in
	w.queue.push(e)
}

func (w *World) runUntil(end raft.Time) {
	for len(w.queue.heap) > 0 && w.queue.heap[0].at <= end && !w.failed() {
		e := w.queue.pop()
		w.now = e.at
		if w.stats.Events++; w.stats.Events > maxEvents {
			w.fail("storm", "%d events in %s: messages breed messages", w.stats.Events, show(w.now))
		}
		w.digest = mix(w.digest, uint64(e.at)<<8^uint64(e.kind)<<56^uint64(e.node)<<48^uint64(e.arg))
		w.happen(&e)
	}
	w.now = end
}

func (w *World) happen(e *event) {
	switch e.kind {
	case evClient:
		w.clientStep(int(e.node))
	case evFault:
		w.nextFault()
	case evHeal:
		w.heal(int(e.arg))
	case evAdmin:
		w.admin()
	case evDeliver:
		w.deliver(e)
	case evStart:
		if p := w.nodes[e.node-1]; p.core == nil && p.life == e.life && !p.retired {
			w.trace(p, "restart", "")
			p.start()
		}
	default:
		if p := w.nodes[e.node-1]; p.core != nil && p.life == e.life {
			p.happen(e)
		}
	}
}

// happen lets an event reach the process, or wait if it is paused.
func (p *process) happen(e *event) {
	if p.paused && e.kind != evCrash && e.kind != evResume {
		p.queued = append(p.queued, *e)
		return
	}
	switch e.kind {
	case evTimer:
		p.timer(e.at)
	case evTurn:
		p.turn()
	case evDisk:
		p.synced()
	case evApply:
		p.applyAll()
		if p.core != nil {
			p.input()
		}
	case evFetched:
		p.fetched(e.arg)
	case evSaved:
		p.saved()
	case evCrash:
		p.w.crash(p)
	case evResume:
		p.resume()
	}
}

func (p *process) resume() {
	p.w.trace(p, "resume", "")
	p.paused = false
	queued := p.queued
	p.queued = nil
	if p.w.rng.IntN(2) == 0 { // timers, messages and requests are waiting side by side
		p.w.rng.Shuffle(len(queued), func(i, k int) { queued[i], queued[k] = queued[k], queued[i] })
	}
	for i := range queued {
		if p.paused || p.core == nil {
			p.queued = append(p.queued, queued[i])
			continue
		}
		switch e := &queued[i]; e.kind {
		case evDeliver:
			p.w.deliver(e)
		case evInvoke:
			p.w.request(p, int(e.arg), e.life)
		default:
			if e.life == p.life {
				p.happen(e)
			}
		}
	}
}

// note takes an event of the core into the digest and the log.
func (w *World) note(p *process, e *raft.Event) {
	w.digest = mix(w.digest, uint64(p.id)<<56^uint64(e.Term)<<32^uint64(e.Index)^hash([]byte(e.Kind)))
	if w.log != nil {
		w.trace(p, e.Kind, fmt.Sprintf("term %d index %d peer %d %s", e.Term, e.Index, e.Peer, e.Detail))
	}
}

func (w *World) trace(p *process, what, detail string) {
	if w.log != nil {
		fmt.Fprintf(w.log, "%12s %s %s %s\n", show(w.now), p.id, what, detail)
	}
}
