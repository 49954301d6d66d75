package server

import "github.com/raftcheck/raftcheck/node/raft"

// pendingWrites are the writes that were appended and are not decided, by their index. There can be
// several at one index: one of a term in which leadership was lost, and one of a later term, when
// the log was cut and grew again.
type pendingWrites struct {
	byIndex map[raft.Index]*write
	older   map[raft.Index][]*write // those that a later one took the place of
}

func (p *pendingWrites) len() int { return len(p.byIndex) + len(p.older) }

func (p *pendingWrites) add(i raft.Index, w *write) {
	if p.byIndex == nil {
		p.byIndex, p.older = map[raft.Index]*write{}, map[raft.Index][]*write{}
	}
	if old := p.byIndex[i]; old != nil {
		p.older[i] = append(p.older[i], old)
	}
	p.byIndex[i] = w
}

// decide takes in that the entry of a term is committed at i. It returns the write that this entry
// came from, if any; other writes at this index can never be committed, and are told so.
func (p *pendingWrites) decide(i raft.Index, term raft.Term) (mine *write) {
	w := p.byIndex[i]
	if w == nil {
		return nil
	}
	delete(p.byIndex, i)
	if w.term == term {
		mine = w
	} else {
		w.fail(errOverwritten())
	}
	if len(p.older) == 0 {
		return mine
	}
	for _, old := range p.older[i] {
		if old.term == term {
			mine = old
		} else {
			old.fail(errOverwritten())
		}
	}
	delete(p.older, i)
	return mine
}

// removeUpTo removes and returns all writes up to an index.
func (p *pendingWrites) removeUpTo(last raft.Index) []*write {
	var removed []*write
	for i, w := range p.byIndex {
		if i <= last {
			removed = append(append(removed, w), p.older[i]...)
			delete(p.byIndex, i)
			delete(p.older, i)
		}
	}
	return removed
}

// removeUnlessOf removes and returns all writes but those of the term.
func (p *pendingWrites) removeUnlessOf(term raft.Term) []*write {
	var removed []*write
	for i, w := range p.byIndex {
		if w.term != term {
			removed = append(removed, w)
			delete(p.byIndex, i)
		}
	}
	for i, old := range p.older {
		removed = append(removed, old...)
		delete(p.older, i)
	}
	return removed
}
