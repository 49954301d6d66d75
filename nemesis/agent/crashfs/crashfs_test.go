//go:build linux

package crashfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain runs the tests in a mount namespace of their own: the kernel removes what they mount,
// however they end.
func TestMain(m *testing.M) {
	if os.Getenv("CRASHFS_INSIDE") != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			fmt.Println("make mounts private:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "CRASHFS_INSIDE=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		id := []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.UidMappings = id
		id = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = id
	}
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Println("skipped: no mount namespace of one's own here:", err)
	}
}

// mounted is a disk, and where it is mounted.
func mounted(t *testing.T) (*Disk, string) {
	t.Helper()
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := t.TempDir()
	remount(t, d, at)
	return d, at
}

// remount mounts the disk anew, as after a crash: nothing is left in the kernel's caches.
func remount(t *testing.T, d *Disk, at string) {
	t.Helper()
	_ = unix.Unmount(at, unix.MNT_DETACH)
	m, err := d.Mount()
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Attach(os.Getpid(), at); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	quietPoll(t, at)
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
}

// quietPoll teaches the kernel that this mount has no poll. Otherwise the runtime, which serves the
// mount and uses it, would wait for itself when it adds one of its files to its poller.
func quietPoll(t *testing.T, at string) {
	t.Helper()
	fd, err := unix.Open(at+"/.go-fuse-epoll-hack", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	do(t, err)
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	do(t, errors.Join(err, unix.Close(fd)))
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put writes data at offset, and syncs it if so asked.
func put(t *testing.T, path string, offset int64, data string, sync bool) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	do(t, err)
	_, err = f.WriteAt([]byte(data), offset)
	do(t, err)
	if sync {
		do(t, f.Sync())
	}
	do(t, f.Close())
}

func syncDir(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	do(t, err)
	do(t, f.Sync())
	do(t, f.Close())
}

func wants(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if want == "" && errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil || string(got) != want {
		t.Errorf("%s: got %.60q and %v, want %.60q", filepath.Base(path), got, err, want)
	}
}

// A crash leaves what was synced, under the names that were synced.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name string
		work func(t *testing.T, dir string)
		want map[string]string // "" for no such file
	}{
		{"a synced file stays, with its name", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, "kept", true)
		}, map[string]string{"a": "kept"}},
		{"a file that was never synced is gone", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, "lost", false)
		}, map[string]string{"a": ""}},
		{"what was appended is cut off", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, "kept", true)
			put(t, dir+"/a", 4, "lost", false)
		}, map[string]string{"a": "kept"}},
		{"what was overwritten is back", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, string(bytes.Repeat([]byte("k"), 9000)), true)
			put(t, dir+"/a", 4000, "lost", false)
			put(t, dir+"/a", 4002, "more", false)
		}, map[string]string{"a": string(bytes.Repeat([]byte("k"), 9000))}},
		{"what was truncated is back", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, string(bytes.Repeat([]byte("k"), 9000)), true)
			do(t, os.Truncate(dir+"/a", 100))
			put(t, dir+"/a", 100, "lost", false)
		}, map[string]string{"a": string(bytes.Repeat([]byte("k"), 9000))}},
		{"a rename is undone, and what it replaced is back", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, "old", true)
			put(t, dir+"/b", 0, "new", true)
			do(t, os.Rename(dir+"/b", dir+"/a"))
		}, map[string]string{"a": "old", "b": "new"}},
		{"a rename stays when its directory is synced", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, "old", true)
			put(t, dir+"/b", 0, "new", true)
			do(t, os.Rename(dir+"/b", dir+"/a"))
			syncDir(t, dir)
		}, map[string]string{"a": "new", "b": ""}},
		{"a name is safe before its contents are", func(t *testing.T, dir string) {
			put(t, dir+"/b", 0, "lost", false)
			do(t, os.Rename(dir+"/b", dir+"/a"))
			syncDir(t, dir)
		}, map[string]string{"a": "", "b": ""}},
		{"a removal is undone", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, "back", true)
			do(t, os.Remove(dir+"/a"))
		}, map[string]string{"a": "back"}},
		{"a removal stays when its directory is synced", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, "gone", true)
			do(t, os.Remove(dir+"/a"))
			syncDir(t, dir)
		}, map[string]string{"a": ""}},
		{"a file in a new directory is safe with it", func(t *testing.T, dir string) {
			do(t, os.Mkdir(dir+"/d", 0o755))
			put(t, dir+"/d/a", 0, "kept", true)
			put(t, dir+"/d/b", 0, "lost", false)
		}, map[string]string{"d/a": "kept", "d/b": ""}},
		{"renamed twice, and undone twice", func(t *testing.T, dir string) {
			put(t, dir+"/a", 0, "first", true)
			do(t, os.Rename(dir+"/a", dir+"/b"))
			do(t, os.Rename(dir+"/b", dir+"/c"))
			put(t, dir+"/a", 0, "second", false)
		}, map[string]string{"a": "first", "b": "", "c": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, at := mounted(t)
			c.work(t, at)
			do(t, d.Fail(t.Context(), 0, nil))
			_, err := d.Recover()
			do(t, err)
			remount(t, d, at)
			for name, want := range c.want {
				if name == "a" && c.name == "a name is safe before its contents are" {
					st, err := os.Stat(at + "/a")
					if err != nil || st.Size() != 0 {
						t.Errorf("a: got %v, want an empty file", err)
					}
					continue
				}
				wants(t, filepath.Join(at, name), want)
			}
		})
	}
}

