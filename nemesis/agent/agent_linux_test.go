package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// TestMain lets the test binary be a pod: process 1 of fresh namespaces, with an agent in it and
// victims beside it.
func TestMain(m *testing.M) {
	if len(os.Args) != 2 {
		os.Exit(m.Run())
	}
	var err error
	switch os.Args[1] {
	case "pod":
		err = runPod()
	case "victim":
		err = runVictim()
	case "clock":
		err = clockRole(os.Stdin, os.Stdout)
	case "leaf":
		select {}
	case "orphan":
	case "forker":
		err = runForker()
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runPod is process 1.
func runPod() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	if err := startSelf("victim"); err != nil {
		return err
	}
	return Run(context.Background(), os.Stdin, os.Stdout, Options{})
}

func startSelf(role string) error { return exec.Command("/proc/self/exe", role).Start() }

// runVictim is a node of two processes, whose child talks to it from two addresses. A third process
// left an orphan behind and is gone.
func runVictim() error {
	for _, role := range []string{"leaf", "forker"} {
		if err := startSelf(role); err != nil {
			return err
		}
	}
	var wait unix.WaitStatus
	_, _ = unix.Wait4(-1, &wait, 0, nil) // the forker; the leaf lives
	lis, err := net.ListenPacket("udp", "127.0.0.1:7000")
	if err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 10)
		for {
			_, _, _ = lis.ReadFrom(buf)
		}
	}()
	for _, from := range []string{"127.0.0.2", "127.0.0.3"} {
		conn, err := (&net.Dialer{LocalAddr: &net.UDPAddr{IP: net.ParseIP(from)}}).Dial("udp",
			"127.0.0.1:7000")
		if err != nil {
			return err
		}
		go func() {
			for ; ; time.Sleep(time.Millisecond) {
				_, _ = conn.Write([]byte("x"))
			}
		}()
	}
	select {}
}

// runForker leaves a child to process 1, which ends at once.
func runForker() error {
	return startSelf("orphan")
}

// pod starts one, and skips the test where namespaces can not be had.
func pod(t *testing.T) *wire.Client {
	t.Helper()
	c, _ := podWithPID(t)
	return c
}

// podWithPID also tells the number that process 1 has outside.
func podWithPID(t *testing.T) (*wire.Client, int) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "pod")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags:  unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var words strings.Builder
	cmd.Stderr = &words
	if err := cmd.Start(); errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) {
		t.Skipf("needs user namespaces: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_, _ = io.Copy(io.Discard, stdout)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the pod: %v\n%s", err, words.String())
		}
	})
	c := wire.NewClient(stdout, stdin)
	if _, err := c.Ping(t.Context()); err != nil {
		t.Skipf("needs namespaces with /proc: %v", err)
	}
	return c, cmd.Process.Pid
}

// until asks until ok.
func until(t *testing.T, what string, ok func() (bool, error)) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		done, err := ok()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if done {
			return
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("%s: it did not come", what)
		}
	}
}

func TestProcesses(t *testing.T) {
	c := pod(t)
	until(t, "victim and leaf, no forker and no orphan", func() (bool, error) {
		n, err := c.State(t.Context())
		return len(n.Processes) == 2 && n.State == wire.Running, err
	})
	for _, step := range []struct{ signal, want string }{
		{"cont", wire.Running}, {"stop", wire.Stopped}, {"stop", wire.Stopped},
		{"cont", wire.Running}, {"stop", wire.Stopped}, {"kill", wire.Gone},
		{"kill", wire.Gone}, {"stop", wire.Gone}, {"cont", wire.Gone},
	} {
		n, err := c.Signal(t.Context(), step.signal)
		if err != nil || n.State != step.want {
			t.Fatalf("%s: got %+v, %v, want %s", step.signal, n, err, step.want)
		}
		if n, err = c.State(t.Context()); err != nil || n.State != step.want {
			t.Fatalf("after %s: got %+v, %v, want %s", step.signal, n, err, step.want)
		}
	}
	_, err := c.Signal(t.Context(), "hup")
	wantKind(t, err, wire.Refused)
}

