//go:build unix

package main

import "golang.org/x/sys/unix"

// cpuTime is how long the process has computed, in ns.
func cpuTime() int64 {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
