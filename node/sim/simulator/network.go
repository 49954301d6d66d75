package simulator

import "github.com/raftcheck/raftcheck/node/raft"

// network is the links between the nodes. A link may be cut by several faults at once.
type network struct {
	n    int
	cuts []int16     // by link: how many faults cut it
	busy []raft.Time // by link: when its last message arrives, for links that keep order
}

func (n *network) init(nodes int) {
	n.n = nodes
	n.cuts = make([]int16, nodes*nodes)
	n.busy = make([]raft.Time, nodes*nodes)
}

func (n *network) link(from, to raft.ID) int { return int(from-1)*n.n + int(to-1) }

// cut reports whether nothing gets from one node to the other.
func (w *World) cut(from, to raft.ID) bool { return w.net.cuts[w.net.link(from, to)] > 0 }

// latency is how long a message takes.
func (w *World) latency() raft.Time {
	if chance(w.rng, w.plan.LongPerMille) && !w.calm {
		return w.plan.Delay + upTo(w.rng, w.plan.LongDelay)
	}
	return w.plan.Delay + upTo(w.rng, w.plan.Jitter)
}

// transmit sends a message on its way: it may be lost, doubled, late or overtaken.
func (w *World) transmit(p *process, m *raft.Message) {
	if m.To == 0 || int(m.To) > len(w.nodes) {
		w.fail("addressing", "%s sends to %s: %s", p.id, m.To, describe(m))
		return
	}
	w.stats.Messages++
	w.checkPromise(p, m)
	switch {
	case m.Kind == raft.MsgVote:
		w.noteVote(p, m.Term, p.id)
	case m.Kind == raft.MsgVoteResp && !m.Reject:
		w.noteVote(p, m.Term, m.To)
	}
	w.digest = mix(w.digest, uint64(m.Kind)<<56^uint64(m.To)<<48^uint64(m.Term)<<32^uint64(m.Index))
	if w.log != nil {
		w.trace(p, "sends to "+m.To.String(), describe(m))
	}
	if w.cut(m.From, m.To) || !w.calm && chance(w.rng, w.plan.LossPerMille) {
		return
	}
	w.convey(m)
	if !w.calm && chance(w.rng, w.plan.DupPerMille) {
		w.convey(m)
	}
}

func (w *World) convey(m *raft.Message) {
	at := w.now + w.latency()
	if w.plan.FIFO {
		busy := &w.net.busy[w.net.link(m.From, m.To)]
		at = max(at, *busy)
		*busy = at
	}
	to := w.process(m.To)
	w.queue.push(event{at: at, kind: evDeliver, node: int16(m.To), life: to.life, arg: w.slab.put(m)})
}

// deliver hands a message to its receiver, if that runs and the link was not cut meanwhile. A
// message may outlive the process that it was sent to, and meet its next life.
func (w *World) deliver(e *event) {
	p := w.nodes[e.node-1]
	if p.core != nil && p.paused {
		p.queued = append(p.queued, *e)
		return
	}
	m := w.slab.take(e.arg)
	if p.core == nil || !w.plan.LateArrival && w.cut(m.From, m.To) {
		return
	}
	if w.log != nil {
		w.trace(p, "hears from "+m.From.String(), describe(&m))
	}
	p.core.Step(p.local(), m)
	p.input()
}
