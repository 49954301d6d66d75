package agent

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// emulator is the part of the network that is slow and lossy: packets go in, and come out later, or
// not, or twice. It knows neither clock nor sockets, so that it is the same packet for packet from
// the same seed. Times are since any fixed moment.
type emulator struct {
	rng   *rand.Rand
	links map[netip.Addr]*link // those that ever were shaped
	queue packets
	seq   uint64
}

// link is one direction of one link.
type link struct {
	wire.Link
	on    bool
	busy  time.Duration // when the last packet will have been sent, at the link's rate
	last  time.Duration // when the last packet arrives that was not to be overtaken
	count wire.LinkCount
}

// packet waits until it is due.
type packet struct {
	at   time.Duration
	seq  uint64 // keeps the order of those due at the same time
	to   netip.Addr
	data []byte
}

const (
	// maxWaiting bounds what waits for one address; what comes then is lost, as in any router.
	maxWaiting = 10_000
	// never is when held packets are due.
	never = time.Duration(math.MaxInt64)
	// leastOvertake is how much later a packet comes, at the least, that is to be overtaken.
	leastOvertake = 2 * time.Millisecond
)

func newEmulator() *emulator {
	return &emulator{rng: rand.New(rand.NewPCG(0, 0)), links: map[netip.Addr]*link{}}
}

// shape replaces all links. What waits for an address that is no longer shaped, or is no longer
// held, becomes due at once.
func (e *emulator) shape(now time.Duration, to map[netip.Addr]wire.Link, seed uint64) {
	e.rng = rand.New(rand.NewPCG(seed, 0))
	released := map[netip.Addr]bool{}
	for a, l := range e.links {
		next, ok := to[a]
		released[a] = !ok || l.Hold && !next.Hold
		l.Link, l.on = next, ok
		if released[a] {
			l.busy, l.last = 0, 0
		}
	}
	for a, l := range to {
		if e.links[a] == nil {
			e.links[a] = &link{Link: l, on: true}
		}
	}
	for i := range e.queue {
		if released[e.queue[i].to] {
			e.queue[i].at = now
		}
	}
	heap.Init(&e.queue)
}

// accept decides the fate of a packet. It takes data over.
func (e *emulator) accept(now time.Duration, to netip.Addr, data []byte) {
	l := e.links[to]
	if l == nil || !l.on { // on its way when the link was healed
		e.push(now, to, data)
		return
	}
	l.count.Packets++
	l.count.Bytes += uint64(len(data))
	if l.count.Waiting >= maxWaiting {
		l.count.Overflown++
		return
	}
	if e.draw(l.Loss) {
		l.count.Lost++
		return
	}
	at := e.arrival(l, now, len(data))
	if e.draw(l.Corrupt) && flipBit(e.rng, data) {
		l.count.Corrupted++
	}
	if e.draw(l.Reorder) {
		l.count.Reordered++
		at = later(at, max(leastOvertake, 2*l.Jitter, l.Delay/2))
	} else {
		at = max(at, l.last)
		l.last = at
	}
	e.push(at, to, data)
	if e.draw(l.Duplicate) {
		l.count.Duplicated++
		e.push(at, to, data)
	}
}

// arrival is when a packet comes out, if nothing overtakes it.
func (e *emulator) arrival(l *link, now time.Duration, size int) time.Duration {
	if l.Hold {
		return never
	}
	at := now
	if l.Rate > 0 {
		took := float64(size) * 8 / float64(l.Rate) * float64(time.Second)
		l.busy = max(l.busy, now) + time.Duration(min(took, float64(time.Hour)))
		at = l.busy
	}
	at += l.Delay
	if l.Jitter > 0 {
		at += time.Duration(e.rng.Int64N(2*int64(l.Jitter)+1)) - l.Jitter
	}
	return max(at, now)
}

// later adds, and never stays never.
func later(at, d time.Duration) time.Duration {
	if at == never {
		return never
	}
	return at + d
}

// draw says yes with a probability; none is drawn where there is nothing to decide.
func (e *emulator) draw(p float64) bool { return p > 0 && e.rng.Float64() < p }

// flipBit changes a bit behind the IPv4 header, if there is one.
func flipBit(rng *rand.Rand, data []byte) bool {
	if len(data) == 0 {
		return false
	}
	head := int(data[0]&0x0f) * 4
	if head >= len(data) {
		return false
	}
	data[head+rng.IntN(len(data)-head)] ^= 1 << rng.IntN(8)
	return true
}

func (e *emulator) push(at time.Duration, to netip.Addr, data []byte) {
	e.seq++
	heap.Push(&e.queue, packet{at: at, seq: e.seq, to: to, data: data})
	if l := e.links[to]; l != nil {
		l.count.Waiting++
	}
}

// pop takes the next packet that is due.
func (e *emulator) pop(now time.Duration) (packet, bool) {
	if len(e.queue) == 0 || e.queue[0].at > now {
		return packet{}, false
	}
	p := heap.Pop(&e.queue).(packet)
	if l := e.links[p.to]; l != nil {
		l.count.Waiting--
	}
	return p, true
}

// next is when the next packet is due; never if none is.
func (e *emulator) next() time.Duration {
	if len(e.queue) == 0 {
		return never
	}
	return e.queue[0].at
}

// counts tells what went over each link that ever was shaped.
func (e *emulator) counts() map[netip.Addr]wire.LinkCount {
	m := make(map[netip.Addr]wire.LinkCount, len(e.links))
	for a, l := range e.links {
		m[a] = l.count
	}
	return m
}

// packets is a heap by the time that they are due.
type packets []packet

func (q packets) Len() int { return len(q) }
func (q packets) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q packets) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements [heap.Interface].
func (q *packets) Push(x any) { *q = append(*q, x.(packet)) }

// Pop implements [heap.Interface].
func (q *packets) Pop() any {
	last := len(*q) - 1
	p := (*q)[last]
	(*q)[last] = packet{}
	*q = (*q)[:last]
	return p
}
