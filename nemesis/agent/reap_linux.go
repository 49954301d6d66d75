package agent

import (
	"context"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// reapOrphans buries the processes that were left to process 1, until ctx ends: otherwise a node
// that forks fills the process table of its pod. Each zombie is waited for by its own number, never
// "any child", so that no event of a traced thread is stolen.
func reapOrphans(ctx context.Context) {
	self := os.Getpid()
	if self != 1 {
		return
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	defer signal.Stop(children)
	for {
		if all, err := listProcesses(self); err == nil {
			for _, st := range all {
				if st.parent == self && st.dead() {
					// An error means that it is gone, which is what was wanted.
					_, _ = unix.Wait4(st.PID, nil, unix.WNOHANG, nil)
				}
			}
		}
		select {
		case <-children:
		case <-ctx.Done():
			return
		}
	}
}
