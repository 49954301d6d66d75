package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// victim is a process with clocks.
type victim struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Reader
	c   *clocks
	key processKey
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{t: t, cmd: exec.Command("/proc/self/exe", "clock")}
	in, err := v.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var words strings.Builder
	v.cmd.Stderr = &words
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := v.cmd.Wait(); err != nil {
			t.Errorf("the victim: %v\n%s", err, words.String())
		}
	})
	v.in, v.out = in, bufio.NewReader(out)
	v.look() // it runs
	v.c = &clocks{processes: &processes{self: os.Getpid()}}
	v.key = processKey{pid: v.cmd.Process.Pid}
	if err := tryPtrace(); err != nil {
		t.Skip(err)
	}
	return v
}

// look has the victim say by how much its wall clock is ahead, and what else it sees.
func (v *victim) look() (wall, mono time.Duration, ticks int) {
	v.t.Helper()
	if _, err := fmt.Fprintln(v.in); err != nil {
		v.t.Fatal(err)
	}
	line, err := v.out.ReadString('\n')
	if err != nil {
		v.t.Fatal(err)
	}
	var w, m int64
	if _, err := fmt.Sscan(line, &w, &m, &ticks); err != nil {
		v.t.Fatal(err)
	}
	return time.Duration(w - time.Now().UnixNano()), time.Duration(m), ticks
}

// skew changes the clocks of the victim, with no regard to what kind of program it is.
func (v *victim) skew(args wire.SkewArgs) wire.Clocks {
	v.t.Helper()
	var seen wire.Clocks
	if err := v.c.set(v.t.Context(), v.key, args, &seen); err != nil {
		v.t.Fatal(err)
	}
	return seen
}

func wantAhead(t *testing.T, what string, got, want time.Duration) {
	t.Helper()
	if d := got - want; d < -time.Second || d > time.Second {
		t.Errorf("%s: the wall clock is %v ahead, want %v", what, got, want)
	}
}

func TestWallClock(t *testing.T) {
	v := newVictim(t)
	for _, offset := range []time.Duration{-time.Hour, time.Hour, 0, 24 * time.Hour, 0} {
		_, before, _ := v.look()
		seen := v.skew(wire.SkewArgs{Realtime: &wire.Skew{Offset: offset}})
		wall, after, _ := v.look()
		wantAhead(t, "offset "+offset.String(), wall, offset)
		if after < before || after > before+10*time.Second {
			t.Errorf("offset %v: the monotonic clock went from %v to %v", offset, before, after)
		}
		if seen.Read {
			wantAhead(t, "as it reads it itself", seen.Realtime, offset)
		}
	}
	v.skew(wire.SkewArgs{Realtime: &wire.Skew{Offset: time.Minute, Rate: 1000}})
	begin := time.Now()
	until(t, "it runs ahead", func() (bool, error) {
		wall, _, _ := v.look()
		return wall > time.Minute+100*time.Second, nil
	})
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("100 s at 1000 times the speed took only %v", took)
	}
	v.skew(wire.SkewArgs{})
	wall, _, _ := v.look()
	wantAhead(t, "healed", wall, 0)
}

// TestMonotonicRate counts how often a ticker ticks, and sees that time goes on without a break.
func TestMonotonicRate(t *testing.T) {
	v := newVictim(t)
	// measure tells what went by on the clock, how often the ticker ticked, and between which
	// bounds the true time is that it took.
	measure := func() (clock time.Duration, ticks int, least, most time.Duration) {
		time.Sleep(bendAhead + 10*time.Millisecond)
		t0 := time.Now()
		_, m1, n1 := v.look()
		t1 := time.Now()
		time.Sleep(200 * time.Millisecond) // what is measured is how much happens in it
		t2 := time.Now()
		_, m2, n2 := v.look()
		return m2 - m1, n2 - n1, t2.Sub(t1), time.Since(t0)
	}
	room := func(rate float64, most time.Duration) int { // for ticks
		return int(rate*float64(most)/float64(5*time.Millisecond)) + 2
	}
	for _, rate := range []float64{1, 2, 0.5, 1} {
		v.skew(wire.SkewArgs{Monotonic: &wire.Skew{Rate: rate}})
		clock, ticks, least, most := measure()
		if c := float64(clock); c < rate*float64(least) || c > rate*float64(most) {
			t.Errorf("rate %v: %v went by in %v to %v", rate, clock, least, most)
		}
		if ticks > room(rate, most) {
			t.Errorf("rate %v: %d ticks in %v", rate, ticks, most)
		}
		t.Logf("rate %v: a ticker of 5 ms ticked %d times in %v", rate, ticks,
			least.Round(time.Millisecond))
	}
	// A busy machine loses ticks, but never makes any.
	v.skew(wire.SkewArgs{Monotonic: &wire.Skew{Rate: 2}})
	until(t, "more ticks than true time has room for", func() (bool, error) {
		_, ticks, _, most := measure()
		return ticks > room(1, most), nil
	})
	v.skew(wire.SkewArgs{})
	_, ticks, least, most := measure()
	if ticks > room(1, most) {
		t.Errorf("healed: %d ticks in %v", ticks, most)
	}
	t.Logf("healed: it ticked %d times in %v", ticks, least.Round(time.Millisecond))
	_, before, _ := v.look()
	v.skew(wire.SkewArgs{Monotonic: &wire.Skew{Offset: 10 * time.Second}})
	_, leapt, _ := v.look()
	v.skew(wire.SkewArgs{})
	if _, after, _ := v.look(); leapt < before+10*time.Second || after < leapt {
		t.Errorf("a leap of 10 s: from %v to %v, healed at %v", before, leapt, after)
	}
	v.skew(wire.SkewArgs{})
}

