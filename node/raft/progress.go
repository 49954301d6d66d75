package raft

// progressState says how a leader replicates to one follower.
type progressState uint8

const (
	// stateProbe: it is not known where the logs agree; one Append at a time, until one fits.
	stateProbe progressState = iota
	// stateReplicate: they agree up to match, and Appends follow each other without waiting.
	stateReplicate
	// stateSnapshot: the follower needs what is compacted away; no Appends until it has it.
	stateSnapshot
)

var progressNames = [...]string{"probe", "replicate", "snapshot"}

// progress is what a leader knows of one other member.
//
//  1. match < next.
//  2. match never goes down during a term: what is on the follower's disk and matches, stays.
//  3. In stateReplicate, the entries between match and next are on their way.
type progress struct {
	id    ID
	match Index // the follower's log is on its disk and equal to ours up to here
	next  Index // the next entry to send
	state progressState

	inflight window
	waiting  bool // probe: an Append is out; snapshot: the announcement is
	// since is when the oldest thing that we wait for was sent, or when the last answer came.
	since Time

	lastSeen Time   // when we last heard from it in this term
	readAck  uint64 // the last read round that it answered
	leaseAt  Time   // when that round's heartbeat left

	// Catching up before a promotion (§4.2.1): a round is done when match reaches roundEnd.
	roundEnd   Index
	roundBegan Time
	caughtUp   bool
}

func (p *progress) probe() {
	p.state = stateProbe
	p.next = p.match + 1
	p.waiting = false
	p.inflight.clear()
}

func (p *progress) replicate() {
	p.state = stateReplicate
	p.next = p.match + 1
	p.waiting = false
	p.inflight.clear()
}

// acked takes in that the follower has everything up to i. It reports whether that was news.
func (p *progress) acked(now Time, i Index) bool {
	if i <= p.match {
		return false
	}
	p.match = i
	p.next = max(p.next, i+1)
	p.since = now
	p.inflight.free(i)
	return true
}

// window is the Appends on their way to a follower, oldest first.
type window struct {
	sent  []sentAppend
	bytes int
}

type sentAppend struct {
	last  Index
	bytes int
}

func (w *window) add(last Index, bytes int) {
	w.sent = append(w.sent, sentAppend{last, bytes})
	w.bytes += bytes
}

// free takes out what an acknowledgement of i covers.
func (w *window) free(i Index) {
	k := 0
	for k < len(w.sent) && w.sent[k].last <= i {
		w.bytes -= w.sent[k].bytes
		k++
	}
	w.sent = w.sent[:copy(w.sent, w.sent[k:])]
}

func (w *window) clear() { w.sent, w.bytes = w.sent[:0], 0 }

func (w *window) full(msgs, bytes int) bool { return len(w.sent) >= msgs || w.bytes >= bytes }
