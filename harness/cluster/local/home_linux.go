package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// home is the directory of a run, and with it everything that does not end with its processes. The
// lock in it is held as long as raftcheck lives, so that others can see whether it does.
type home struct {
	dir  string
	lock *os.File
}

const (
	lockName   = "lock"
	groupsName = "groups.json"
)

// homes is where the directories of all runs are. It is on a disk, not in a temporary directory:
// that may be memory, where a disk's time does not show.
func homes(dir string) string {
	if dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = filepath.Join(os.TempDir(), fmt.Sprintf("raftcheck-%d", os.Getuid()))
	}
	return filepath.Join(cache, "raftcheck", "local")
}

func makeHome(base, run string) (*home, error) {
	base = homes(base)
	h := &home{dir: filepath.Join(base, run)}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return nil, err
	}
	if err := os.Mkdir(h.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	h.lock, err = os.OpenFile(filepath.Join(h.dir, lockName), os.O_CREATE|os.O_RDWR, 0o644)
	if err == nil {
		err = unix.Flock(int(h.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", h.dir, err), os.RemoveAll(h.dir))
	}
	return h, nil
}

// note writes down the control groups, for those who clean up after us.
func (h *home) note(groups []group) error {
	text, err := json.Marshal(groups)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(h.dir, groupsName), text, 0o644)
}

// removeLimit bounds how long a removal waits for processes that are about to end.
const removeLimit = 20 * time.Second

// remove removes control groups and directory. The run's processes are dead, or about to be. It is
// idempotent.
func (h *home) remove() error {
	var groups []group
	text, err := os.ReadFile(filepath.Join(h.dir, groupsName))
	if err == nil {
		err = json.Unmarshal(text, &groups)
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // it never came so far, or it was removed
	}
	errs := []error{err}
	deadline := time.Now().Add(removeLimit)
	for _, g := range groups {
		errs = append(errs, g.remove(deadline))
	}
	for {
		err = os.RemoveAll(h.dir)
		if err == nil || time.Now().After(deadline) {
			break
		}
		time.Sleep(10 * time.Millisecond) // a process of the run still writes
	}
	if h.lock != nil {
		h.lock.Close()
	}
	return errors.Join(append(errs, err)...)
}

// remove ends what is in the group and removes it.
func (g group) remove(deadline time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	var errs []error
	for _, dir := range g.dirs() {
		if _, err := os.Stat(dir); err != nil {
			continue
		}
		if dir == g.Freezer || dir == g.Unified {
			if err := errors.Join(g.kill(), g.freeze(ctx, false)); err != nil && exists(dir) {
				errs = append(errs, err)
			}
		}
		errs = append(errs, removeGroup(ctx, dir))
		_ = os.Remove(filepath.Dir(dir)) // the run's, once it is empty
	}
	return errors.Join(errs...)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// removeGroup removes a control group once its last process is gone.
func removeGroup(ctx context.Context, dir string) error {
	for {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

// ReapDead removes what runs left behind whose raftcheck is dead, and names them. dir is that of
// the [Config].
func ReapDead(dir string, log *slog.Logger) ([]string, error) {
	base := homes(dir)
	entries, err := os.ReadDir(base)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var reaped []string
	var errs = []error{err}
	for _, e := range entries {
		h := &home{dir: filepath.Join(base, e.Name())}
		if !h.dead() {
			continue
		}
		log.Debug("remove what a dead run left", "run", e.Name())
		if err := h.remove(); err != nil {
			errs = append(errs, fmt.Errorf("remove run %s: %w", e.Name(), err))
			continue
		}
		reaped = append(reaped, e.Name())
	}
	return reaped, errors.Join(errs...)
}

// dead says whether the run's raftcheck is dead, and takes its lock over if it is. A directory that
// has no lock yet is given a while to get one.
func (h *home) dead() bool {
	f, err := os.OpenFile(filepath.Join(h.dir, lockName), os.O_RDWR, 0)
	if err != nil {
		info, serr := os.Stat(h.dir)
		return serr == nil && errors.Is(err, fs.ErrNotExist) && time.Since(info.ModTime()) > time.Minute
	}
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		f.Close()
		return false
	}
	h.lock = f
	return true
}

// guardian is the harness's end of the pipe that its guardian reads.
type guardian struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// startGuardian runs a command in a session of its own, so that no Ctrl-C reaches it.
func startGuardian(argv []string, run string) (*guardian, error) {
	cmd := &exec.Cmd{Path: self, Args: append(argv[:len(argv):len(argv)], run),
		Env: os.Environ(), SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	pipe, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	return &guardian{cmd: cmd, pipe: pipe}, nil
}

// dismiss sends the guardian home, once nothing is left to guard.
func (g *guardian) dismiss() error {
	g.pipe.Close()
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("dismiss the guardian: %w", err)
	}
	return nil
}

// Guard is the guardian's life: when in ends, the harness has died or is done, and whatever is
// still there of the run is removed. dir is that of the [Config].
func Guard(dir, run string, in io.Reader) error {
	sc := bufio.NewScanner(in)
	for sc.Scan() { // nothing is said
	}
	base := homes(dir)
	h := &home{dir: filepath.Join(base, run)}
	for deadline := time.Now().Add(removeLimit); exists(h.dir); {
		if h.dead() {
			return h.remove()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("guard run %s: its raftcheck still holds %s", run, h.dir)
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
