package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// procStat is what the agent needs of /proc/PID/stat.
type procStat struct {
	wire.Process
	parent int
}

// parseStat reads a line of /proc/PID/stat. The name stands in parentheses and may hold anything,
// parentheses included, so the fields are counted from the last one.
func parseStat(line string) (procStat, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return procStat{}, fmt.Errorf("stat %.60q: no name in parentheses", line)
	}
	f := strings.Fields(line[end+1:])
	const state, parent, threads, started = 0, 1, 17, 19 // fields 3, 4, 20 and 22 of proc(5)
	if len(f) <= started {
		return procStat{}, fmt.Errorf("stat %.60q: %d fields", line, len(f))
	}
	var st procStat
	var errs [4]error
	st.Name, st.State = line[open+1:end], f[state]
	st.PID, errs[0] = strconv.Atoi(strings.TrimSpace(line[:open]))
	st.parent, errs[1] = strconv.Atoi(f[parent])
	st.Threads, errs[2] = strconv.Atoi(f[threads])
	st.Started, errs[3] = strconv.ParseUint(f[started], 10, 64)
	return st, errors.Join(errs[:]...)
}

// dead says whether nothing of the process runs any more: it only waits for its parent to notice.
func (st procStat) dead() bool {
	return st.State == "X" || st.State == "Z" && st.Threads <= 1
}

// gone says whether err means that the process ended while it was looked at.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// listProcesses reads all processes of the namespace but those of the agent.
func listProcesses(self int) ([]procStat, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var all []procStat
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == self {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", d.Name(), "stat"))
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		st, err := parseStat(string(line))
		if err != nil {
			return nil, err
		}
		all = append(all, st)
	}
	return all, nil
}

// allThreadsStopped says whether no thread of the process can run.
func allThreadsStopped(pid int) (bool, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil {
		return false, err
	}
	for _, t := range tasks {
		line, err := os.ReadFile(t)
		if gone(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		st, err := parseStat(string(line))
		if err != nil {
			return false, err
		}
		if !strings.Contains("TtZX", st.State) {
			return false, nil
		}
	}
	return true, nil
}
