package agent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/arch/x86/x86asm"
)

// What is mapped into a process: a page of code, a page of data, and a page that serves as a stack
// when the agent has the process read its own clock.
//
//	code  0x000 fakeClockGettime   0x200 fakeGettimeofday   0x300 fakeTime
//	      0x400 the displaced beginning of clock_gettime, and a jump to its rest
//	      0x500 a trap
//	data  0x000 generation, one byte: block generation&1 holds
//	      0x008 address of code+0x400    0x010 address of code+0x000
//	      0x100 block 0   0x300 block 1: a line of four words for each clock, by its number
//	      0xe00 a struct timespec
const (
	pageSize     = 0x1000
	imagePages   = 3
	offTimeOfDay = 0x200
	offTime      = 0x300
	offDisplaced = 0x400
	offTrap      = 0x500
	offBlocks    = pageSize + 0x100
	blockSize    = 0x200
	offTimespec  = pageSize + 0xe00
	numClocks    = 12
)

// clockLines are those of all clocks, by their numbers.
type clockLines [numClocks]clockLine

// pageMark stands in the code where the address of the data page belongs.
const pageMark = 0x7261667463686b01

var codeEnd = [...]byte{0x0f, 0x0b, 0x72, 0x63, 0x65, 0x6e, 0x64, 0x0b}

func codeAddrs() (clockGettime, gettimeofday, time uintptr)

// copyCode copies one of the functions in clock_linux_amd64.s, for a data page at an address.
func copyCode(addr uintptr, data uint64, room int) ([]byte, error) {
	p := *(*unsafe.Pointer)(unsafe.Pointer(&addr)) // code does not move
	code := unsafe.Slice((*byte)(p), room)
	end := bytes.Index(code, codeEnd[:])
	if end < 0 {
		return nil, errors.New("the code that stands in for a vDSO function has no end")
	}
	code = bytes.Clone(code[:end])
	mark := binary.LittleEndian.AppendUint64(nil, pageMark)
	if bytes.Count(code, mark) != 1 {
		return nil, errors.New("the code that stands in for a vDSO function has no page")
	}
	return bytes.Replace(code, mark, binary.LittleEndian.AppendUint64(nil, data), 1), nil
}

// buildCode makes the code page for an address. displaced are the first whole instructions of
// clock_gettime, whose rest begins at rest.
func buildCode(at uint64, displaced []byte, rest uint64) ([]byte, error) {
	page := bytes.Repeat([]byte{0xcc}, pageSize) // traps
	cg, tod, tm := codeAddrs()
	for _, f := range []struct {
		addr      uintptr
		off, room int
	}{{cg, 0, offTimeOfDay}, {tod, offTimeOfDay, offTime - offTimeOfDay},
		{tm, offTime, offDisplaced - offTime}} {
		code, err := copyCode(f.addr, at+pageSize, f.room)
		if err != nil {
			return nil, err
		}
		copy(page[f.off:], code)
	}
	n := copy(page[offDisplaced:], displaced)
	jump, err := jumpTo(at+offDisplaced+uint64(n), rest)
	if err != nil {
		return nil, err
	}
	copy(page[offDisplaced+n:], jump)
	return page, nil
}

// buildData makes the data page. All its clocks go right.
func buildData(at uint64) []byte {
	page := make([]byte, pageSize)
	binary.LittleEndian.PutUint64(page[0x08:], at+offDisplaced)
	binary.LittleEndian.PutUint64(page[0x10:], at)
	return page
}

func encodeLines(lines clockLines) []byte {
	var b []byte
	for _, l := range lines {
		b = binary.LittleEndian.AppendUint64(b, uint64(l.base))
		b = binary.LittleEndian.AppendUint64(b, uint64(l.shown))
		b = binary.LittleEndian.AppendUint64(b, l.mult)
		b = binary.LittleEndian.AppendUint64(b, l.before)
	}
	return b
}

// jumpSize is that of a jump with a 32-bit distance.
const jumpSize = 5

func jumpTo(from, to uint64) ([]byte, error) {
	d := int64(to) - int64(from) - jumpSize
	if int64(int32(d)) != d {
		return nil, fmt.Errorf("%#x is too far from %#x for a jump", to, from)
	}
	return binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(d)), nil
}

// spanOf is the size of the first whole instructions of code that a jump would overwrite.
func spanOf(code []byte) (uint64, error) {
	n := 0
	for n < jumpSize {
		in, err := x86asm.Decode(code[n:], 64)
		if err != nil {
			return 0, fmt.Errorf("decode % x: %w", code[n:min(n+8, len(code))], err)
		}
		n += in.Len
	}
	return uint64(n), nil
}

// firstInstructions are the first whole instructions of code that a jump would overwrite. They must
// do the same at another place.
func firstInstructions(code []byte) ([]byte, error) {
	n := 0
	for n < jumpSize {
		in, err := x86asm.Decode(code[n:], 64)
		if err != nil {
			return nil, fmt.Errorf("decode % x: %w", code[n:min(n+8, len(code))], err)
		}
		if in.PCRel != 0 {
			return nil, fmt.Errorf("%v depends on its place", in)
		}
		for _, a := range in.Args {
			if m, ok := a.(x86asm.Mem); ok && m.Base == x86asm.RIP {
				return nil, fmt.Errorf("%v depends on its place", in)
			}
			if _, ok := a.(x86asm.Rel); ok {
				return nil, fmt.Errorf("%v depends on its place", in)
			}
		}
		n += in.Len
	}
	return code[:n], nil
}
