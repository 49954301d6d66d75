package simulator

import (
	"fmt"
	"math/rand/v2"

	"github.com/raftcheck/raftcheck/node/raft"
)

const (
	microsecond raft.Time = 1e3
	millisecond raft.Time = 1e6
	second      raft.Time = 1e9
)

// Plan is what a seed draws before the run begins: how large the cluster is, how it is tuned, how
// bad its network, disks and clocks are, and how often something breaks. Probabilities are per
// mille.
type Plan struct {
	Nodes    int // the first members
	Spares   int // more nodes, for membership changes
	Duration raft.Time
	Settle   raft.Time // afterwards nothing breaks any more, and the cluster must recover

	Raft raft.Options // ID and Rand are set per node

	// Network: each message takes Delay plus up to Jitter; LongPerMille of them up to LongDelay.
	Delay, Jitter, LongDelay                raft.Time
	LongPerMille, LossPerMille, DupPerMille int
	FIFO                                    bool // a link never reorders, as TCP

	// Disk: each write takes Sync plus up to SyncJitter; StallPerMille of them up to Stall.
	Sync, SyncJitter, Stall raft.Time
	StallPerMille           int
	TearPerMille            int // a crash keeps part of what was being written, instead of none

	Real            bool // nodes keep their data with raftnode's own log, snapshots and state machine
	DiskErrPerMille int  // writes that fail, and end the process; with Real only

	DriftPPM   int       // clocks run fast or slow by up to this many parts per million
	ApplyDelay raft.Time // the state machine lags by up to this
	Coalesce   raft.Time // inputs within up to this travel together
	SnapEvery  int       // entries between snapshots; 0 for none

	Clients     int
	Think       raft.Time // between a client's operations
	ReadPct     int
	FollowerPct int // reads that go to any node instead of the supposed leader
	Timeout     raft.Time

	FaultEvery  raft.Time // mean time between faults; 0 for none
	FaultLength raft.Time // their longest duration
	React       int       // how often a protocol event provokes a fault at once
	Usurp       int       // how often, per mille, a fault is the one that stale reads need
	FastRestart bool      // crashed nodes are back within 20 ms
	StayDown    bool      // some that are not needed stay down for good
	DeadSpares  bool      // the nodes that are to be added never run
	LateArrival bool      // what was sent before a cut still arrives
	AdminEvery  raft.Time // mean time between membership changes and transfers; 0 for none
}

// Draw makes the plan of a seed. About half of the seeds mix everything; the others lean
// towards what certain mistakes need before they show.
func Draw(rng *rand.Rand) Plan {
	p := Plan{Duration: 12 * second, Settle: 15 * second}
	p.Nodes = pick(rng, 3, 3, 3, 3, 5, 5, 5, 4, 2, 1)
	p.drawRaft(rng)
	p.drawWorld(rng)
	p.drawLoad(rng)
	p.FaultEvery = pick[raft.Time](rng, 150, 400, 1000, 3000) * millisecond
	p.FaultLength = pick[raft.Time](rng, 100, 500, 1500, 4000) * millisecond
	p.React = pick(rng, 0, 0, 50, 200, 500)
	p.FastRestart = chance(rng, 300)
	p.StayDown = chance(rng, 400)
	if chance(rng, 450) {
		p.drawMembership(rng)
	}
	if chance(rng, 250) {
		p.leanToReads(rng)
	}
	if chance(rng, 200) {
		p.leanToElections(rng)
	}
	if chance(rng, 200) {
		p.leanToMembership(rng)
	}
	p.Raft.MaxDriftPPM = max(1, p.DriftPPM) // what the clocks really do
	if p.AdminEvery > 0 {
		p.StayDown = false // a change that is under way may need everybody
		p.DeadSpares = chance(rng, 250)
	}
	p.keepTimely()
	return p
}

