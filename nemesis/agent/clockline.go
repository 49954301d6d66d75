package agent

import (
	"math"
	"math/bits"
	"time"
)

// clockLine is how a clock goes: at the true time base it shows the time shown, and from then on
// moves mult/2^32 as fast as true time. The zero line is that of a clock that nobody touched. All
// times are nanoseconds of that clock.
type clockLine struct {
	base, shown int64
	mult        uint64 // 32.32 fixed point; 0 means that the clock shows true time
}

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
	d := now - l.base
	hi, lo := bits.Mul64(uint64(d), l.mult)
	if d < 0 { // of a signed product the high half is less
		hi -= l.mult
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
	return clockLine{base: now, shown: now + int64(offset), mult: multOf(rate)}
}

// bend goes on from where the clock stands, after a leap ahead, at another rate: time never goes
// back.
func (l clockLine) bend(now int64, leap time.Duration, rate float64) clockLine {
	if l.mult == 0 && leap == 0 && multOf(rate) == oneRate {
		return clockLine{}
	}
	return clockLine{base: now, shown: l.at(now) + int64(leap), mult: multOf(rate)}
}
