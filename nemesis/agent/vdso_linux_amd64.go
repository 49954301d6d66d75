package agent

import (
	"bufio"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// patch is what was done to the vDSO of one process: the functions that read clocks jump to ours.
type patch struct {
	base     uint64 // of the pages that were mapped
	entries  []entry
	diverted bool // the jumps are there; else only the pages are
	gen      byte // of the data page
	lines    clockLines
}

// entry is the beginning of a function of the vDSO.
type entry struct {
	name string
	addr uint64
	size uint64 // of the instructions that a jump overwrites, the last one whole
	off  uint64 // of what stands in for it, in our pages
	old  []byte // what stood there
}

// vdso is the process's copy of the code by which it reads clocks without a system call.
type vdso struct {
	base    uint64
	image   []byte
	symbols map[string]elf.Symbol
	insn    uint64 // of a syscall instruction
	gap     uint64 // where pages can be mapped, near enough for a jump
}

// region is a line of /proc/PID/maps.
type region struct {
	from, to uint64
	name     string
}

func regions(pid int) ([]region, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var all []region
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var r region
		if _, err := fmt.Sscanf(sc.Text(), "%x-%x", &r.from, &r.to); err != nil {
			return nil, fmt.Errorf("maps line %q: %w", sc.Text(), err)
		}
		if f := strings.Fields(sc.Text()); len(f) > 5 {
			r.name = f[5]
		}
		all = append(all, r)
	}
	return all, sc.Err()
}

// findVDSO reads the vDSO of a process that is held.
func (h *held) findVDSO() (*vdso, error) {
	all, err := regions(h.pid)
	if err != nil {
		return nil, err
	}
	at := slices.IndexFunc(all, func(r region) bool { return r.name == "[vdso]" })
	if at < 0 {
		return nil, errors.New("it has no vDSO")
	}
	v := &vdso{base: all[at].from, symbols: map[string]elf.Symbol{}}
	if v.image, err = h.read(v.base, int(all[at].to-all[at].from)); err != nil {
		return nil, fmt.Errorf("read the vDSO: %w", err)
	}
	file, err := elf.NewFile(bytes.NewReader(v.image))
	if err != nil {
		return nil, fmt.Errorf("read the vDSO: %w", err)
	}
	symbols, err := file.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("read the vDSO: %w", err)
	}
	for _, s := range symbols {
		v.symbols[s.Name] = s
	}
	insn := bytes.Index(v.image, []byte{0x0f, 0x05})
	if insn < 0 {
		return nil, errors.New("the vDSO has no syscall instruction")
	}
	v.insn = v.base + uint64(insn)
	v.gap, err = gapNear(all, v.base)
	return v, err
}

// gapNear finds room for our pages within a jump's reach, with a free page on either side. A stack
// grows downwards, and keeps half a gigabyte for that.
func gapNear(all []region, near uint64) (uint64, error) {
	const (
		room   = imagePages * pageSize
		reach  = 1 << 30
		growth = reach / 2
		top    = 1<<47 - pageSize // of what a process has
	)
	best, distance := uint64(0), uint64(reach)
	try := func(at, lo, hi uint64) {
		far := max(at, near) - min(at, near)
		if at >= lo+pageSize && at+room+pageSize <= hi && far < distance {
			best, distance = at, far
		}
	}
	lo := uint64(1 << 16)
	for _, r := range append(slices.Clone(all), region{from: top}) {
		hi := min(r.from, top)
		if hi > lo {
			try(lo+pageSize, lo, hi)
			if strings.HasPrefix(r.name, "[stack") {
				hi = max(hi, growth) - growth
			}
			try(max(hi, room+pageSize)-room-pageSize, lo, hi)
		}
		lo = max(lo, r.to)
	}
	if best == 0 {
		return 0, errors.New("there is no room near the vDSO")
	}
	return best, nil
}

// install maps our pages. The vDSO does not jump there yet; see [held.divert].
func (h *held) install() (*patch, error) {
	v, err := h.findVDSO()
	if err != nil {
		return nil, err
	}
	p := &patch{}
	var displaced []byte
	if p.entries, displaced, err = v.entries(); err != nil {
		return nil, err
	}
	tid := h.threads[0]
	p.base, err = h.syscall(tid, v.insn, unix.SYS_MMAP, v.gap, imagePages*pageSize,
		unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED_NOREPLACE, ^uint64(0), 0)
	if err != nil {
		return nil, fmt.Errorf("map pages at %#x: %w", v.gap, err)
	}
	code, err := buildCode(p.base, displaced, p.entries[0].addr+uint64(len(displaced)))
	if err != nil {
		return nil, err
	}
	err = errors.Join(h.write(p.base, code), h.write(p.base+pageSize, buildData(p.base)))
	if err != nil {
		return nil, fmt.Errorf("fill pages at %#x: %w", p.base, err)
	}
	if _, err := h.syscall(tid, v.insn, unix.SYS_MPROTECT, p.base, pageSize,
		unix.PROT_READ|unix.PROT_EXEC); err != nil {
		return nil, fmt.Errorf("make the code executable: %w", err)
	}
	return p, nil
}

