package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// clocks skews the clocks of running processes, static ones included. A process reads its clocks by
// code that the kernel maps into it, the vDSO; there it is made to jump to code of ours, which
// moves the true time along a line. The first change stops the process for about a millisecond,
// later ones only write the line. A monotonic clock changes its speed [bendAhead] later.
//
// What a process asks the kernel to wait for is waited for in true time. A Go program computes its
// waits from the clocks that it reads, so any rate suits it. Others may wait for an absolute time:
// their monotonic clock is refused, and with a skewed wall clock they may wake early or late.
type clocks struct {
	processes *processes // its lock keeps signals away meanwhile; guards the fields below
	patches   map[processKey]*patch
}

func (c *clocks) handlers() map[string]handler {
	return map[string]handler{wire.OpSkew: c.skew, wire.OpClocks: c.read}
}

// probe patches nothing: it sees whether a process may be held at all.
func (c *clocks) probe() wire.Ability {
	a := wire.Ability{Name: "skew clocks", Needs: "amd64, a vDSO, ptrace with CAP_SYS_PTRACE"}
	if err := tryPtrace(); err != nil {
		a.Missing = err.Error()
	}
	return a
}

// tryPtrace asks for a process that there is not, and learns whether the call itself is allowed.
func tryPtrace() error {
	const noProcess = 1<<22 + 1 // above the kernel's limit
	if err := unix.PtraceSeize(noProcess); !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("ptrace: %w", err)
	}
	return nil
}

// close sets the clocks right again, as far as that is possible.
func (c *clocks) close() error {
	c.processes.mu.Lock()
	defer c.processes.mu.Unlock()
	if len(c.patches) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), holdTimeout)
	defer cancel()
	_, err := c.apply(ctx, wire.SkewArgs{})
	return err
}

func (c *clocks) skew(ctx context.Context, raw json.RawMessage) (any, error) {
	args, err := decodeArgs[wire.SkewArgs](raw)
	if err != nil {
		return nil, err
	}
	if err := checkSkew(args); err != nil {
		return nil, err
	}
	c.processes.mu.Lock()
	defer c.processes.mu.Unlock()
	return c.apply(ctx, args)
}

// checkSkew refuses what can not be, and what no program could stand.
func checkSkew(args wire.SkewArgs) error {
	for _, s := range []*wire.Skew{args.Realtime, args.Monotonic} {
		if s == nil || s.Rate == 0 {
			continue
		}
		if math.IsNaN(s.Rate) || s.Rate < 1.0/maxRate || s.Rate > maxRate {
			return wire.Errorf(wire.Refused, "rate %v: want 1/%d to %d, or 0 for 1", s.Rate, maxRate,
				maxRate)
		}
	}
	if m := args.Monotonic; m != nil && m.Offset < 0 {
		return wire.Errorf(wire.Refused, "offset %v: a monotonic clock never goes back", m.Offset)
	}
	return nil
}

// apply changes the clocks of all processes.
func (c *clocks) apply(ctx context.Context, args wire.SkewArgs) (wire.ClocksResult, error) {
	res := wire.ClocksResult{Processes: []wire.Clocks{}}
	alive, err := c.processes.living()
	if err != nil {
		return res, err
	}
	c.forget(alive)
	for _, pr := range alive {
		seen, err := c.applyTo(ctx, pr.Process, args)
		if err != nil && endsSoon(ctx, pr.Process) {
			continue // a process that ends can not be held
		}
		if err != nil {
			return res, fmt.Errorf("clocks of process %d (%s): %w", pr.PID, pr.Name, err)
		}
		res.Processes = append(res.Processes, seen)
	}
	return res, nil
}

// endsSoon says whether a process ends within a moment.
func endsSoon(ctx context.Context, pr wire.Process) bool {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	for {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pr.PID))
		if gone(err) {
			return true
		}
		if err != nil {
			return false
		}
		st, err := parseStat(string(line))
		if err != nil {
			return false
		}
		if st.Started != pr.Started || st.dead() {
			return true
		}
		if !sleep(ctx, time.Millisecond) {
			return false
		}
	}
}

// forget drops what is known of processes that are gone.
func (c *clocks) forget(alive []procStat) {
	keep := map[processKey]bool{}
	for _, pr := range alive {
		keep[processKey{pr.PID, pr.Started}] = true
	}
	maps.DeleteFunc(c.patches, func(k processKey, _ *patch) bool { return !keep[k] })
}

func (c *clocks) applyTo(ctx context.Context, pr wire.Process, args wire.SkewArgs,
) (wire.Clocks, error) {
	seen := wire.Clocks{PID: pr.PID, Name: pr.Name, Program: kindOf(pr.PID)}
	if args.Monotonic != nil && seen.Program != goProgram {
		return seen, wire.Errorf(wire.Refused, "its monotonic clock can not be skewed: it is no "+
			"static Go program, and may wait in the kernel for a time of that clock")
	}
	key := processKey{pr.PID, pr.Started}
	if err := c.set(ctx, key, args, &seen); err != nil {
		return seen, err
	}
	if p := c.patches[key]; p != nil && p.diverted && !seen.Read {
		seen.Patched = true
		seen.Realtime, seen.Monotonic = ahead(p.lines)
	}
	return seen, nil
}

