package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/sut"
	custom "github.com/raftcheck/raftcheck/harness/sut/driver"
	"github.com/raftcheck/raftcheck/harness/sut/etcd"
	"github.com/raftcheck/raftcheck/harness/sut/nats"
	"github.com/raftcheck/raftcheck/harness/sut/raftkv"
)

// system is a system under test that is built in: what is said of it in a list, and how it is made
// from its options.
type system struct {
	name, doc string
	open      func(options map[string]string) (sut.System, error)
}

func systems() []system {
	return []system{
		{raftkv.System{}.Name(), "raftnode, the store of this project", noOptions(raftkv.System{})},
		{etcd.Name, "etcd 3.5 and later, over its JSON gateway; options: " + etcd.Options, openEtcd},
		{nats.Name, "NATS JetStream's key-value store; options: " + nats.Options, openNATS},
		{"raftexample", "etcd's teaching example, which keeps no promise: a control",
			builtin("raftexample")},
		{"hashicorp", "a small store on hashicorp/raft, examples/hashicorp; option: " +
			"read=local|leader|verify|log", builtin("hashicorp")},
	}
}

func openEtcd(options map[string]string) (sut.System, error) { return etcd.New(options) }

func openNATS(options map[string]string) (sut.System, error) { return nats.New(options) }

// builtin makes a system whose file comes with raftcheck.
func builtin(name string) func(map[string]string) (sut.System, error) {
	return func(options map[string]string) (sut.System, error) { return custom.Builtin(name, options) }
}

// noOptions makes a system that has none.
func noOptions(s sut.System) func(map[string]string) (sut.System, error) {
	return func(options map[string]string) (sut.System, error) {
		for name := range options {
			return nil, fmt.Errorf("the system %s has no option %q: it has none", s.Name(), name)
		}
		return s, nil
	}
}

// chooseSystem finds the system that cfg names, and what names it to the client driver. Every error
// is one of the arguments.
func chooseSystem(cfg config.Config) (sut.Ref, sut.System, error) {
	ref := sut.Ref{Name: cfg.System, Options: cfg.SystemOptions, Spec: cfg.SystemSpec}
	if isFile(cfg.System) {
		path, err := filepath.Abs(cfg.System)
		if err != nil {
			return ref, nil, err
		}
		ref.Name = path
		if ref.Spec == "" { // a run that is driven again has it
			raw, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) {
				err = hinted{fmt.Errorf("there is no file %s that says what the system is", cfg.System),
					"raftcheck list shows the systems that need none; docs/SYSTEMS.md shows how to write one"}
			}
			if err != nil {
				return ref, nil, err
			}
			ref.Spec = string(raw)
		}
	}
	s, err := openSystem(ref)
	return ref, s, err
}

// isFile tells the path of a file from the name of a system.
func isFile(system string) bool {
	return strings.ContainsRune(system, filepath.Separator) || strings.HasSuffix(system, ".yaml") ||
		strings.HasSuffix(system, ".yml")
}

// openSystem makes the system that ref names.
func openSystem(ref sut.Ref) (sut.System, error) {
	if ref.Spec != "" {
		s, err := custom.New(ref)
		if err != nil {
			return nil, hinted{err, "docs/SYSTEMS.md tells how to write such a file"}
		}
		return s, nil
	}
	var names []string
	for _, s := range systems() {
		if s.name == ref.Name {
			opened, err := s.open(ref.Options)
			if err != nil {
				return nil, hinted{err, "raftcheck list"}
			}
			return opened, nil
		}
		names = append(names, s.name)
	}
	return nil, hinted{fmt.Errorf("unknown system %q: there is %s, or name a file (YAML)", ref.Name,
		strings.Join(names, ", ")), "raftcheck list"}
}
