package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// held is a process all of whose threads are stopped by ptrace. It belongs to one thread of the
// agent; when that ends, however it ends, the kernel lets the process go.
type held struct {
	pid     int
	threads []int
	signals map[int]unix.Signal // that came meanwhile, to be delivered when it is let go
	mem     *os.File
	until   time.Time
}

// holdTimeout bounds how long a process may be held, and the wait for it to stop: one that is
// frozen never does.
const holdTimeout = 2 * time.Second

// stepTimeout bounds what is then done in its name. A thread must not be let go in the middle of a
// step: the trap at its end would kill the process. It is long, since a thread that is told to step
// stops again, if only the machine has time for it.
const stepTimeout = time.Minute

// hold stops all threads of a process and calls do; they run again when it returns. onlyOne stops
// only one thread, which is enough to have something done in the process's name.
func hold(ctx context.Context, pid int, onlyOne bool, do func(*held) error) (time.Duration, error) {
	begin := time.Now()
	var err error
	onDyingThread(func() { err = holdHere(ctx, pid, onlyOne, do) })
	return time.Since(begin), err
}

// onDyingThread calls do on a thread that ends with it, and takes with it whatever it still holds.
func onDyingThread(do func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and, never unlocked, the thread ends with the goroutine
		if unix.Gettid() != unix.Getpid() {
			do()
			return
		}
		// The first thread of a program never ends. It waits here, so that do gets another.
		onDyingThread(do)
		runtime.UnlockOSThread()
	}()
	<-done
}

func holdHere(ctx context.Context, pid int, onlyOne bool, do func(*held) error) error {
	h := &held{pid: pid, signals: map[int]unix.Signal{}, until: time.Now().Add(holdTimeout)}
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(h.until) {
		h.until = deadline
	}
	defer h.release()
	if err := h.stopAll(onlyOne); err != nil {
		return err
	}
	h.until = time.Now().Add(stepTimeout)
	// Opened only now: it is the memory of the program that runs now, should it just have been
	// replaced by another.
	var err error
	if h.mem, err = os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0); err != nil {
		return err
	}
	defer func() { _ = h.mem.Close() }()
	return do(h)
}

// errNotStopping is a process that can not be held, since it can not run either.
var errNotStopping = errors.New("it did not stop when it was told to; is it frozen?")

// stopAll stops threads until there is none that runs: those that run may make new ones meanwhile.
func (h *held) stopAll(onlyOne bool) error {
	seen := map[int]bool{}
	for {
		dir, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", h.pid))
		if err != nil {
			return err
		}
		fresh := 0
		for _, d := range dir {
			tid, err := strconv.Atoi(d.Name())
			if err != nil || seen[tid] {
				continue
			}
			seen[tid] = true
			fresh++
			if err := h.stop(tid); err != nil {
				return fmt.Errorf("hold thread %d: %w", tid, err)
			}
			if onlyOne && len(h.threads) > 0 {
				return nil
			}
		}
		if fresh == 0 && len(h.threads) == 0 {
			return fmt.Errorf("process %d: %w", h.pid, unix.ESRCH)
		}
		if fresh == 0 {
			return nil
		}
	}
}

// stop stops one thread; one that has ended meanwhile is left out.
func (h *held) stop(tid int) error {
	if err := unix.PtraceSeize(tid); err != nil {
		if gone(err) {
			return nil
		}
		return err
	}
	if err := unix.PtraceInterrupt(tid); err != nil && !gone(err) {
		return err
	}
	for {
		ws, err := h.wait(tid)
		if gone(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if isInterrupt(ws) {
			h.threads = append(h.threads, tid)
			return nil
		}
		// A signal was on its way and comes first.
		if err := unix.PtraceCont(tid, int(ws.StopSignal())); err != nil && !gone(err) {
			return err
		}
	}
}

// isInterrupt says whether a stop is the one that was asked for, and no signal.
func isInterrupt(ws unix.WaitStatus) bool {
	const eventStop = 128 // PTRACE_EVENT_STOP
	return int(ws)>>16 == eventStop
}

// wait waits until a thread stops. One that ended is ESRCH.
func (h *held) wait(tid int) (unix.WaitStatus, error) {
	for spin := 0; ; spin++ {
		var ws unix.WaitStatus
		got, err := unix.Wait4(tid, &ws, unix.WALL|unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return 0, unix.ESRCH
		case err != nil:
			return 0, err
		case got == tid && ws.Stopped():
			return ws, nil
		case got == tid:
			return 0, unix.ESRCH
		}
		if time.Now().After(h.until) {
			return 0, errNotStopping
		}
		if spin > 100 {
			time.Sleep(20 * time.Microsecond)
		}
	}
}

// release lets all threads run, with the signals that came meanwhile.
func (h *held) release() {
	for _, tid := range h.threads {
		_, _, _ = unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_DETACH, uintptr(tid), 0,
			uintptr(h.signals[tid]), 0, 0)
	}
}

