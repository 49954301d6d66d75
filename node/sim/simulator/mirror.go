package simulator

import "github.com/raftcheck/raftcheck/node/raft"

// mirror is a node's log as the effects of its core tell it, with a hash over each prefix: two
// logs that have the same hash at an index are equal up to there.
type mirror struct {
	base    raft.Index
	terms   []raft.Term
	chains  []uint64
	configs []placedConfig // the newest is in force
}

type placedConfig struct {
	index  raft.Index
	config raft.Config
}

func (m *mirror) last() raft.Index { return m.base + raft.Index(len(m.terms)) }

func (m *mirror) term(i raft.Index) (raft.Term, bool) {
	if i <= m.base || i > m.last() {
		return 0, false
	}
	return m.terms[i-m.base-1], true
}

func (m *mirror) chain(i raft.Index) (uint64, bool) {
	if i <= m.base || i > m.last() {
		return 0, false
	}
	return m.chains[i-m.base-1], true
}

// configAt is the membership that was in force when the log ended at i.
func (m *mirror) configAt(i raft.Index) *raft.Config {
	k := len(m.configs) - 1
	for k > 0 && m.configs[k].index > i {
		k--
	}
	return &m.configs[k].config
}

// config is the membership in force.
func (m *mirror) config() *raft.Config { return &m.configs[len(m.configs)-1].config }

// restore sets the mirror to what a process starts with.
func (m *mirror) restore(w *World, d *disk, from raft.Restored) {
	*m = mirror{configs: []placedConfig{{from.Snapshot.Index, from.Snapshot.Config}}}
	if !d.contradicted() {
		m.base = d.base
		m.append(w, d.entries)
		return
	}
	m.base = from.Snapshot.Index
}

// contradicted reports whether the log does not contain the snapshot's end, so that the core will
// discard it.
func (d *disk) contradicted() bool {
	if d.snap.Index == d.base || len(d.entries) == 0 {
		return d.snap.Index > d.base
	}
	if d.snap.Index < d.base || d.snap.Index > d.last() {
		return true
	}
	return d.entries[d.snap.Index-d.base-1].Term != d.snap.Term
}

// follow takes over what one Output changes.
func (m *mirror) follow(p *process, o *raft.Output) {
	switch {
	case o.Reset != nil:
		*m = mirror{base: o.Reset.Index}
		m.configs = []placedConfig{{o.Reset.Index, o.Reset.Config}}
	case o.Truncate != 0:
		if o.Truncate <= m.base {
			p.w.fail("log", "%s truncates %d, below its log's beginning %d", p.id, o.Truncate, m.base)
			return
		}
		m.terms = m.terms[:o.Truncate-m.base-1]
		m.chains = m.chains[:len(m.terms)]
		for len(m.configs) > 1 && m.configs[len(m.configs)-1].index >= o.Truncate {
			m.configs = m.configs[:len(m.configs)-1]
		}
	}
	m.append(p.w, o.Append)
}

// append adds entries and compares each with all others of its index and term in the cluster.
func (m *mirror) append(w *World, entries []raft.Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Index != m.last()+1 {
			w.fail("log", "entry %d appended after %d", e.Index, m.last())
			return
		}
		var prev uint64
		if k := len(m.chains); k > 0 {
			prev = m.chains[k-1]
		} else {
			prev = w.truth.chainBefore(e.Index)
		}
		chain := mix(mix(prev, uint64(e.Index)<<20^uint64(e.Term)<<2^uint64(e.Kind)), hash(e.Data))
		m.terms = append(m.terms, e.Term)
		m.chains = append(m.chains, w.truth.match(w, e, chain))
		if e.Kind == raft.EntryConfig && e.Index > m.configs[len(m.configs)-1].index {
			c, err := raft.DecodeConfig(e.Data)
			if err != nil {
				w.fail("config", "entry %d: %v", e.Index, err)
				return
			}
			m.configs = append(m.configs, placedConfig{e.Index, c})
		}
	}
}

// voters are the halves of which each must agree: one, or two while joint.
func voters(c *raft.Config) [][]raft.ID {
	if len(c.Old) > 0 {
		return [][]raft.ID{c.Voters, c.Old}
	}
	return [][]raft.ID{c.Voters}
}

// quorum reports whether more than half of each half satisfy ok. It is written anew here, so that
// a mistake in the core's counting is not made twice.
func quorum(c *raft.Config, ok func(raft.ID) bool) bool {
	for _, half := range voters(c) {
		n := 0
		for _, id := range half {
			if ok(id) {
				n++
			}
		}
		if n*2 <= len(half) {
			return false
		}
	}
	return true
}

// hash is FNV-1a.
func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}