// entries are the functions to be replaced, and the beginning of the first that is displaced.
func (v *vdso) entries() ([]entry, []byte, error) {
	var entries []entry
	for _, e := range []entry{{name: "__vdso_clock_gettime"},
		{name: "__vdso_gettimeofday", off: offTimeOfDay}, {name: "__vdso_time", off: offTime}} {
		s, ok := v.symbols[e.name]
		if !ok {
			if len(entries) == 0 {
				return nil, nil, fmt.Errorf("the vDSO has no %s", e.name)
			}
			continue
		}
		e.addr = v.base + s.Value
		code := v.image[s.Value:]
		if endbr := []byte{0xf3, 0x0f, 0x1e, 0xfa}; bytes.HasPrefix(code, endbr) {
			e.addr, code = e.addr+4, code[4:]
		}
		var err error
		if e.size, err = spanOf(code); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", e.name, err)
		}
		e.old = bytes.Clone(code[:jumpSize])
		entries = append(entries, e)
	}
	first := v.image[entries[0].addr-v.base:]
	displaced, err := firstInstructions(first[:min(len(first), 32)])
	return entries, displaced, err
}

// divert writes the jumps, with lines that are made at the last moment. Before that, threads that
// stand in the middle of what a jump overwrites are led past it.
func (h *held) divert(p *patch, lines func() (clockLines, error)) error {
	for _, e := range p.entries {
		if err := h.stepOut(e.addr, e.size); err != nil {
			return err
		}
	}
	now, err := lines()
	if err != nil {
		return err
	}
	if err := p.change(h.mem, now); err != nil {
		return err
	}
	for _, e := range p.entries {
		jump, err := jumpTo(e.addr, p.base+e.off)
		if err == nil {
			err = h.write(e.addr, jump)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("divert %s: %w", e.name, err), h.remove(p))
		}
	}
	p.diverted = true
	return nil
}

// stepOut lets threads that have just entered a function get on.
func (h *held) stepOut(addr, size uint64) error {
	inside := func(r unix.PtraceRegs) bool { return r.Rip > addr && r.Rip < addr+size }
	for _, tid := range h.threads {
		var regs unix.PtraceRegs
		if err := unix.PtraceGetRegs(tid, &regs); err != nil {
			return err
		}
		if !inside(regs) {
			continue
		}
		err := h.stepUntil(tid, single, func(r unix.PtraceRegs) bool { return !inside(r) })
		if err != nil {
			return err
		}
	}
	return nil
}

// remove puts back what stood in the vDSO. The pages stay, for the next time and because threads
// may still be in them.
func (h *held) remove(p *patch) error {
	var errs []error
	for _, e := range p.entries {
		if err := h.write(e.addr, e.old); err != nil {
			errs = append(errs, fmt.Errorf("restore %s: %w", e.name, err))
		}
	}
	p.diverted = len(errs) > 0
	return errors.Join(errs...)
}

// change puts other lines in force while the process runs: they are written into the block that is
// not in force, and then one byte says that it is.
func (p *patch) change(mem *os.File, lines clockLines) error {
	next := p.gen + 1
	block := p.base + offBlocks + uint64(next&1)*blockSize
	want := encodeLines(lines)
	if _, err := mem.WriteAt(want, int64(block)); err != nil {
		return fmt.Errorf("write clock lines: %w", err)
	}
	if _, err := mem.WriteAt([]byte{next}, int64(p.base+pageSize)); err != nil {
		return fmt.Errorf("put clock lines in force: %w", err)
	}
	p.gen, p.lines = next, lines
	got := make([]byte, len(want))
	if _, err := mem.ReadAt(got, int64(block)); err != nil || !bytes.Equal(got, want) {
		return fmt.Errorf("read clock lines back: %w", errors.Join(err, errDiffer))
	}
	return nil
}

var errDiffer = errors.New("they are not what was written")

// readClock has the process read one of its own clocks, through its vDSO.
func (h *held) readClock(p *patch, clock uint64) (int64, error) {
	fn, trap := p.entries[0].addr, p.base+offTrap
	stack, ts := p.base+imagePages*pageSize-64, p.base+offTimespec
	res, err := h.call(h.threads[0], fn, stack, trap, clock, ts)
	if err == nil && int32(res) != 0 {
		err = fmt.Errorf("clock_gettime(%d) answered %d", clock, int32(res))
	}
	if err != nil {
		return 0, err
	}
	b, err := h.read(ts, 16)
	if err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint64(b))*int64(time.Second) +
		int64(binary.LittleEndian.Uint64(b[8:])), nil
}

func le64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
