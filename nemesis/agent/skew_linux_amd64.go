package agent

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// The clocks, by the numbers that clock_gettime takes. The others show how long something ran.
const (
	realtime  = unix.CLOCK_REALTIME
	monotonic = unix.CLOCK_MONOTONIC
)

func isWall(clock int) bool {
	switch clock {
	case realtime, unix.CLOCK_REALTIME_COARSE, unix.CLOCK_REALTIME_ALARM, unix.CLOCK_TAI:
		return true
	}
	return false
}

func isMonotonic(clock int) bool {
	switch clock {
	case monotonic, unix.CLOCK_MONOTONIC_RAW, unix.CLOCK_MONOTONIC_COARSE, unix.CLOCK_BOOTTIME,
		unix.CLOCK_BOOTTIME_ALARM:
		return true
	}
	return false
}

// newLines are the lines that args asks for, from those in force.
func newLines(old clockLines, args wire.SkewArgs) (lines clockLines, err error) {
	for clock := range numClocks {
		if !isWall(clock) && !isMonotonic(clock) {
			continue
		}
		now, err := trueTime(clock)
		if errors.Is(err, unix.EINVAL) {
			continue // this kernel has no such clock
		}
		if err != nil {
			return lines, err
		}
		switch skew := args.Monotonic; {
		case isWall(clock) && args.Realtime != nil:
			lines[clock] = setLine(now, args.Realtime.Offset, args.Realtime.Rate)
		case isWall(clock):
		case skew != nil:
			lines[clock] = old[clock].bend(now, skew.Offset, skew.Rate)
		default:
			lines[clock] = old[clock].bend(now, 0, 1)
		}
	}
	return lines, nil
}

// trueTime reads a clock of the agent's own, which nobody skews.
func trueTime(clock int) (int64, error) {
	var ts unix.Timespec
	err := unix.ClockGettime(int32(clock), &ts)
	return ts.Nano(), err
}

// ahead is by how much the two clocks are ahead now.
func ahead(lines clockLines) (wall, mono time.Duration) {
	if now, err := trueTime(realtime); err == nil {
		wall = lines[realtime].ahead(now)
	}
	if now, err := trueTime(monotonic); err == nil {
		mono = lines[monotonic].ahead(now)
	}
	return wall, mono
}

const goProgram = "go"

// kindOf says whether the process runs a static Go program. In doubt it does not.
func kindOf(pid int) string {
	exe := fmt.Sprintf("/proc/%d/exe", pid)
	if _, err := buildinfo.ReadFile(exe); err != nil {
		return "other"
	}
	f, err := elf.Open(exe)
	if err != nil {
		return "other"
	}
	defer func() { _ = f.Close() }()
	if slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		return "other" // it may bring code of other languages
	}
	return goProgram
}
