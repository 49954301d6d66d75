package main

import (
	"context"
	"io"
	"os"

	"github.com/raftcheck/raftcheck/nemesis/agent"
)

// runAgent is the program beside a node. As process 1 of a pod it stays when its input ends: the
// node's namespaces live as long as it does.
func runAgent(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) error {
	return agent.Run(ctx, stdin, stdout, agent.Options{
		Stay: os.Getpid() == 1,
		Log:  textLog(stderr),
	})
}