// keepTimely sees to it that the cluster can work at all once nothing breaks: elections need a
// round trip and two disk writes well within a timeout (paper, §5.6), and where an append carries
// one entry only, clients must be held back before the backlog lasts longer than the run.
func (p *Plan) keepTimely() {
	limit := p.Raft.ElectionTimeout / 8
	p.Jitter, p.SyncJitter = min(p.Jitter, limit), min(p.SyncJitter, limit)
	if p.Raft.MaxBatchBytes < 1000 {
		p.Raft.MaxUncommittedBytes = min(p.Raft.MaxUncommittedBytes, 2000)
	}
}

func (p *Plan) drawLoad(rng *rand.Rand) {
	p.Clients = pick(rng, 1, 2, 4, 8, 16)
	p.Think = pick[raft.Time](rng, 2, 10, 30, 100) * millisecond
	p.ReadPct = pick(rng, 10, 40, 60)
	p.FollowerPct = pick(rng, 0, 20, 60)
	p.Timeout = pick[raft.Time](rng, 50, 200, 1000) * millisecond
}

func (p *Plan) drawMembership(rng *rand.Rand) {
	p.AdminEvery = pick[raft.Time](rng, 200, 500, 2000) * millisecond
	p.Spares = rng.IntN(4)
}

// leanToReads: stale reads need a leader that was replaced without noticing, somebody who still
// asks it, and somebody else who has written meanwhile.
func (p *Plan) leanToReads(rng *rand.Rand) {
	p.Clients, p.ReadPct, p.FollowerPct = 16, 70, 60
	p.Think = pick[raft.Time](rng, 2, 10) * millisecond
	p.Timeout = pick[raft.Time](rng, 50, 1000) * millisecond
	p.LongPerMille = pick(rng, 30, 300)
	p.FaultEvery = pick[raft.Time](rng, 150, 400) * millisecond
	p.FaultLength = pick[raft.Time](rng, 150, 400) * millisecond
	p.Usurp = 700
	p.DriftPPM = pick(rng, 0, 400_000)
	p.FastRestart = chance(rng, 600)
	p.Raft.NoCheckQuorum = chance(rng, 600)
	p.Raft.LeaseReads = chance(rng, 600)
	p.Raft.NoPreVote = chance(rng, 500)
	p.Raft.Heartbeat = 10 * millisecond
	p.Raft.ElectionTimeout = pick[raft.Time](rng, 20, 60) * millisecond
}

// leanToElections: many short terms and quick restarts, so that votes, requests and grants of one
// term meet the next.
func (p *Plan) leanToElections(rng *rand.Rand) {
	p.Raft.NoPreVote = true
	p.Raft.Heartbeat = 10 * millisecond
	p.Raft.ElectionTimeout = 20 * millisecond
	p.LongDelay = pick[raft.Time](rng, 20, 200) * millisecond
	p.LongPerMille = pick(rng, 50, 300)
	p.DupPerMille = pick(rng, 0, 100)
	p.React = pick(rng, 50, 200)
	p.FastRestart = true
}

// leanToMembership: changes all the time, among many nodes.
func (p *Plan) leanToMembership(rng *rand.Rand) {
	p.AdminEvery = pick[raft.Time](rng, 50, 200) * millisecond
	p.Spares = 2 + rng.IntN(3)
	p.FaultEvery = pick[raft.Time](rng, 400, 1000) * millisecond
	p.SnapEvery = pick(rng, 0, 5, 20)
}

func (p *Plan) drawRaft(rng *rand.Rand) {
	o := &p.Raft
	o.Heartbeat = pick[raft.Time](rng, 10, 30, 50) * millisecond
	o.ElectionTimeout = o.Heartbeat * pick(rng, raft.Time(2), 3, 6)
	o.MaxBatchBytes = pick(rng, 1, 100, 1000, 1<<18)
	o.MaxInflightMsgs = pick(rng, 1, 2, 8, 64)
	o.MaxInflightBytes = pick(rng, 100, 1<<20)
	o.MaxUncommittedBytes = pick(rng, 500, 1<<20)
	o.KeepTail = pick(rng, 1, 5, 50, 1000)
	o.NoPreVote = chance(rng, 300)
	o.NoCheckQuorum = chance(rng, 150)
	o.LeaseReads = chance(rng, 300)
}

