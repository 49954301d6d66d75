package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

// group is the control group of one node, as far as this machine lets us make one: a directory for
// each controller (version 1), or one for all (version 2). An empty field is one that there is not.
type group struct {
	// Freezer, CPU and Memory are directories of version 1, Unified is the one of version 2.
	Freezer string `json:"freezer,omitempty"`
	CPU     string `json:"cpu,omitempty"`
	Memory  string `json:"memory,omitempty"`
	Unified string `json:"unified,omitempty"`
	// Missing says why there is no freezer; HasCPU and HasMemory are of version 2.
	Missing           string `json:"missing,omitempty"`
	HasCPU, HasMemory bool   `json:"-"`
}

const groupRoot = "/sys/fs/cgroup"

// makeGroup makes the control group of a node, beside that of this process or below it, so that
// limits on us stay limits on the node. What can not be made is left out.
func makeGroup(run, node string) group {
	name := filepath.Join("raftcheck-"+run, node)
	var g group
	var errs []error
	own := ownGroups()
	if _, ok := own["freezer"]; ok {
		for controller, dir := range map[string]*string{"freezer": &g.Freezer, "cpu": &g.CPU,
			"memory": &g.Memory} {
			at := filepath.Join(groupRoot, controller, own[controller])
			if _, err := os.Stat(at); err != nil {
				at = filepath.Join(groupRoot, controller) // another namespace's name for it
			}
			at = filepath.Join(at, name)
			if err := os.MkdirAll(at, 0o755); err != nil {
				errs = append(errs, err)
				continue
			}
			*dir = at
		}
	} else {
		errs = append(errs, g.makeUnified(own[""], name))
	}
	if err := errors.Join(errs...); err != nil {
		g.Missing, _, _ = strings.Cut(err.Error(), "\n") // the others say the same
	}
	return g
}

// ownGroups are the control groups that this process is in, by controller; that of version 2 has no
// name.
func ownGroups() map[string]string {
	own := map[string]string{}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return own
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			for c := range strings.SplitSeq(f[1], ",") {
				own[c] = f[2]
			}
		}
	}
	return own
}

// makeUnified makes a control group of version 2. It stands beside that of this process: one that
// has processes can not give controllers to those below it.
func (g *group) makeUnified(own, name string) error {
	base := groupRoot
	if _, err := os.Stat(filepath.Join(base, "cgroup.controllers")); err != nil {
		base = filepath.Join(groupRoot, "unified")
	}
	at := filepath.Join(base, filepath.Dir(own), name)
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	for _, c := range []string{"cpu", "memory"} {
		for _, dir := range []string{filepath.Join(base, filepath.Dir(own)), filepath.Dir(at)} {
			// Whether it could be given shows in the files below.
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0)
		}
	}
	if err := os.Mkdir(at, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if _, err := os.Stat(filepath.Join(at, "cgroup.freeze")); err != nil {
		return errors.Join(err, os.Remove(at))
	}
	g.Unified = at
	_, err := os.Stat(filepath.Join(at, "cpu.max"))
	g.HasCPU = err == nil
	_, err = os.Stat(filepath.Join(at, "memory.max"))
	g.HasMemory = err == nil
	return nil
}

// dirs are the directories that there are.
func (g group) dirs() []string {
	var all []string
	for _, d := range []string{g.Freezer, g.CPU, g.Memory, g.Unified} {
		if d != "" {
			all = append(all, d)
		}
	}
	return all
}

// tasks are the files of version 1 through which a thread enters.
func (g group) tasks() []string {
	var all []string
	for _, d := range []string{g.Freezer, g.CPU, g.Memory} {
		if d != "" {
			all = append(all, filepath.Join(d, "tasks"))
		}
	}
	return all
}

