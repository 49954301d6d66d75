// Package driver is the adapter of any other system, which a file says how to start and how to talk
// to: by HTTP requests that are templates, or by a program that speaks JSON lines. docs/SYSTEMS.md
// tells how to write such a file.
package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// System is what a file says. It is made by [New].
type System struct {
	spec    *spec
	dir     string // that of the file
	options map[string]string

	mu      sync.Mutex                  // guards what follows
	ready   map[sut.NodeID]bool         // those that have shown what was written
	helpers map[sut.NodeID]*programConn // those that are asked for the status
}

// New makes the system of ref, whose Spec is the text of the file and whose Name is its path: what
// the file names lies beside it. Its errors say what is wrong with the file or with the options.
func New(ref sut.Ref) (*System, error) {
	spec, err := parse(ref.Spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref.Name, err)
	}
	s := &System{
		spec: spec, dir: filepath.Dir(ref.Name), options: maps.Clone(spec.Options),
		ready: map[sut.NodeID]bool{}, helpers: map[sut.NodeID]*programConn{},
	}
	for name, value := range ref.Options {
		if _, known := spec.Options[name]; !known {
			names := strings.Join(slices.Sorted(maps.Keys(spec.Options)), ", ")
			return nil, fmt.Errorf("the system %s has no option %q; it has: %s", spec.Name, name, names)
		}
		s.options[name] = value
	}
	example := sut.Node{ID: "n1"}
	if _, err := s.command(example, []sut.Node{example}); err != nil {
		return nil, fmt.Errorf("%s: node: %w", ref.Name, err)
	}
	return s, nil
}

// Name implements [sut.System].
func (s *System) Name() string { return s.spec.Name }

// Source implements [sut.Sourced].
func (s *System) Source() sut.Source {
	return sut.Source{
		Image: s.spec.Image, Binary: s.beside(s.spec.Binary), Dockerfile: s.beside(s.spec.Dockerfile),
	}
}

// Program says what the client driver needs beside itself: an image to be in, or a static
// executable; nothing if clients speak HTTP.
func (s *System) Program() sut.Source {
	if s.spec.Program == nil {
		return sut.Source{}
	}
	return sut.Source{Image: s.spec.Program.Image, Binary: s.beside(s.spec.Program.Binary)}
}

func (s *System) beside(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(s.dir, path)
}

// ElectionTimeout implements [sut.Timing].
func (s *System) ElectionTimeout() time.Duration {
	if s.spec.election == 0 {
		return defaultElection
	}
	return s.spec.election
}

// defaultElection is what Raft's authors and most systems have for their slowest election.
const defaultElection = time.Second

// Leaderless implements [sut.Leaderless].
func (s *System) Leaderless() bool {
	if s.spec.Program != nil {
		return slices.Contains(s.spec.Program.Lacks, "status")
	}
	return s.spec.Status == nil || s.spec.Status.Leader.Template == nil
}

// Lacks implements [sut.Limited].
func (s *System) Lacks(function string) bool {
	if function != "cas" {
		return false
	}
	if s.spec.Program != nil {
		return slices.Contains(s.spec.Program.Lacks, "cas")
	}
	return s.spec.CAS == nil
}

// Command implements [sut.System].
func (s *System) Command(self sut.Node, all []sut.Node) sut.Command {
	c, err := s.command(self, all)
	if err != nil { // New has tried
		c.Args = []string{"the template of the command: " + err.Error()}
	}
	return c
}

func (s *System) command(self sut.Node, all []sut.Node) (c sut.Command, err error) {
	at := s.place(self, all)
	node := s.spec.Node
	c = sut.Command{DataDir: node.Data, WorkDir: node.WorkDir, Env: map[string]string{}}
	var bad [2]error
	c.Entrypoint, bad[0] = fillAll(node.Entrypoint, at)
	c.Args, bad[1] = fillAll(node.Args, at)
	err = errors.Join(bad[:]...)
	for name, t := range node.Env {
		value, wrong := t.fill(at)
		c.Env[name], err = value, errors.Join(err, wrong)
	}
	return c, err
}

func (s *System) place(self sut.Node, all []sut.Node) place {
	at := place{Node: nodeOf(self, all), Options: s.options}
	for _, n := range all {
		at.Nodes = append(at.Nodes, nodeOf(n, all))
	}
	return at
}

// Dial implements [sut.System]. It connects, or starts the program, with the first operation.
func (s *System) Dial(_ context.Context, n sut.Node) (sut.Conn, error) {
	if s.spec.Program != nil {
		return s.program(n), nil
	}
	return s.http(n), nil
}

// Status implements [sut.System]. A node that has nothing to tell of itself is ready once it shows
// what was written for that purpose.
func (s *System) Status(ctx context.Context, n sut.Node) (sut.Status, error) {
	var st sut.Status
	var err error
	switch {
	case s.spec.Program != nil && !s.Leaderless():
		st, err = s.helper(n).status(ctx)
	case s.spec.Program == nil && s.spec.Status != nil:
		c := s.http(n)
		defer c.Close()
		st, err = c.status(ctx)
	default:
		err = s.probe(ctx, n)
	}
	if err != nil {
		return sut.Status{}, fmt.Errorf("status of %s: %w", n.ID, err)
	}
	st.ID = n.ID
	return st, nil
}

// probeKey is written once, before the clients begin, where a node does not tell how it stands.
const probeKey = "raftcheck_ready"

// probe reads the key of the probe, and writes it as long as the node has never shown it.
func (s *System) probe(ctx context.Context, n sut.Node) error {
	var kv sut.KV
	if s.spec.Program != nil {
		kv = s.helper(n)
	} else {
		c := s.http(n)
		defer c.Close()
		kv = c
	}
	v, err := kv.Get(ctx, probeKey)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ready[n.ID] = s.ready[n.ID] || v.Present
	ready := s.ready[n.ID]
	s.mu.Unlock()
	if ready {
		return nil
	}
	if err := kv.Put(ctx, probeKey, "1"); err != nil {
		return err
	}
	return errors.New("it does not show yet what was written")
}

// helper is the program that is asked for the status of n. It stays.
func (s *System) helper(n sut.Node) *programConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.helpers[n.ID] == nil {
		s.helpers[n.ID] = s.program(n)
	}
	return s.helpers[n.ID]
}