func (p *Plan) drawWorld(rng *rand.Rand) {
	p.Delay = pick[raft.Time](rng, 50, 200, 1000) * microsecond
	p.Jitter = pick[raft.Time](rng, 50, 500, 5000) * microsecond
	p.LongDelay = pick[raft.Time](rng, 20, 200, 800) * millisecond
	p.LongPerMille = pick(rng, 0, 0, 5, 30, 150)
	p.LossPerMille = pick(rng, 0, 0, 10, 50)
	p.DupPerMille = pick(rng, 0, 0, 30, 100)
	p.FIFO = chance(rng, 300)
	p.LateArrival = chance(rng, 500)
	p.Sync = pick[raft.Time](rng, 50, 200, 1000) * microsecond
	p.SyncJitter = pick[raft.Time](rng, 50, 1000, 10000) * microsecond
	p.Stall = pick[raft.Time](rng, 10, 100, 500) * millisecond
	p.StallPerMille = pick(rng, 0, 5, 50)
	p.TearPerMille = pick(rng, 0, 300, 700)
	p.DriftPPM = pick(rng, 0, 1000, 100_000, 400_000)
	p.ApplyDelay = pick[raft.Time](rng, 0, 0, 1, 20, 100) * millisecond
	p.Coalesce = pick[raft.Time](rng, 0, 0, 500, 5000) * microsecond
	p.SnapEvery = pick(rng, 0, 5, 20, 100)
}

// Benchmark is a healthy cluster under a steady load of ops operations per second.
func Benchmark(nodes, ops int, duration raft.Time) Plan {
	return Plan{
		Nodes: nodes, Duration: duration, Settle: 10 * second, Timeout: second,
		Raft:  raft.Options{KeepTail: 100, MaxBatchBytes: 1 << 18},
		Delay: 200 * microsecond, Jitter: 100 * microsecond,
		Sync: 200 * microsecond, SyncJitter: 100 * microsecond,
		SnapEvery: 1000, Clients: 10, ReadPct: 50, Think: second*10/raft.Time(ops) - millisecond,
	}
}

// String is the plan on one line.
func (p Plan) String() string {
	return fmt.Sprintf("%d+%d nodes, real storage %t, heartbeat %s, election %s, batch %d B, "+
		"window %d, delay %s+%s, loss %d‰, dup %d‰, long %d‰ ≤ %s, sync %s+%s, stall %d‰, drift %d ppm, "+
		"snapshots every %d, %d clients, faults every %s, reactive %d‰, admin every %s, "+
		"pre-vote %t, check-quorum %t, lease reads %t, fast restarts %t",
		p.Nodes, p.Spares, p.Real, show(p.Raft.Heartbeat), show(p.Raft.ElectionTimeout),
		p.Raft.MaxBatchBytes, p.Raft.MaxInflightMsgs, show(p.Delay), show(p.Jitter),
		p.LossPerMille, p.DupPerMille, p.LongPerMille, show(p.LongDelay), show(p.Sync),
		show(p.SyncJitter), p.StallPerMille, p.DriftPPM, p.SnapEvery, p.Clients,
		show(p.FaultEvery), p.React, show(p.AdminEvery), !p.Raft.NoPreVote,
		!p.Raft.NoCheckQuorum, p.Raft.LeaseReads, p.FastRestart)
}

// show prints virtual time in milliseconds.
func show(t raft.Time) string { return fmt.Sprintf("%.3fms", float64(t)/1e6) }

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

func chance(rng *rand.Rand, perMille int) bool { return perMille > 0 && rng.IntN(1000) < perMille }

// upTo is a random time below limit; zero if limit is zero.
func upTo(rng *rand.Rand, limit raft.Time) raft.Time {
	if limit <= 0 {
		return 0
	}
	return raft.Time(rng.Int64N(int64(limit)))
}
