package simulator

import (
	"math/rand/v2"
	"slices"

	"github.com/raftcheck/raftcheck/node/raft"
)

// process is one node: its disk, which outlives crashes, and while it runs the core, the state
// machine and the driver between them and the simulated world.
type process struct {
	w    *World
	id   raft.ID
	disk disk
	real *real // raftnode's own storage and state machine, in some runs

	core   *raft.Node // nil while down
	life   uint32     // counts starts and crashes; events of a former life are void
	out    raft.Output
	paused bool
	queued []event // what happened to it while paused

	machine machine
	backlog []raft.Entry      // committed, not yet applied
	busy    bool              // an evApply is scheduled
	held    []raft.Outgoing   // waiting for the disk
	asked   []clientWrite     // proposals that wait for their entry, by index
	reads   []clientRead      // reads that wait for the state machine
	fetch   raft.SnapshotMeta // the snapshot being fetched
	from    raft.ID

	timerAt raft.Time // when the next evTimer is due; 0 for none
	turning bool      // an evTurn is scheduled

	clockBase raft.Time // local time = clockBase + now + now*drift/1e6
	drift     int64

	mirror  mirror     // the core's log, as its effects tell
	leads   raft.Term  // the term that it leads, as its events tell
	commits raft.Index // how far it commits, as its events tell
	inForce raft.Config
	joined  bool       // belongs to the first members
	retired bool       // stays down for good
	atQuiet raft.Index // what it had applied when the clients stopped
}

type clientWrite struct {
	index  raft.Index
	term   raft.Term
	client int
	seq    uint32
}

type clientRead struct {
	index  raft.Index
	client int
	seq    uint32
}

// local is what the node's clock shows.
func (p *process) local() raft.Time {
	return p.clockBase + p.w.now + p.w.now*raft.Time(p.drift)/1e6
}

// start brings the process up from its disk.
func (p *process) start() {
	w := p.w
	p.life++
	opts := w.plan.Raft
	opts.ID = p.id
	opts.Rand = rand.New(rand.NewPCG(w.rng.Uint64(), w.rng.Uint64()))
	if d := w.plan.DriftPPM; d > 0 {
		p.drift = int64(pick(w.rng, -d, d, w.rng.IntN(2*d+1)-d))
	}
	p.clockBase = upTo(w.rng, 1000*second)
	var first raft.Config
	if p.joined {
		first = w.first
	}
	from, err := p.recover(first)
	if err != nil {
		w.fail("storage", "%s recovers: %v", p.id, err)
		return
	}
	core, err := raft.New(p.local(), opts, from)
	if err != nil {
		w.fail("restart", "%s: %v", p.id, err)
		return
	}
	p.core = core
	p.machine = p.disk.state
	p.mirror.restore(w, &p.disk, from)
	config := p.mirror.config()
	p.inForce, p.leads, p.commits = *config, 0, from.Snapshot.Index
	p.turn()
}

// recover reads the disk.
func (p *process) recover(first raft.Config) (raft.Restored, error) {
	if p.real == nil {
		return p.disk.restored(first), nil
	}
	return p.real.open(p, first)
}

// crash ends the process. Its clients learn nothing.
func (p *process) crash() {
	if p.core == nil {
		return
	}
	w := p.w
	p.life++
	p.core = nil
	tear := chance(w.rng, w.plan.TearPerMille)
	if p.real == nil {
		p.disk.crash(w.rng, tear)
	} else {
		p.crashReal(tear)
	}
	for _, c := range p.asked {
		w.undecided(c.client, c.seq)
	}
	for _, r := range p.reads {
		w.undecided(r.client, r.seq)
	}
	p.out, p.paused, p.queued = raft.Output{}, false, nil
	p.backlog, p.busy, p.held, p.asked, p.reads = nil, false, nil, nil, nil
	p.timerAt, p.turning, p.fetch = 0, false, raft.SnapshotMeta{}
}

// input runs after each input to the core: its effects are drained at once, or a little later
// together with those of more inputs.
func (p *process) input() {
	if c := p.w.plan.Coalesce; c > 0 {
		if !p.turning {
			p.turning = true
			p.w.schedule(p, evTurn, upTo(p.w.rng, c), 0)
		}
		return
	}
	p.turn()
}