// stepUntil runs a thread by single instructions, or to its next trap, until it is where it should
// be. Signals are kept back.
func (h *held) stepUntil(tid int, step func(tid int) error,
	there func(unix.PtraceRegs) bool) error {
	const maxSteps = 10_000
	for range maxSteps {
		if err := step(tid); err != nil {
			return err
		}
		ws, err := h.wait(tid)
		if err != nil {
			return err
		}
		if sig := ws.StopSignal(); sig != unix.SIGTRAP && !isInterrupt(ws) {
			h.signals[tid] = sig
		}
		var regs unix.PtraceRegs
		if err := unix.PtraceGetRegs(tid, &regs); err != nil {
			return err
		}
		if there(regs) {
			return nil
		}
	}
	return fmt.Errorf("thread %d does not get where it should", tid)
}

func single(tid int) error { return unix.PtraceSingleStep(tid) }
func run(tid int) error    { return unix.PtraceCont(tid, 0) }

// borrow has a thread do something else and then go on as if nothing had been: registers and signal
// mask are put back. Every signal but SIGTRAP is masked meanwhile; to mask that one as well would
// make the kernel forget the process's handler for it.
func (h *held) borrow(tid int, do func(regs unix.PtraceRegs) error) error {
	var saved unix.PtraceRegs
	if err := unix.PtraceGetRegs(tid, &saved); err != nil {
		return err
	}
	const trap = 1 << (unix.SIGTRAP - 1)
	var mask, most uint64 = 0, ^uint64(trap)
	if err := sigmask(ptraceGetSigmask, tid, &mask); err != nil {
		return fmt.Errorf("read the signal mask: %w", err)
	}
	if err := sigmask(ptraceSetSigmask, tid, &most); err != nil {
		return fmt.Errorf("set the signal mask: %w", err)
	}
	err := do(saved)
	return errors.Join(err, unix.PtraceSetRegs(tid, &saved), sigmask(ptraceSetSigmask, tid, &mask))
}

const (
	ptraceGetSigmask = 0x420a
	ptraceSetSigmask = 0x420b
)

func sigmask(request, tid int, mask *uint64) error {
	_, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid),
		unsafe.Sizeof(*mask), uintptr(unsafe.Pointer(mask)), 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// syscall has a thread make a system call, by an instruction that is in the process already.
func (h *held) syscall(tid int, insn uint64, nr uint64, args ...uint64) (uint64, error) {
	var result uint64
	err := h.borrow(tid, func(regs unix.PtraceRegs) error {
		for i, reg := range []*uint64{&regs.Rdi, &regs.Rsi, &regs.Rdx, &regs.R10, &regs.R8, &regs.R9} {
			if i < len(args) {
				*reg = args[i]
			}
		}
		regs.Rip, regs.Rax = insn, nr
		regs.Orig_rax = ^uint64(0) // or else the call that was interrupted would be begun again here
		if err := unix.PtraceSetRegs(tid, &regs); err != nil {
			return err
		}
		return h.stepUntil(tid, single, func(r unix.PtraceRegs) bool {
			result = r.Rax
			return r.Rip == insn+2
		})
	})
	if err == nil && result > ^uint64(4095) {
		err = unix.Errno(-result)
	}
	return result, err
}

// call has a thread call a function of two arguments, on a stack that is not its own, and returns
// when the function does: to a trap.
func (h *held) call(tid int, fn, stack, trap, arg1, arg2 uint64) (uint64, error) {
	var result uint64
	err := h.borrow(tid, func(regs unix.PtraceRegs) error {
		stack = stack&^15 - 8
		if err := h.write(stack, le64(trap)); err != nil {
			return err
		}
		regs.Rip, regs.Rsp, regs.Rdi, regs.Rsi, regs.Orig_rax = fn, stack, arg1, arg2, ^uint64(0)
		if err := unix.PtraceSetRegs(tid, &regs); err != nil {
			return err
		}
		return h.stepUntil(tid, run, func(r unix.PtraceRegs) bool {
			result = r.Rax
			return r.Rip == trap+1
		})
	})
	return result, err
}

func (h *held) read(addr uint64, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := h.mem.ReadAt(b, int64(addr))
	return b, err
}

func (h *held) write(addr uint64, b []byte) error {
	_, err := h.mem.WriteAt(b, int64(addr))
	return err
}
