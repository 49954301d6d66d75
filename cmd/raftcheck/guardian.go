package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
)

// runGuardian waits beside a run, args[0], and removes what it made if its harness dies. It is
// started by the harness and reads the pipe that the harness holds.
func runGuardian(ctx context.Context, args []string, stdin io.Reader, log *slog.Logger) error {
	if len(args) != 1 {
		return errors.New("guardian: want the run to guard")
	}
	return docker.Guard(ctx, args[0], stdin, log)
}

// guardianCommand is how the harness starts its guardian; the run is added. It is empty, and nobody
// guards, where a program can not find itself.
func guardianCommand() []string {
	own, err := os.Executable()
	if err != nil {
		return nil
	}
	return []string{own, "guardian"}
}