// TestRatesNeverGoBack changes the rate of a busy process's clock again and again.
func TestRatesNeverGoBack(t *testing.T) {
	v := newVictim(t)
	for range 8 {
		for _, rate := range []float64{2, 0.25, 4, 0.5} {
			v.skew(wire.SkewArgs{Monotonic: &wire.Skew{Rate: rate}})
		}
	}
	v.skew(wire.SkewArgs{})
	v.look() // it is still there
}

// TestManySkews applies and removes skews on a busy process, which looks for a clock that goes
// back.
func TestManySkews(t *testing.T) {
	v := newVictim(t)
	cycles := 1000
	if testing.Short() {
		cycles = 20
	}
	for i := range cycles {
		offset := time.Duration(i%7-3) * time.Minute
		v.skew(wire.SkewArgs{Realtime: &wire.Skew{Offset: offset + time.Second}})
		v.skew(wire.SkewArgs{Realtime: &wire.Skew{Offset: offset + 2*time.Second}})
		v.skew(wire.SkewArgs{})
	}
	wall, _, _ := v.look()
	wantAhead(t, "healed", wall, 0)
}

// TestSkewRefused asks for what would do harm.
func TestSkewRefused(t *testing.T) {
	c := pod(t)
	for _, s := range []struct {
		why  string
		args wire.SkewArgs
	}{
		{"a monotonic clock that goes back", wire.SkewArgs{Monotonic: &wire.Skew{Offset: -1}}},
		{"a clock that stands still", wire.SkewArgs{Realtime: &wire.Skew{Rate: 1e-9}}},
		{"a clock that goes backwards", wire.SkewArgs{Realtime: &wire.Skew{Rate: -1}}},
	} {
		_, err := c.Skew(t.Context(), s.args)
		if err == nil {
			t.Errorf("%s: got no error", s.why)
			continue
		}
		wantKind(t, err, wire.Refused)
	}
	until(t, "two processes", func() (bool, error) {
		n, err := c.State(t.Context())
		return len(n.Processes) == 2, err
	})
	res, err := c.Skew(t.Context(), wire.SkewArgs{Realtime: &wire.Skew{Offset: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range res.Processes {
		wantAhead(t, p.Name, p.Realtime, time.Hour)
		if !p.Patched || !p.Read || p.Held == 0 {
			t.Errorf("got %+v", p)
		}
	}
	if _, err := c.Signal(t.Context(), "stop"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Clocks(t.Context()); err == nil {
		t.Error("read the clocks of a stopped process: got no error")
	} else {
		wantKind(t, err, wire.Refused)
	}
	res, err = c.Skew(t.Context(), wire.SkewArgs{}) // heals also what is stopped
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range res.Processes {
		wantAhead(t, "healed "+p.Name, p.Realtime, 0)
	}
}

func TestGapNear(t *testing.T) {
	const mib, stack, limit = 1 << 20, 0x7ffc00000000, 1<<47 - pageSize
	vdso := func(at uint64) region { return region{at, at + 2*pageSize, "[vdso]"} }
	grown := region{stack - mib, stack, "[stack]"}
	heap := region{mib, 2 * mib, "[heap]"}
	for _, c := range []struct {
		name string
		all  []region
		want uint64
	}{
		{"right above", []region{heap, grown, vdso(stack + mib)}, stack + mib + 3*pageSize},
		{"right below", []region{heap, grown, vdso(stack + mib), {stack + mib + 2*pageSize, limit, ""}},
			stack + mib - 4*pageSize},
		{"no room between stack and vDSO", []region{heap, grown, vdso(stack + 4*pageSize)},
			stack + 7*pageSize},
		{"nor above", []region{heap, grown, vdso(stack), {stack + 2*pageSize, limit, ""}},
			stack - mib - 512*mib - 4*pageSize},
		{"nor anywhere", []region{{pageSize, stack, ""}, vdso(stack), {stack + 2*pageSize, limit, ""}},
			0},
	} {
		at := c.all[slices.IndexFunc(c.all, func(r region) bool { return r.name == "[vdso]" })].from
		if got, err := gapNear(c.all, at); got != c.want || (err == nil) != (c.want != 0) {
			t.Errorf("%s: got %#x, %v, want %#x", c.name, got, err, c.want)
		}
	}
}