// A write that was torn leaves a part, and is never answered before the power is back.
func TestTornWrite(t *testing.T) {
	d, at := mounted(t)
	put(t, at+"/a", 0, "kept", true)
	failed := make(chan error, 1)
	go func() {
		failed <- d.Fail(t.Context(), time.Minute, func(size int) int { return size / 2 })
	}()
	for armed := false; !armed; {
		d.mu.Lock()
		armed = d.tear != nil
		d.mu.Unlock()
	}
	wrote := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(at+"/a", os.O_RDWR, 0)
		if err == nil {
			_, err = f.WriteAt([]byte("12345678"), 4)
		}
		wrote <- err
	}()
	do(t, <-failed)
	d.Release()
	if err := <-wrote; !errors.Is(err, syscall.EIO) {
		t.Errorf("the torn write: got %v, want %v", err, syscall.EIO)
	}
	lost, err := d.Recover()
	do(t, err)
	if lost.Torn != 4 {
		t.Errorf("torn: got %d bytes, want 4", lost.Torn)
	}
	remount(t, d, at)
	wants(t, at+"/a", "kept1234")
}

// Each ill shows to whom it hits, is counted, and is over when it is taken away.
func TestIlls(t *testing.T) {
	d, at := mounted(t)
	put(t, at+"/a", 0, "kept", true)
	f, err := os.OpenFile(at+"/a", os.O_RDWR, 0)
	do(t, err)
	defer f.Close()
	for _, c := range []struct {
		name string
		ills Ills
		do   func() error
		want error
	}{
		{"write", Ills{Write: true}, func() error { _, err := f.WriteAt([]byte("x"), 9); return err },
			syscall.EIO},
		{"sync", Ills{Sync: true}, f.Sync, syscall.EIO},
		{"full", Ills{Full: true}, func() error { _, err := f.WriteAt([]byte("x"), 9); return err },
			syscall.ENOSPC},
		{"full for new files", Ills{Full: true}, func() error { return os.Mkdir(at+"/d", 0o755) },
			syscall.ENOSPC},
	} {
		before := d.Counts().Errors
		d.Set(c.ills)
		if err := c.do(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		d.Set(Ills{})
		if err := c.do(); err != nil {
			t.Errorf("%s, healed: got %v", c.name, err)
		}
		if d.Counts().Errors != before+1 {
			t.Errorf("%s: got %d errors counted, want 1", c.name, d.Counts().Errors-before)
		}
	}
	d.Set(Ills{SyncDelay: 50 * time.Millisecond})
	begin := time.Now()
	do(t, f.Sync())
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("a slow sync: it took %v", took)
	}
}

// What is ours is not seen by the node, and damage is mended.
func TestDamage(t *testing.T) {
	d, at := mounted(t)
	put(t, at+"/a", 0, "a file of the node", true)
	for _, kind := range []string{Flip, Truncate} {
		what, err := d.Damage(kind, 7)
		do(t, err)
		remount(t, d, at)
		got, err := os.ReadFile(at + "/a")
		do(t, err)
		if what.File != "a" || string(got) == "a file of the node" {
			t.Errorf("%s: got %q in %+v, want it damaged", kind, got, what)
		}
		do(t, d.Restore())
		remount(t, d, at)
		wants(t, at+"/a", "a file of the node")
	}
	entries, err := os.ReadDir(at)
	do(t, err)
	if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == Hidden }) {
		t.Errorf("the node sees %s", Hidden)
	}
}
