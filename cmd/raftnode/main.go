// Command raftnode runs one member of a Raft cluster that keeps a key-value store. node/API.md
// describes what clients and peers see of it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/raftcheck/raftcheck/node/server"
	"github.com/raftcheck/raftcheck/node/snapshot"
	"github.com/raftcheck/raftcheck/node/wal"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitCorrupt = 3 // the data directory is damaged, or is not this node's
	exitDisk    = 4 // the disk failed
)

// gcPercent spends memory on fewer collections: most of what a node allocates lives for one
// request.
const gcPercent = 200

const usage = `raftnode runs one member of a Raft cluster.

usage:
  raftnode --id n1 --peers n1=10.0.0.11,n2=10.0.0.12,n3=10.0.0.13 [--data DIR]
  raftnode dump [--json] DIR   print the records of a data directory
  raftnode health [URL]        ask a node whether it serves (for container health checks)
  raftnode version             print the version

stdout carries the event trace, stderr the log, both one JSON object a line.
exit codes: 0 stopped, 1 failed, 2 usage, 3 data directory unusable, 4 disk failed

flags (each also as environment variable, RAFTNODE_ID for --id):
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		switch args[0] {
		case "dump":
			return dump(args[1:], stdout, stderr)
		case "health":
			return health(args[1:], stdout, stderr)
		case "version":
			fmt.Fprintln(stdout, version())
			return exitOK
		}
	}
	cfg, code, done := parse(args, stdout, stderr)
	if done {
		return code
	}
	return serve(cfg)
}

// serve runs the node until a signal or a failure ends it.
func serve(cfg server.Config) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // a reader of the trace that has gone is no reason to end
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	log := cfg.Log
	began := time.Now()
	s, err := server.Start(cfg)
	if err != nil {
		log.Error("cannot start", "error", err)
		return startCode(err)
	}
	log.Info("serving", "data", cfg.Data, "version", version(),
		"boot_ms", time.Since(began).Milliseconds())
	select {
	case <-ctx.Done():
		log.Info("stopping")
	case <-s.Failed():
		log.Error("cannot go on", "error", s.Err())
	}
	stop() // a second signal ends the process at once
	return end(s, log)
}

func end(s *server.Server, log *slog.Logger) int {
	if err := s.Err(); err != nil {
		s.Kill()
		if _, disk := errors.AsType[*server.DiskError](err); disk {
			return exitDisk
		}
		return exitFailure
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		log.Error("stop", "error", err)
		return exitFailure
	}
	return exitOK
}

func startCode(err error) int {
	_, corrupt := errors.AsType[*wal.CorruptError](err)
	_, damaged := errors.AsType[*snapshot.DamagedError](err)
	if corrupt || damaged || errors.Is(err, server.ErrIdentity) ||
		errors.Is(err, server.ErrInUse) || errors.Is(err, wal.ErrFormat) {
		return exitCorrupt
	}
	return exitFailure
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "raftnode (unknown)"
	}
	v := "raftnode " + info.Main.Version + " " + info.GoVersion
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" || s.Key == "vcs.modified" && s.Value == "true" {
			v += " " + s.Key + "=" + s.Value
		}
	}
	return v
}