// turn carries out the core's effects until there are none.
func (p *process) turn() {
	p.turning = false
	for p.core != nil && !p.w.failed() && p.core.Drain(&p.out) {
		p.carryOut()
	}
	if p.core != nil {
		p.setTimer()
	}
}

func (p *process) carryOut() {
	o := &p.out
	p.save(o)
	p.mirror.follow(p, o)
	p.w.observe(p, o)
	for i := range o.Send {
		if m := &o.Send[i]; m.After == 0 {
			p.w.transmit(p, &m.Message)
		} else {
			p.held = append(p.held, *m)
		}
	}
	if o.Install != nil {
		p.startFetch(*o.Install, o.InstallFrom)
	}
	if o.Restore != nil {
		p.restoreState()
	}
	p.backlog = append(p.backlog, o.Apply...)
	p.applySome()
	for _, r := range o.Reads {
		p.readDone(r)
	}
	if p.core == nil {
		return // a reaction to one of the events ended this process
	}
	p.w.react(p, o.Events)
}

// setTimer makes sure that an evTimer comes no later than the core's deadline.
func (p *process) setTimer() {
	wait := max(0, p.core.Deadline()-p.local())
	// A slow clock reaches the deadline later; the timer then finds that it is not yet due.
	at := p.w.now + wait*1e6/(1e6+raft.Time(p.drift)) + 1
	if p.timerAt == 0 || at < p.timerAt {
		p.timerAt = at
		p.w.scheduleAt(p, evTimer, at, 0)
	}
}

func (p *process) timer(at raft.Time) {
	if at != p.timerAt {
		return // an earlier one took its place
	}
	p.timerAt = 0
	if p.local() >= p.core.Deadline() {
		p.core.Tick(p.local())
		p.input()
		return
	}
	p.setTimer()
}

// applySome applies the backlog, now or after the lag that the plan gives the state machine.
func (p *process) applySome() {
	if len(p.backlog) == 0 {
		return
	}
	if lag := p.w.plan.ApplyDelay; lag > 0 {
		if !p.busy {
			p.busy = true
			p.w.schedule(p, evApply, upTo(p.w.rng, lag), 0)
		}
		return
	}
	p.applyAll()
}

func (p *process) applyAll() {
	p.busy = false
	for i := range p.backlog {
		e := &p.backlog[i]
		if e.Index <= p.machine.applied {
			continue
		}
		if e.Index != p.machine.applied+1 {
			p.w.fail("apply order", "%s applies %d after %d", p.id, e.Index, p.machine.applied)
			return
		}
		version := p.apply(e)
		p.w.applied(p, e)
		p.answerWrite(e, version)
	}
	p.backlog = p.backlog[:0]
	p.core.Applied(p.machine.applied)
	p.answerReads()
	p.maybeSnapshot()
}

// answerWrite tells the client whose proposal stood at e's index what became of it.
func (p *process) answerWrite(e *raft.Entry, version raft.Index) {
	k := 0
	for k < len(p.asked) && p.asked[k].index <= e.Index {
		switch c := p.asked[k]; {
		case c.index < e.Index:
			p.w.undecided(c.client, c.seq) // passed over by a snapshot
		case c.term == e.Term:
			p.w.wrote(c.client, c.seq, version)
		default:
			p.w.undecided(c.client, c.seq) // overwritten: the client tries again
		}
		k++
	}
	p.asked = slices.Delete(p.asked, 0, k)
}

// forgetFrom drops the proposals from index i on: they were made in a former term and have been
// truncated since.
func (p *process) forgetFrom(i raft.Index) {
	for k := len(p.asked) - 1; k >= 0 && p.asked[k].index >= i; k-- {
		p.w.undecided(p.asked[k].client, p.asked[k].seq)
		p.asked = p.asked[:k]
	}
}

func (p *process) readDone(r raft.ReadDone) {
	client, seq := int(r.ID>>32), uint32(r.ID)
	if r.Err != nil {
		p.w.undecided(client, seq)
		return
	}
	p.w.checkReadIndex(p, client, seq, r.Index)
	p.reads = append(p.reads, clientRead{r.Index, client, seq})
	p.answerReads()
}

func (p *process) answerReads() {
	p.reads = slices.DeleteFunc(p.reads, func(r clientRead) bool {
		if r.index > p.machine.applied {
			return false
		}
		p.w.readAnswered(r.client, r.seq, &p.machine)
		return true
	})
}
