// Package docker brings clusters up in containers of a Docker engine.
//
// Each node is a pod of two containers:
//
//	┌ agent  (the raftcheck binary: process 1, owns address, network and process namespace) ┐
//	│   ▲ attached stdin/stdout: JSON lines                                                 │
//	│ node   (the image under test: no capability, read-only, one volume, joins the agent)  │
//	└───────────────────────────────────────────────────────────────────────────────────────┘
//
// so that what the agent installs outlives the node, a dial to a killed node is refused at once as
// by a real machine, and a restart costs no network set-up. testcontainers-go creates and starts
// containers; the Docker client does the rest. Everything carries the labels of labels.go: by them
// alone it is found and removed, by whoever made it or, when that is dead, by the next.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/client"
)

// MinAPI is the oldest API that is spoken: that of Docker 20.10.
const MinAPI = "1.41"

// callTimeout bounds a single call to the engine. Under load calls take five to ten times their
// median; what takes this long is not coming back.
const callTimeout = 30 * time.Second

// Error is something about the engine that its user can put right.
type Error struct {
	// Problem says what was tried and what happened.
	Problem string
	// Advice is what to do next, a sentence without "hint:".
	Advice string
	// Err is the cause; it may be nil.
	Err error
}

func (e *Error) Error() string {
	if e.Err == nil {
		return e.Problem
	}
	return e.Problem + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint is what to do next.
func (e *Error) Hint() string { return e.Advice }

// Engine is a Docker engine that answered, and is new enough.
type Engine struct {
	cli *client.Client
	log *slog.Logger

	// Host is where it listens.
	Host string
	// Version and API are its own, Speaks is the API that is spoken with it.
	Version, API, Speaks string
	// OS, Arch ("amd64") and Kernel are those of its containers.
	OS, Arch, Kernel string
}

// Connect finds the engine of this machine: the one of DOCKER_HOST, else the first that answers at
// the usual places. The Engine must be closed. log may be nil.
func Connect(ctx context.Context, log *slog.Logger) (*Engine, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	var first error
	for _, host := range hosts() {
		e, err := connect(ctx, host, log)
		if err == nil {
			return e, nil
		}
		if e, ok := errors.AsType[*Error](err); ok && e.Err == nil {
			return nil, err // it answered, and is not for us
		}
		if first == nil {
			first = err
		}
	}
	return nil, &Error{Problem: "no Docker engine answers", Err: first,
		Advice: "start Docker, or set DOCKER_HOST to where it listens"}
}

// hosts lists where an engine may listen, best first. Empty means what the environment says.
func hosts() []string {
	if os.Getenv(client.EnvOverrideHost) != "" {
		return []string{""}
	}
	list := []string{client.DefaultDockerHost}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		list = append(list, "unix://"+filepath.Join(dir, "docker.sock"))
	}
	if home, err := os.UserHomeDir(); err == nil {
		list = append(list, "unix://"+filepath.Join(home, ".docker", "run", "docker.sock"))
	}
	return list
}

func connect(ctx context.Context, host string, log *slog.Logger) (*Engine, error) {
	opts := []client.Opt{client.FromEnv, client.WithAPIVersionNegotiation()}
	if host != "" {
		opts = append(opts, client.WithHost(host))
	}
	cli, err := client.NewClientWithOpts(opts...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	v, err := cli.ServerVersion(ctx)
	if err != nil {
		cli.Close()
		return nil, err
	}
	e := &Engine{cli: cli, log: log, Host: cli.DaemonHost(), Version: v.Version, API: v.APIVersion,
		Speaks: cli.ClientVersion(), OS: v.Os, Arch: v.Arch, Kernel: v.KernelVersion}
	if err := e.suits(); err != nil {
		cli.Close()
		return nil, err
	}
	return e, nil
}

// suits says whether the engine can run clusters at all.
func (e *Engine) suits() error {
	if !apiAtLeast(e.API, MinAPI) {
		return &Error{
			Problem: fmt.Sprintf("the Docker engine %s at %s is too old: its API is %s, %s is needed",
				e.Version, e.Host, e.API, MinAPI),
			Advice: "install Docker Engine 20.10 or newer"}
	}
	if e.OS != "linux" {
		return &Error{
			Problem: fmt.Sprintf("the Docker engine at %s runs %s containers", e.Host, e.OS),
			Advice:  "switch it to Linux containers"}
	}
	return nil
}

// Close ends the connections to the engine.
func (e *Engine) Close() error { return e.cli.Close() }

// apiAtLeast compares versions such as "1.41".
func apiAtLeast(have, want string) bool {
	h, w := versionNumbers(have), versionNumbers(want)
	return h[0] > w[0] || h[0] == w[0] && h[1] >= w[1]
}

// versionNumbers reads the first two numbers of a version, "6.18.44-fc" for instance. What can not
// be read counts as zero, the oldest of all.
func versionNumbers(v string) [2]int {
	var n [2]int
	for i, s := range strings.SplitN(v, ".", 3)[:min(2, strings.Count(v, ".")+1)] {
		end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
		if end >= 0 {
			s = s[:end]
		}
		n[i], _ = strconv.Atoi(s)
	}
	return n
}