// freeze stops or continues all processes of the group, and returns when they are.
func (g group) freeze(ctx context.Context, freeze bool) error {
	var file, value, shows, done string
	switch {
	case g.Freezer != "":
		file, value = filepath.Join(g.Freezer, "freezer.state"), "THAWED"
		if freeze {
			value = "FROZEN"
		}
		shows, done = file, value
	case g.Unified != "":
		file, value = filepath.Join(g.Unified, "cgroup.freeze"), "0"
		if freeze {
			value = "1"
		}
		shows, done = filepath.Join(g.Unified, "cgroup.events"), "frozen "+value
	case !freeze:
		return nil
	default:
		return cluster.Unable{Err: fmt.Errorf("there is no freezer: %s", g.Missing)}
	}
	for {
		// Written again each time: version 1 may be left half-way by a process that just came.
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			return err
		}
		now, err := os.ReadFile(shows)
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(now)) {
			if strings.TrimSpace(line) == done {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: it still says %q", file, strings.TrimSpace(string(now)))
		case <-time.After(100 * time.Microsecond):
		}
	}
}

// kill sends SIGKILL to all processes of the group, those too that can not run now.
func (g group) kill() error {
	for _, dir := range g.dirs()[:min(1, len(g.dirs()))] {
		text, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			return err
		}
		for pid := range strings.FieldsSeq(string(text)) {
			n, err := strconv.Atoi(pid)
			if err != nil || n <= 0 {
				continue // of another namespace
			}
			if err := unix.Kill(n, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

// ooms counts the processes of the group that the kernel ended for want of memory.
func (g group) ooms() int {
	file := filepath.Join(g.Memory, "memory.oom_control")
	if g.Memory == "" {
		file = filepath.Join(g.Unified, "memory.events")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "oom_kill" {
			n, _ := strconv.Atoi(f[1]) // zero if it is none
			return n
		}
	}
	return 0
}

const (
	// cpuPeriod is the time, in µs, of which a node gets its share. It is the kernel's default.
	cpuPeriod = 100_000
	// minQuota is the least share of it that the kernel takes.
	minQuota = 1000
)

// limit sets the limits, and reads them back.
func (g group) limit(l cluster.Limits) error {
	if l.CPU < 0 || l.Memory < 0 || math.IsNaN(l.CPU) {
		return errors.New("limits can not be negative")
	}
	quota, memory := "-1", "-1"
	if l.CPU > 0 {
		quota = strconv.FormatInt(max(minQuota, int64(math.Round(l.CPU*cpuPeriod))), 10)
	}
	if l.Memory > 0 {
		memory = strconv.FormatInt(l.Memory-l.Memory%int64(os.Getpagesize()), 10)
	}
	switch {
	case g.CPU != "" && g.Memory != "":
		return errors.Join(
			put(filepath.Join(g.CPU, "cpu.cfs_period_us"), strconv.Itoa(cpuPeriod)),
			put(filepath.Join(g.CPU, "cpu.cfs_quota_us"), quota), g.limitMemory(memory))
	case g.HasCPU && g.HasMemory:
		if l.CPU == 0 {
			quota = "max"
		}
		if l.Memory == 0 {
			memory = "max"
		}
		return errors.Join(
			put(filepath.Join(g.Unified, "cpu.max"), quota+" "+strconv.Itoa(cpuPeriod)),
			put(filepath.Join(g.Unified, "memory.max"), memory))
	}
	return cluster.Unable{Err: fmt.Errorf("there are no control groups for processor and memory: %s",
		g.Missing)}
}

// limitMemory bounds the memory and, where that can be, the swap beyond it. The bound of both must
// never be the lesser.
func (g group) limitMemory(value string) error {
	files := []string{"memory.limit_in_bytes", "memory.memsw.limit_in_bytes"}
	if value == "-1" {
		slices.Reverse(files)
	}
	for _, name := range files {
		err := put(filepath.Join(g.Memory, name), value)
		if errors.Is(err, fs.ErrNotExist) && name == "memory.memsw.limit_in_bytes" {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// put writes a value and reads it back; "-1" reads as a very large number.
func put(file, value string) error {
	if err := os.WriteFile(file, []byte(value), 0); err != nil {
		return err
	}
	now, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if got := strings.TrimSpace(string(now)); got != value && value != "-1" {
		return fmt.Errorf("%s: wrote %s, and it says %s", file, value, got)
	}
	return nil
}
