//go:build !linux

package local

import (
	"context"
	"io"
	"log/slog"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// errNoLinux is what there is to say elsewhere.
var errNoLinux = &Error{Problem: "the local runtime is made of Linux namespaces",
	Advice: "use Docker"}

// Runtime makes clusters on Linux only.
type Runtime struct{}

// New makes a Runtime.
func New(Config) *Runtime { return &Runtime{} }

// Name implements [cluster.Runtime].
func (r *Runtime) Name() string { return "local" }

// Check implements [cluster.Runtime].
func (r *Runtime) Check(context.Context) error { return errNoLinux }

// Up implements [cluster.Runtime].
func (r *Runtime) Up(context.Context, cluster.Spec) (cluster.Cluster, error) {
	return nil, errNoLinux
}

// Fabric is nothing here.
func Fabric(*slog.Logger) error { return errNoLinux }

// Pod is nothing here.
func Pod(string) error { return errNoLinux }

// Guard is nothing here.
func Guard(string, string, io.Reader) error { return errNoLinux }

// ReapDead finds nothing.
func ReapDead(string, *slog.Logger) ([]string, error) { return nil, nil }

// KeepProgram is nothing here.
func KeepProgram(string) (string, error) { return "", errNoLinux }

// RemovePrograms finds nothing.
func RemovePrograms() error { return nil }

// Probe is nothing here.
func (r *Runtime) Probe(context.Context) ([]wire.Ability, error) { return nil, errNoLinux }
