package simulator

import "github.com/raftcheck/raftcheck/node/raft"

// eventKind says what happens.
type eventKind uint8

const (
	evDeliver eventKind = iota + 1 // a message arrives: arg is its place in the slab
	evTimer                        // a node's deadline
	evTurn                         // a node drains its effects (when inputs are coalesced)
	evDisk                         // a node's disk finished what it was writing
	evApply                        // a node's state machine goes on
	evFetched                      // a node has fetched a snapshot, or gave up
	evSaved                        // a node has written its own snapshot
	evStart                        // a node's process starts
	evCrash                        // and dies
	evResume                       // a paused process goes on
	evClient                       // a client's next step
	evInvoke                       // a request waits for a paused process: life is its seq
	evFault                        // the nemesis's next idea
	evHeal                         // the end of one of its faults: arg is which
	evAdmin                        // the operator changes the membership or the leader
)

// event is something that will happen at a time to a node (or client), unless the node's process
// has ended before: then life differs.
type event struct {
	at   raft.Time
	seq  uint64 // ties are resolved in the order of scheduling
	arg  uint32
	life uint32
	node int16
	kind eventKind
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

// queue is a binary heap of events.
type queue struct {
	heap []event
	seq  uint64
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	h := append(q.heap, e)
	i := len(h) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !e.before(&h[parent]) {
			break
		}
		h[i] = h[parent]
		i = parent
	}
	h[i] = e
	q.heap = h
}

func (q *queue) pop() event {
	h := q.heap
	top := h[0]
	e := h[len(h)-1]
	h = h[:len(h)-1]
	q.heap = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= len(h) {
			break
		}
		if child+1 < len(h) && h[child+1].before(&h[child]) {
			child++
		}
		if !h[child].before(&e) {
			break
		}
		h[i] = h[child]
		i = child
	}
	h[i] = e
	return top
}

// slab holds the messages on their way, so that events stay small.
type slab struct {
	msgs []raft.Message
	free []uint32
}

func (s *slab) put(m *raft.Message) uint32 {
	if k := len(s.free); k > 0 {
		i := s.free[k-1]
		s.free = s.free[:k-1]
		s.msgs[i] = *m
		return i
	}
	s.msgs = append(s.msgs, *m)
	return uint32(len(s.msgs) - 1)
}

func (s *slab) take(i uint32) raft.Message {
	m := s.msgs[i]
	s.msgs[i] = raft.Message{}
	s.free = append(s.free, i)
	return m
}
