//go:build !linux

package agent

import (
	"context"
	"os"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// newFamilies is empty: all faults are made of what the Linux kernel offers.
func newFamilies() []family { return nil }

func hello() wire.Hello { return wire.Hello{PID: os.Getpid()} }

func reapOrphans(ctx context.Context) { <-ctx.Done() }
