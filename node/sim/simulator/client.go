package simulator

import "github.com/raftcheck/raftcheck/node/raft"

// client does one operation after another: it writes a value that nobody else writes, or reads.
// The time from invocation to answer is as short as can be, so that what is checked is as strict
// as can be: an operation must take its place in the log after all that had ended before it began.
type client struct {
	session uint64 // of the real state machine; 0 until it is open
	seq     uint32 // of the operation under way; commands that are retried keep it
	busy    bool
	write   bool
	key     uint32
	node    raft.ID // whom to try next
	expires raft.Time

	floor  raft.Index // the newest version of the key that was known to anybody at the invocation
	commit raft.Index // and how much was decided

	done int // answered since the calm began
}

// known is, per key, the newest version that any answer has shown.
func (w *World) known(key uint32) *raft.Index { return &w.truth.known[key] }

// clientStep begins, retries or waits for a client's operation.
func (w *World) clientStep(i int) {
	c := &w.clients[i]
	think, patience := w.plan.Think, w.plan.Timeout
	if w.calm { // a cluster with a backlog must not be buried in retries
		think, patience = max(think, 100*millisecond), max(patience, second)
	}
	w.after(1+upTo(w.rng, 2*think), event{kind: evClient, node: int16(i)})
	if c.busy && w.now < c.expires {
		return
	}
	retry := c.busy && c.write
	if c.busy {
		w.stats.Undecided++
		c.node = w.anyNode() // the one that was asked may be cut off
	}
	if !retry {
		c.busy = false
		if w.quiet {
			return
		}
		c.seq++
		c.write = w.rng.IntN(100) >= w.plan.ReadPct
		c.key = uint32(w.rng.IntN(maxKeys))
		c.floor = *w.known(c.key)
		c.commit = raft.Index(len(w.truth.committed) - 1)
	}
	if c.node == 0 || !c.write && w.rng.IntN(100) < w.plan.FollowerPct {
		c.node = w.anyNode()
	}
	c.busy, c.expires = true, w.now+patience
	w.invoke(i)
}

func (w *World) anyNode() raft.ID { return raft.ID(1 + w.rng.IntN(len(w.nodes))) }

// invoke hands a client's operation to a node. A paused one finds it when it goes on.
func (w *World) invoke(i int) {
	c := &w.clients[i]
	p := w.process(c.node)
	switch {
	case p.core == nil:
		w.refused(i, 0)
	case p.paused:
		p.queued = append(p.queued, event{kind: evInvoke, arg: uint32(i), life: c.seq})
	default:
		w.request(p, i, c.seq)
	}
}

// request is a client's operation reaching a node, unless the client has gone on to another.
func (w *World) request(p *process, i int, seq uint32) {
	c := &w.clients[i]
	if !c.busy || c.seq != seq {
		return
	}
	var err error
	if c.write {
		var first raft.Index
		var term raft.Term
		cmd := command{uint32(i), seq, c.key}
		first, term, err = p.core.Propose(p.local(), [][]byte{w.encode(c, cmd)})
		if err == nil {
			p.forgetFrom(first)
			p.asked = append(p.asked, clientWrite{first, term, i, seq})
		}
	} else {
		err = p.core.Read(p.local(), uint64(i)<<32|uint64(seq))
	}
	if err != nil {
		w.refused(i, p.core.Leader())
		return
	}
	p.input()
}

func (w *World) encode(c *client, cmd command) []byte {
	if w.plan.Real {
		return cmd.encodeReal(c.session)
	}
	return cmd.encode()
}

// refused sends a client to try elsewhere, soon.
func (w *World) refused(i int, hint raft.ID) {
	c := &w.clients[i]
	c.node = hint
	c.expires = w.now
}

// undecided tells a client that nobody can know what became of its operation.
func (w *World) undecided(i int, seq uint32) {
	if c := &w.clients[i]; c.busy && c.seq == seq {
		c.expires = w.now
	}
}

// wrote answers a write: it stands at version.
func (w *World) wrote(i int, seq uint32, version raft.Index) {
	c := &w.clients[i]
	if !c.busy || c.seq != seq || !c.write || version == 0 {
		return
	}
	if w.plan.Real && c.session == 0 {
		c.session, c.busy = uint64(version), false // the write itself comes next
		return
	}
	if version <= c.floor {
		w.fail("linearizability", "client %d wrote key %d as version %d, but %d was known before",
			i, c.key, version, c.floor)
	}
	w.stats.Writes++
	w.answered(c, version)
}

// checkReadIndex checks the index of a read: nothing decided before it began may be missing.
func (w *World) checkReadIndex(p *process, i int, seq uint32, index raft.Index) {
	c := &w.clients[i]
	if c.busy && c.seq == seq && !c.write && index < c.commit {
		w.fail("read index", "%s answers client %d's read with index %d; %d was decided before it began",
			p.id, i, index, c.commit)
	}
}

// readAnswered answers a read from a state machine.
func (w *World) readAnswered(i int, seq uint32, m *machine) {
	c := &w.clients[i]
	if !c.busy || c.seq != seq || c.write {
		return
	}
	v := m.keys[c.key].version
	if v < c.floor {
		w.fail("linearizability", "client %d read key %d as version %d, but %d was known before",
			i, c.key, v, c.floor)
	}
	w.stats.Reads++
	w.answered(c, v)
}

func (w *World) answered(c *client, version raft.Index) {
	k := w.known(c.key)
	*k = max(*k, version)
	c.busy = false
	if w.calm {
		c.done++
	}
}
