package agent

import (
	"math"
	"math/bits"
	"time"
)

// clockLine is how a clock goes: at the true time base it shows the time shown; from then on it
// goes mult/2^32 as fast as true time, and until then before/2^32. The zero line is that of a clock
// that nobody touched. All times are nanoseconds of that clock.
type clockLine struct {
	base, shown  int64
	mult, before uint64 // 32.32 fixed point; mult 0 means that the clock shows true time
}

// bendAhead is how far in the future a monotonic clock changes its speed. Until then the new line
// is the old one, so that it does not matter when exactly a process begins to use it: a clock that
// becomes slower would otherwise be seen to go back.
const bendAhead = 100 * time.Millisecond

// oneRate is true speed.
const oneRate = 1 << 32

// maxRate bounds how much faster or slower a clock may go.
const maxRate = 1000

// multOf is a rate in fixed point; 0 means 1.
func multOf(rate float64) uint64 {
	if rate == 0 {
		return oneRate
	}
	return uint64(math.Round(rate * oneRate))
}

// rate is how fast the clock goes, in fixed point.
func (l clockLine) rate() uint64 {
	if l.mult == 0 {
		return oneRate
	}
	return l.mult
}

// at is what the clock shows at a true time. It is what fakeClockGettime computes.
func (l clockLine) at(now int64) int64 {
	if l.mult == 0 {
		return now
	}
	d, mult := now-l.base, l.mult
	if d < 0 {
		mult = l.before
	}
	hi, lo := bits.Mul64(uint64(d), mult)
	if d < 0 { // of a signed product the high half is less
		hi -= mult
	}
	return l.shown + int64(hi<<32|lo>>32)
}

// ahead is by how much the clock is ahead.
func (l clockLine) ahead(now int64) time.Duration { return time.Duration(l.at(now) - now) }

// setLine starts a line at a true time: offset ahead of true time.
func setLine(now int64, offset time.Duration, rate float64) clockLine {
	if offset == 0 && multOf(rate) == oneRate {
		return clockLine{}
	}
	m := multOf(rate)
	return clockLine{base: now, shown: now + int64(offset), mult: m, before: m}
}

// bend goes on from where the clock stands, after a leap ahead, and soon at another rate: time
// never goes back. The last bend must be over.
func (l clockLine) bend(now int64, leap time.Duration, rate float64) clockLine {
	if leap == 0 && multOf(rate) == l.rate() {
		return l
	}
	base := now + int64(bendAhead)
	return clockLine{base: base, shown: l.at(base) + int64(leap), mult: multOf(rate),
		before: l.rate()}
}
