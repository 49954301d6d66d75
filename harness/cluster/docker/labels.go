package docker

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/filters"
)

// The labels of everything that a run makes: containers, networks and volumes. Images carry only
// [LabelOurs] and [LabelImage].
const (
	// LabelOurs is "true" on whatever raftcheck made. Nothing else is ever removed.
	LabelOurs = "io.raftcheck"
	// LabelRun is the run.
	LabelRun = "io.raftcheck.run"
	// LabelNode is the node, where there is one.
	LabelNode = "io.raftcheck.node"
	// LabelRole is "agent", "node", "driver", "network" or "volume".
	LabelRole = "io.raftcheck.role"
	// LabelOwner is the process that made it, <host>:<pid>:<start time of the pid>.
	LabelOwner = "io.raftcheck.owner"
	// LabelBoot is the boot of the kernel, and the process namespace, in which that pid counts.
	// Two machines may share a name and an engine.
	LabelBoot = "io.raftcheck.boot"
	// LabelCreated is when, in seconds since 1970.
	LabelCreated = "io.raftcheck.created"
	// LabelKeep is "true" on what was asked to stay. Only an explicit clean-up of all removes it.
	LabelKeep = "io.raftcheck.keep"
	// LabelImage is "tools" or the base name of the package that an image was built from.
	LabelImage = "io.raftcheck.image"
)

// owner is the process that answers for a run.
type owner struct {
	host    string
	pid     int
	started uint64 // field 22 of /proc/PID/stat: tells a pid from its next use
	boot    string
}

// self is the owner that this process is. Where there is no /proc, started and boot stay empty, and
// nobody can prove it dead.
func self() owner {
	host, _ := os.Hostname()
	o := owner{host: host, pid: os.Getpid(), boot: bootID()}
	o.started, _ = startTime(o.pid)
	return o
}

func (o owner) label() string { return fmt.Sprintf("%s:%d:%d", o.host, o.pid, o.started) }

// parseOwner reads the labels back. The host may hold colons; the numbers are the last two fields.
func parseOwner(label, boot string) (owner, bool) {
	f := strings.Split(label, ":")
	if len(f) < 3 {
		return owner{}, false
	}
	pid, err1 := strconv.Atoi(f[len(f)-2])
	started, err2 := strconv.ParseUint(f[len(f)-1], 10, 64)
	o := owner{host: strings.Join(f[:len(f)-2], ":"), pid: pid, started: started, boot: boot}
	return o, err1 == nil && err2 == nil
}

// life says what is known of an owner.
type life int

const (
	unknown life = iota // on another machine, or unreadable
	alive
	dead // proven
)

// life asks the kernel. An owner is dead only if it lived under this very kernel, and its pid is
// free or in use by another process.
func (o owner) life() life {
	me := self()
	if o.boot == "" || o.boot != me.boot || o.host != me.host || o.started == 0 {
		return unknown
	}
	started, err := startTime(o.pid)
	switch {
	case os.IsNotExist(err):
		return dead
	case err != nil:
		return unknown
	case started != o.started:
		return dead
	}
	return alive
}

// bootID names this boot of the kernel and this process namespace.
func bootID() string {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	ns, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(boot)) + "/" + ns
}

// startTime is when the process began, in ticks since boot. A process that ended and was not yet
// waited for counts as not there.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	s := string(b)
	f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(f) < 20 {
		return 0, fmt.Errorf("stat of process %d: %d fields", pid, len(f))
	}
	if f[0] == "Z" || f[0] == "X" {
		return 0, os.ErrNotExist
	}
	return strconv.ParseUint(f[19], 10, 64)
}

// labels are those of one object of the run.
func labels(run, node, role string, keep bool) map[string]string {
	me := self()
	l := map[string]string{
		LabelOurs:    "true",
		LabelRun:     run,
		LabelRole:    role,
		LabelOwner:   me.label(),
		LabelBoot:    me.boot,
		LabelCreated: strconv.FormatInt(time.Now().Unix(), 10),
	}
	if node != "" {
		l[LabelNode] = node
	}
	if keep {
		l[LabelKeep] = "true"
	}
	return l
}

// ofRun selects what one run made; the empty run selects what any run made.
func ofRun(run string) filters.Args {
	if run == "" {
		return filters.NewArgs(filters.Arg("label", LabelOurs+"=true"),
			filters.Arg("label", LabelRun))
	}
	return filters.NewArgs(filters.Arg("label", LabelOurs+"=true"),
		filters.Arg("label", LabelRun+"="+run))
}
