package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// tun is a device whose packets pass through an [emulator]. One thread does nothing else, so that a
// packet leaves when it is due and not when the scheduler gets round to it.
type tun struct {
	fd, raw, wake int // device, raw socket, eventfd that interrupts the wait
	begin         time.Time
	done          chan struct{} // closed when the thread has ended

	mu     sync.Mutex // guards the fields below
	em     *emulator
	closed bool
}

const tunPath = "/dev/net/tun"

// openTUN makes the device. It is gone when its last user is.
func openTUN(name string, mark int) (_ *tun, err error) {
	t := &tun{fd: -1, raw: -1, wake: -1, begin: time.Now(), done: make(chan struct{}),
		em: newEmulator()}
	defer func() {
		if err != nil {
			t.closeAll()
		}
	}()
	if t.fd, err = openTUNDevice(); err != nil {
		return nil, err
	}
	req, err := unix.NewIfreq(name)
	if err != nil {
		return nil, err
	}
	req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(t.fd, unix.TUNSETIFF, req); err != nil {
		return nil, fmt.Errorf("make device %s: %w", name, err)
	}
	t.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK,
		unix.IPPROTO_RAW)
	if err != nil {
		return nil, fmt.Errorf("open a raw socket: %w", err)
	}
	if err := unix.SetsockoptInt(t.raw, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
		return nil, fmt.Errorf("mark the raw socket: %w", err)
	}
	// A burst that is due at once must not overflow it; the kernel may grant less.
	_ = unix.SetsockoptInt(t.raw, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
	if t.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, err
	}
	go t.run()
	return t, nil
}

// openTUNDevice opens the device's file, and makes it first if the container has none and the agent
// may.
func openTUNDevice() (int, error) {
	const flags = unix.O_RDWR | unix.O_CLOEXEC | unix.O_NONBLOCK
	fd, err := unix.Open(tunPath, flags, 0)
	if !errors.Is(err, unix.ENOENT) {
		return fd, wrapPath(tunPath, err)
	}
	if err := os.MkdirAll(filepath.Dir(tunPath), 0o755); err != nil {
		return -1, err
	}
	if err := unix.Mknod(tunPath, unix.S_IFCHR|0o600, int(unix.Mkdev(10, 200))); err != nil {
		return -1, wrapPath(tunPath, err)
	}
	fd, err = unix.Open(tunPath, flags, 0)
	return fd, wrapPath(tunPath, err)
}

func wrapPath(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", path, err)
}

func (t *tun) now() time.Duration { return time.Since(t.begin) }

// shape replaces the links.
func (t *tun) shape(to map[netip.Addr]wire.Link, seed uint64) {
	t.mu.Lock()
	t.em.shape(t.now(), to, seed)
	t.mu.Unlock()
	t.interrupt()
}

func (t *tun) counts() map[netip.Addr]wire.LinkCount {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.em.counts()
}

// interrupt ends the wait of the thread.
func (t *tun) interrupt() {
	one := [8]byte{1} // the counter is full only if it is to wake anyway
	_, _ = unix.Write(t.wake, one[:])
}

// close ends the thread and removes the device.
func (t *tun) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.interrupt()
	<-t.done
	t.closeAll()
}

func (t *tun) closeAll() {
	for _, fd := range []int{t.fd, t.raw, t.wake} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// run is the thread: wait for a packet or until one is due, take what came, send what is due.
func (t *tun) run() {
	defer close(t.done)
	runtime.LockOSThread() // and never unlocked: the thread ends with its settings
	// Else the kernel may come 50 µs late on purpose.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	buf := make([]byte, 1<<16)
	for {
		t.mu.Lock()
		closed, next := t.closed, t.em.next()
		t.mu.Unlock()
		if closed {
			return
		}
		t.wait(next)
		if err := t.receive(buf); err != nil {
			return // the device is gone, and its routes with it
		}
		t.send()
	}
}

// wait returns when a packet is there, one is due, or somebody interrupts.
func (t *tun) wait(next time.Duration) {
	fds := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN},
		{Fd: int32(t.wake), Events: unix.POLLIN}}
	var timeout *unix.Timespec // nil waits for ever
	if next != never {
		ts := unix.NsecToTimespec(max(0, int64(next-t.now())))
		timeout = &ts
	}
	if n, err := unix.Ppoll(fds, timeout, nil); err == nil && n > 0 && fds[1].Revents != 0 {
		var count [8]byte
		_, _ = unix.Read(t.wake, count[:])
	}
}

// receive hands all packets that wait in the device to the emulator. An error is the end of the
// device.
func (t *tun) receive(buf []byte) error {
	for range 256 { // then some may be due
		n, err := unix.Read(t.fd, buf)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
			return nil
		case err != nil:
			return err
		}
		to, ok := destination(buf[:n])
		if !ok {
			continue // IPv6, which the device does not carry
		}
		t.mu.Lock()
		t.em.accept(t.now(), to, append([]byte(nil), buf[:n]...))
		t.mu.Unlock()
	}
	return nil
}

// send sends everything that is due.
func (t *tun) send() {
	for {
		t.mu.Lock()
		p, ok := t.em.pop(t.now())
		t.mu.Unlock()
		if !ok {
			return
		}
		// An error means that the packet is lost, which packets may be.
		_ = unix.Sendto(t.raw, p.data, 0, &unix.SockaddrInet4{Addr: p.to.As4()})
	}
}

// destination reads the address that an IPv4 packet goes to.
func destination(data []byte) (netip.Addr, bool) {
	if len(data) < 20 || data[0]>>4 != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(data[16:20])), true
}
