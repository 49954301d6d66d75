package simulator

import "github.com/raftcheck/raftcheck/node/raft"

// calmDown ends all faults; from here on the cluster must recover, perhaps without those nodes
// that it can do without.
func (w *World) calmDown() {
	w.calm = true
	for i := range w.faults {
		if w.faults[i].links != nil {
			w.heal(i)
		}
	}
	if w.plan.StayDown {
		for _, i := range w.rng.Perm(len(w.nodes)) {
			w.maybeRetire(w.nodes[i])
		}
	}
	for _, p := range w.nodes {
		switch {
		case p.retired:
			p.crash()
		case p.core == nil:
			w.schedule(p, evStart, 0, 0)
		case p.paused:
			w.schedule(p, evResume, 0, 0)
		}
	}
}

// maybeRetire takes a node down for good, if whatever membership anybody believes in can still
// decide without it.
func (w *World) maybeRetire(p *process) {
	p.retired = true
	alive := func(id raft.ID) bool { return !w.process(id).retired }
	for _, q := range w.nodes {
		for i := range q.mirror.configs {
			if c := &q.mirror.configs[i].config; len(c.Voters) > 0 && !quorum(c, alive) {
				p.retired = false
				return
			}
		}
	}
	w.trace(p, "stays down", "")
}

// checkRecovered checks liveness: after calm has reigned for a while, every client is served and
// every member has all that was decided up to last, a second ago.
func (w *World) checkRecovered(last raft.Index) {
	if w.failed() || !w.calm {
		return
	}
	for i := range w.clients {
		if w.clients[i].done == 0 {
			w.fail("recovery", "client %d got no answer in %s of calm", i, show(w.plan.Settle))
			return
		}
	}
	l := w.leader()
	if l == nil {
		w.fail("recovery", "nobody leads after %s of calm", show(w.plan.Settle))
		return
	}
	config := l.mirror.config()
	if config.Joint() {
		w.fail("recovery", "the change to %s is not finished after %s of calm",
			config, show(w.plan.Settle))
	}
	for _, id := range config.Members() {
		p := w.process(id)
		if p.retired {
			continue
		}
		if w.plan.Raft.MaxBatchBytes < 1000 && p.machine.applied > p.atQuiet {
			continue // an entry a message, and those overtake each other: slow, but it goes on
		}
		if p.machine.applied < last {
			w.fail("recovery", "%s has applied %d of %d after %s of calm",
				id, p.machine.applied, last, show(w.plan.Settle))
		}
	}
}
