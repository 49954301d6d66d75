package agent

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// sent is a packet that came out of the emulator.
type sent struct {
	number int
	at     time.Duration
	whole  bool
}

// numbered is an IPv4 packet of 100 bytes that carries its number.
func numbered(n int) []byte {
	p := make([]byte, 100)
	p[0] = 0x45
	binary.BigEndian.PutUint32(p[20:], uint32(n))
	for i := 24; i < len(p); i++ {
		p[i] = byte(i)
	}
	return p
}

// through sends n packets over a link, one each step, and returns what comes out.
func through(l wire.Link, seed uint64, n int, step time.Duration) ([]sent, wire.LinkCount) {
	to := netip.MustParseAddr("10.0.0.2")
	e := newEmulator()
	e.shape(0, map[netip.Addr]wire.Link{to: l}, seed)
	var out []sent
	drain := func(until time.Duration) {
		for e.next() <= until && e.next() != never {
			at := e.next()
			p, _ := e.pop(at)
			got := int(binary.BigEndian.Uint32(p.data[20:]))
			out = append(out, sent{got, at, slices.Equal(p.data, numbered(got))})
		}
	}
	for i := range n {
		now := time.Duration(i) * step
		drain(now)
		e.accept(now, to, numbered(i))
	}
	drain(never - 1)
	return out, e.counts()[to]
}

func TestEmulator(t *testing.T) {
	const n, step = 10_000, time.Millisecond
	about := func(t *testing.T, what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.15*want {
			t.Errorf("%s: got %v, want about %v", what, got, want)
		}
	}
	late := func(s sent) time.Duration { return s.at - time.Duration(s.number)*step }
	inOrder := func(out []sent) bool {
		return slices.IsSortedFunc(out, func(a, b sent) int { return a.number - b.number })
	}
	for _, c := range []struct {
		name string
		link wire.Link
		look func(t *testing.T, out []sent, count wire.LinkCount)
	}{
		{"nothing", wire.Link{}, func(t *testing.T, out []sent, _ wire.LinkCount) {
			for _, s := range out {
				if late(s) != 0 {
					t.Fatalf("packet %d is %v late", s.number, late(s))
				}
			}
		}},
		{"delay", wire.Link{Delay: 7 * step}, func(t *testing.T, out []sent, _ wire.LinkCount) {
			for _, s := range out {
				if late(s) != 7*step {
					t.Fatalf("packet %d is %v late", s.number, late(s))
				}
			}
		}},
		{"jitter keeps the order", wire.Link{Delay: 7 * step, Jitter: 5 * step},
			func(t *testing.T, out []sent, _ wire.LinkCount) {
				if !inOrder(out) {
					t.Error("packets overtook each other")
				}
				out = slices.Clone(out)
				slices.SortFunc(out, func(a, b sent) int { return int(late(a) - late(b)) })
				if lo, hi := late(out[0]), late(out[n-1]); lo < 2*step || hi > 12*step || hi-lo < 6*step {
					t.Errorf("late from %v to %v", lo, hi)
				}
			}},
		{"rate", wire.Link{Rate: 400_000}, func(t *testing.T, out []sent, _ wire.LinkCount) {
			// 100 bytes take 2 ms, and one comes every ms.
			about(t, "the last one is late", late(out[n-1]).Seconds(), (n * step).Seconds())
		}},
		{"loss", wire.Link{Loss: 0.2}, func(t *testing.T, out []sent, count wire.LinkCount) {
			about(t, "lost", float64(n-len(out)), 0.2*n)
			if count.Lost != uint64(n-len(out)) {
				t.Errorf("lost: counted %d of %d", count.Lost, n-len(out))
			}
		}},
		{"duplicates", wire.Link{Duplicate: 0.1}, func(t *testing.T, out []sent, count wire.LinkCount) {
			about(t, "twice", float64(len(out)-n), 0.1*n)
			if count.Duplicated != uint64(len(out)-n) || !inOrder(out) {
				t.Errorf("counted %d of %d, in order %v", count.Duplicated, len(out)-n, inOrder(out))
			}
		}},
		{"reordering", wire.Link{Delay: 10 * step, Reorder: 0.1},
			func(t *testing.T, out []sent, count wire.LinkCount) {
				overtaken, highest := 0, -1
				for _, s := range out {
					if s.number < highest {
						overtaken++
					}
					highest = max(highest, s.number)
				}
				about(t, "overtaken", float64(overtaken), 0.1*n)
				about(t, "counted", float64(count.Reordered), 0.1*n)
			}},
		{"corruption", wire.Link{Corrupt: 0.1}, func(t *testing.T, out []sent, count wire.LinkCount) {
			bad := 0
			for _, s := range out {
				if !s.whole {
					bad++
				}
			}
			about(t, "damaged", float64(bad), 0.1*n)
			about(t, "counted", float64(count.Corrupted), 0.1*n)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, count := through(c.link, 1, n, step)
			if count.Packets != n || count.Waiting != 0 {
				t.Errorf("count: got %+v", count)
			}
			if c.link.Loss+c.link.Duplicate == 0 && len(out) != n {
				t.Errorf("%d of %d packets came", len(out), n)
			}
			c.look(t, out, count)
			again, _ := through(c.link, 1, n, step)
			if !slices.Equal(out, again) {
				t.Error("the same seed gave something else")
			}
		})
	}
}

// TestHold keeps packets back and lets them go in order, as does the end of a delay.
func TestHold(t *testing.T) {
	to := netip.MustParseAddr("10.0.0.2")
	for _, c := range []struct {
		name string
		link wire.Link
		next map[netip.Addr]wire.Link
	}{
		{"a held link is healed", wire.Link{Hold: true}, nil},
		{"a held link becomes a slow one", wire.Link{Hold: true},
			map[netip.Addr]wire.Link{to: {Delay: time.Hour}}},
		{"a slow link is healed", wire.Link{Delay: time.Hour}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEmulator()
			e.shape(0, map[netip.Addr]wire.Link{to: c.link}, 1)
			for i := range 100 {
				e.accept(time.Duration(i), to, numbered(i))
			}
			if p, ok := e.pop(time.Minute); ok {
				t.Fatalf("%+v came at once", p)
			}
			if n := e.counts()[to].Waiting; n != 100 {
				t.Errorf("waiting: got %d, want 100", n)
			}
			e.shape(time.Minute, c.next, 1)
			for i := range 100 {
				p, ok := e.pop(time.Minute)
				if !ok || int(binary.BigEndian.Uint32(p.data[20:])) != i {
					t.Fatalf("packet %d: got %+v, %v", i, p, ok)
				}
			}
		})
	}
}

// TestOverflow bounds what waits.
func TestOverflow(t *testing.T) {
	to := netip.MustParseAddr("10.0.0.2")
	e := newEmulator()
	e.shape(0, map[netip.Addr]wire.Link{to: {Hold: true}}, 1)
	for range maxWaiting + 5 {
		e.accept(0, to, numbered(0))
	}
	if c := e.counts()[to]; c.Waiting != maxWaiting || c.Overflown != 5 {
		t.Errorf("got %+v, want %d waiting and 5 lost", c, maxWaiting)
	}
}