// set changes the clocks of one process, in the way that disturbs it least.
func (c *clocks) set(ctx context.Context, key processKey, args wire.SkewArgs, seen *wire.Clocks,
) error {
	p := c.patches[key]
	diverted := p != nil && p.diverted
	var old clockLines
	if diverted {
		old = p.lines
	}
	lines, err := newLines(old, args)
	if err == nil && lines[monotonic] != old[monotonic] {
		if err = pastBend(ctx, old[monotonic]); err == nil {
			lines, err = newLines(old, args)
		}
	}
	if err != nil {
		return err
	}
	right := lines == clockLines{}
	switch {
	case !diverted && right:
		return nil
	case !diverted:
		return c.install(ctx, key, args, seen)
	case right:
		return c.remove(ctx, key, seen)
	}
	if err := c.write(key, lines); err != nil || lines[monotonic] == old[monotonic] {
		return err
	}
	return inTime(lines[monotonic])
}

// install patches a process and has it read its clocks, as proof.
func (c *clocks) install(ctx context.Context, key processKey, args wire.SkewArgs,
	seen *wire.Clocks) error {
	if err := c.mustRun(key.pid); err != nil {
		return err
	}
	p := c.patches[key] // the pages may be there from the last time
	var err error
	seen.Held, err = hold(ctx, key.pid, false, func(h *held) (err error) {
		if p == nil {
			if p, err = h.install(); err != nil {
				return err
			}
		}
		err = h.divert(p, func() (clockLines, error) {
			return newLines(clockLines{}, args)
		})
		if err != nil {
			return err
		}
		if err := readOwn(h, p, seen); err != nil {
			return errors.Join(err, h.remove(p))
		}
		return nil
	})
	if err != nil {
		return err
	}
	seen.Patched = true
	if c.patches == nil {
		c.patches = map[processKey]*patch{}
	}
	c.patches[key] = p
	return inTime(p.lines[monotonic])
}

// mustRun refuses a process that is stopped: what is done in its name would wait for ever.
func (c *clocks) mustRun(pid int) error {
	stopped, err := allThreadsStopped(pid)
	if err == nil && stopped {
		err = wire.Errorf(wire.Refused, "it is stopped, and its clocks can only be changed while it runs")
	}
	return err
}

// readOwn has the process read its clocks, and says if they are not what its lines say.
func readOwn(h *held, p *patch, seen *wire.Clocks) error {
	for _, clock := range []struct {
		id  int
		out *time.Duration
	}{{realtime, &seen.Realtime}, {monotonic, &seen.Monotonic}} {
		before, err1 := trueTime(clock.id)
		shown, err2 := h.readClock(p, uint64(clock.id))
		after, err3 := trueTime(clock.id)
		if err := errors.Join(err1, err2, err3); err != nil {
			return fmt.Errorf("have it read clock %d: %w", clock.id, err)
		}
		l := p.lines[clock.id]
		if shown < l.at(before) || shown > l.at(after) {
			return wire.Errorf(wire.Unverified, "its clock %d shows %d, want %d to %d", clock.id, shown,
				l.at(before), l.at(after))
		}
		// It was read somewhere between the two.
		*clock.out = time.Duration(shown - before - (after-before)/2)
	}
	seen.Read = true
	return nil
}

// write puts other lines in force, without stopping the process.
func (c *clocks) write(key processKey, lines clockLines) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", key.pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { _ = mem.Close() }()
	return c.patches[key].change(mem, lines)
}

// pastBend waits until a monotonic clock has changed its speed, if that is still to come.
func pastBend(ctx context.Context, l clockLine) error {
	now, err := trueTime(monotonic)
	if err != nil || l.mult == 0 || l.base <= now {
		return err
	}
	if !sleep(ctx, time.Duration(l.base-now)) {
		return context.Cause(ctx)
	}
	return nil
}

// inTime says if a line came into force only after its bend.
func inTime(l clockLine) error {
	now, err := trueTime(monotonic)
	if err == nil && l.mult < l.before && now > l.base {
		err = wire.Errorf(wire.Unverified, "it took %v too long to make its monotonic clock slower: "+
			"it may have seen time go back", time.Duration(now-l.base))
	}
	return err
}

// remove sets all clocks right and takes the patch away. A process that can not be held keeps it,
// with clocks that are right.
func (c *clocks) remove(ctx context.Context, key processKey, seen *wire.Clocks) error {
	if err := c.write(key, clockLines{}); err != nil {
		return err
	}
	stopped, err := allThreadsStopped(key.pid)
	if err != nil || stopped {
		return err
	}
	seen.Held, err = hold(ctx, key.pid, false, func(h *held) error {
		return h.remove(c.patches[key])
	})
	if errors.Is(err, errNotStopping) {
		return nil
	}
	return err
}

// read has every process read its clocks. One thread of each is held for it.
func (c *clocks) read(ctx context.Context, _ json.RawMessage) (any, error) {
	c.processes.mu.Lock()
	defer c.processes.mu.Unlock()
	alive, err := c.processes.living()
	if err != nil {
		return nil, err
	}
	res := wire.ClocksResult{Processes: []wire.Clocks{}}
	for _, pr := range alive {
		seen := wire.Clocks{PID: pr.PID, Name: pr.Name, Program: kindOf(pr.PID)}
		if p := c.patches[processKey{pr.PID, pr.Started}]; p != nil && p.diverted {
			seen.Patched = true
			err := c.mustRun(pr.PID)
			if err == nil {
				seen.Held, err = hold(ctx, pr.PID, true, func(h *held) error {
					return readOwn(h, p, &seen)
				})
			}
			if err != nil {
				return res, fmt.Errorf("clocks of process %d (%s): %w", pr.PID, pr.Name, err)
			}
		}
		res.Processes = append(res.Processes, seen)
	}
	return res, nil
}
