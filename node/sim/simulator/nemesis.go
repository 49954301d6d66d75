package simulator

import (
	"fmt"
	"slices"

	"github.com/raftcheck/raftcheck/node/raft"
)

// fault is something that is broken at the moment: links that are cut.
type fault struct {
	links []int
}

// nextFault breaks something at random, and plans the next.
func (w *World) nextFault() {
	if w.calm {
		return
	}
	w.after(1+upTo(w.rng, 2*w.plan.FaultEvery), event{kind: evFault})
	if chance(w.rng, w.plan.Usurp) {
		w.usurp()
		return
	}
	victim := w.nodes[w.rng.IntN(len(w.nodes))]
	if w.rng.IntN(2) == 0 {
		if l := w.leader(); l != nil {
			victim = l
		}
	}
	switch w.rng.IntN(10) {
	case 0, 1, 2:
		w.crash(victim)
	case 3:
		w.pause(victim)
	case 4, 5:
		w.isolate(victim)
	case 6, 7:
		w.split()
	case 8:
		w.deafen(victim)
	case 9:
		for _, p := range w.nodes { // a power failure
			w.crash(p)
		}
	}
}

// react provokes a fault at the very moments when a protocol is most easily hurt: just elected,
// just voted, just committed, just given a snapshot. Figure 8 of the paper needs leaders to die
// right after their elections, several times in a row, which chance hardly ever finds.
func (w *World) react(p *process, events []raft.Event) {
	if w.plan.React == 0 || w.calm {
		return
	}
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case raft.EventLeader, raft.EventVote, raft.EventSnapshot, raft.EventConfig:
		case raft.EventCommit:
			if p.leads == 0 || w.rng.IntN(8) > 0 {
				continue
			}
		default:
			continue
		}
		if chance(w.rng, w.plan.React) {
			w.provoke(p)
		}
	}
}

func (w *World) provoke(p *process) {
	soon := upTo(w.rng, pick(w.rng, 400*microsecond, 6*millisecond))
	switch w.rng.IntN(6) {
	case 0, 1:
		w.schedule(p, evCrash, soon, 0)
	case 2:
		w.isolate(p)
	case 3:
		w.leaveOne(p)
	case 4:
		w.deafen(p)
	case 5:
		w.pause(p)
	}
}

func (w *World) leader() *process {
	for _, p := range w.nodes {
		if p.core != nil && p.core.Role() == raft.Leader {
			return p
		}
	}
	return nil
}

// crash ends a process and starts it again later.
func (w *World) crash(p *process) {
	if p.core == nil || w.calm {
		return
	}
	w.trace(p, "crash", "")
	w.stats.Crashes++
	p.crash()
	down := upTo(w.rng, w.plan.FaultLength)
	if w.plan.FastRestart {
		down = upTo(w.rng, 20*millisecond)
	}
	w.schedule(p, evStart, 1+down, 0)
}

// pause stops a process for a while; its clock and its disk go on.
func (w *World) pause(p *process) {
	if p.core == nil || p.paused {
		return
	}
	w.trace(p, "pause", "")
	w.stats.Pauses++
	p.paused = true
	w.schedule(p, evResume, upTo(w.rng, w.plan.FaultLength), 0)
}

// isolate cuts a node off from all others.
func (w *World) isolate(p *process) {
	w.partition(func(from, to raft.ID) bool { return (from == p.id) != (to == p.id) })
}

// leaveOne cuts a node off from all others but one.
func (w *World) leaveOne(p *process) {
	friend := w.anyNode()
	w.partition(func(from, to raft.ID) bool {
		return (from == p.id) != (to == p.id) && from != friend && to != friend
	})
}

// deafen lets a node speak but not hear, or hear but not speak.
func (w *World) deafen(p *process) {
	mute := w.rng.IntN(2) == 0
	w.partition(func(from, to raft.ID) bool {
		return mute && from == p.id || !mute && to == p.id
	})
}

// usurp cuts the leader off, so that another is elected while it may still think that it leads;
// the others may forget what they promised it, or it may sleep meanwhile.
func (w *World) usurp() {
	l := w.leader()
	if l == nil {
		return
	}
	switch w.rng.IntN(4) {
	case 0:
		for _, p := range w.nodes {
			if p != l {
				w.crash(p)
			}
		}
	case 1:
		w.pause(l)
	case 2:
		_ = l.core.Transfer(l.local(), w.anyNode())
		w.schedule(l, evTurn, 0, 0)
	}
	w.isolate(l)
}

// split cuts the cluster in two, at random; sometimes in one direction only.
func (w *World) split() {
	side := w.rng.Uint64()
	oneWay := w.rng.IntN(4) == 0
	w.partition(func(from, to raft.ID) bool {
		a, b := side>>from&1, side>>to&1
		return a < b || a > b && !oneWay
	})
}

// partition cuts the links that are named, for a while.
func (w *World) partition(cuts func(from, to raft.ID) bool) {
	f := fault{}
	for _, from := range w.nodes {
		for _, to := range w.nodes {
			if from != to && cuts(from.id, to.id) {
				f.links = append(f.links, w.net.link(from.id, to.id))
			}
		}
	}
	for _, l := range f.links {
		w.net.cuts[l]++
	}
	if w.log != nil {
		fmt.Fprintf(w.log, "%12s cut %d: links %v\n", show(w.now), len(w.faults), f.links)
	}
	w.stats.Partitions++
	w.faults = append(w.faults, f)
	w.after(1+upTo(w.rng, w.plan.FaultLength), event{kind: evHeal, arg: uint32(len(w.faults) - 1)})
}

func (w *World) heal(i int) {
	for _, l := range w.faults[i].links {
		w.net.cuts[l]--
	}
	w.faults[i].links = nil
	if w.log != nil {
		fmt.Fprintf(w.log, "%12s heal %d\n", show(w.now), i)
	}
}

// admin does what an operator does: swaps members, moves the leadership.
func (w *World) admin() {
	if w.calm {
		return
	}
	w.after(1+upTo(w.rng, 2*w.plan.AdminEvery), event{kind: evAdmin})
	p := w.leader()
	if p == nil || p.paused {
		return
	}
	if w.rng.IntN(3) == 0 {
		to := w.anyNode()
		w.trace(p, "asked to transfer", to.String())
		_ = p.core.Transfer(p.local(), to)
	} else {
		target := w.drawMembers()
		w.trace(p, "asked to change to", target.String())
		_ = p.core.ChangeTo(p.local(), target)
	}
	p.input()
}

// drawMembers draws a membership from all nodes.
func (w *World) drawMembers() raft.Config {
	var c raft.Config
	for _, i := range w.rng.Perm(len(w.nodes)) {
		id := raft.ID(i + 1)
		switch {
		case len(c.Voters) == 0 || w.rng.IntN(10) < 6:
			c.Voters = append(c.Voters, id)
		case w.rng.IntN(4) == 0:
			c.Learners = append(c.Learners, id)
		}
	}
	slices.Sort(c.Voters)
	slices.Sort(c.Learners)
	return c
}