// TestOrphans looks from outside for children that process 1 did not bury.
func TestOrphans(t *testing.T) {
	c, pid := podWithPID(t)
	if _, err := c.Signal(t.Context(), "kill"); err != nil {
		t.Fatal(err)
	}
	until(t, "process 1 has no child, dead ones included", func() (bool, error) {
		all, err := listProcesses(os.Getpid())
		return !slices.ContainsFunc(all, func(st procStat) bool { return st.parent == pid }), err
	})
}

func TestCut(t *testing.T) {
	c := pod(t)
	two, three := netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")
	if got, err := c.Dropped(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("before any cut: got %v, %v", got, err)
	}
	cut := func(addrs ...netip.Addr) wire.CutResult {
		t.Helper()
		res, err := c.Cut(t.Context(), wire.CutArgs{From: addrs})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(res.Installed, addrs) {
			t.Fatalf("installed: got %v, want %v", res.Installed, addrs)
		}
		return res
	}
	grows := func(a netip.Addr, from uint64) {
		t.Helper()
		until(t, "drops of "+a.String(), func() (bool, error) {
			n, err := c.Dropped(t.Context())
			return n[a] > from+5, err
		})
	}
	cut(two)
	cut(two)
	grows(two, 0)
	res := cut(two, three)
	if res.Dropped[two] == 0 {
		t.Errorf("dropped when the second joins: got %v", res.Dropped)
	}
	grows(three, 0)
	grows(two, res.Dropped[two])
	res = cut(three) // while three is dropped, two comes through
	grows(three, res.Dropped[three])
	if n, err := c.Dropped(t.Context()); err != nil || n[two] != res.Dropped[two] {
		t.Errorf("two is healed: got %v, %v, want it to stay %d", n, err, res.Dropped[two])
	}
	before := cut().Dropped
	if before[two] == 0 || before[three] == 0 {
		t.Errorf("healed: got %v, want what was dropped until then", before)
	}
	after, err := c.Dropped(t.Context())
	if err != nil || after[two] != before[two] || after[three] != before[three] {
		t.Errorf("after it healed: got %v, %v, want %v", after, err, before)
	}
	cut(two)
	grows(two, before[two])
	_, err = c.Cut(t.Context(), wire.CutArgs{From: []netip.Addr{netip.MustParseAddr("::1")}})
	wantKind(t, err, wire.Refused)
}

func TestRequests(t *testing.T) {
	c := pod(t)
	wantKind(t, c.Call(t.Context(), "fly", nil, nil), wire.Unknown)
	wantKind(t, c.Call(t.Context(), wire.OpCut, map[string]int{"form": 1}, nil), wire.Refused)
	wantKind(t, c.Call(t.Context(), wire.OpSignal, nil, nil), wire.Refused)
	h, err := c.Ping(t.Context())
	if err != nil || h.PID != 1 || !slices.Contains(h.Ops, wire.OpCut) || h.Kernel == "" {
		t.Errorf("ping: got %+v, %v", h, err)
	}
	abilities, err := c.Probe(t.Context())
	if err != nil || len(abilities) == 0 {
		t.Errorf("probe: got %v, %v", abilities, err)
	}
}

func wantKind(t *testing.T, err error, want wire.ErrorKind) {
	t.Helper()
	if e, ok := errors.AsType[*wire.Error](err); !ok || e.Kind != want {
		t.Errorf("got %v, want an error of kind %s", err, want)
	}
}

func TestParseStat(t *testing.T) {
	tail := strings.Repeat(" 0", 15) + " 7 0 99 0 0"
	for _, c := range []struct {
		line string
		want procStat
		ok   bool
	}{
		{"12 (a) b) S 3" + tail, procStat{}, true},
		{"12 (a", procStat{}, false},
		{"12 (a) S", procStat{}, false},
		{"x (a) S 3" + tail, procStat{}, false},
		{"", procStat{}, false},
	} {
		got, err := parseStat(c.line)
		if (err == nil) != c.ok {
			t.Errorf("%q: got %+v, %v", c.line, got, err)
		}
		if c.ok && (got.PID != 12 || got.Name != "a) b" || got.State != "S" || got.parent != 3 ||
			got.Threads != 7 || got.Started != 99) {
			t.Errorf("%q: got %+v", c.line, got)
		}
	}
}
