// Command testnode is the system that clustertest brings up: the smallest thing whose behaviour
// shows whether a link, a process and a disk are as the suite asked for. It is no store.
//
//	testnode node    pings its peers without end, and prints what came through as JSON lines
//	testnode driver  dials where its standard input says, and prints what it met
//	testnode agent   is the fault agent, so that one image serves a whole cluster
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/raftcheck/raftcheck/nemesis/agent"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "testnode:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	role := ""
	if len(os.Args) > 1 {
		role = os.Args[1]
	}
	switch role {
	case "node":
		return runNode(ctx, os.Args[2:])
	case "driver":
		return runDriver(ctx, os.Stdin, os.Stdout)
	case "agent":
		return agent.Run(ctx, os.Stdin, os.Stdout, agent.Options{
			Stay: os.Getpid() == 1,
			Log:  slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
	}
	if role == "gate" {
		return agent.Gate(os.Args[2:])
	}
	return fmt.Errorf("role %q: want node, driver or agent", role)
}
