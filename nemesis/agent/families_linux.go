package agent

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// newFamilies lists every family of faults. None touches the system before its first op.
func newFamilies() []family {
	p := &processes{self: os.Getpid()}
	return []family{p, &firewall{}, &resetter{}, &shaper{}, &clocks{processes: p},
		&disks{processes: p}}
}

func hello() wire.Hello {
	h := wire.Hello{PID: os.Getpid()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return h
}
