// Package store keeps what runs leave behind: one directory per run, below one store directory.
//
//	store/
//	  latest -> 20261121T071500Z-register-00000000000004d2
//	  20261121T071500Z-register-00000000000004d2/
//	    config.json     what was asked for
//	    schedule.json   the plan that the seed drew
//	    history.jsonl   what happened, written as it happens
//	    nodes/n1.log    what each node said
//	    raftcheck.log   what the harness said
//	    verdict.json    what the checkers say of it
//	    report.json     the rendering of all that, also as report.txt, report.html and junit.xml
//
// Evidence that grows (the history, the logs) is written in place, so that a crash loses at most
// what was not flushed. Everything else is written under a temporary name, synced, and renamed: a
// file that bears its final name is whole.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The names of the files in a run directory.
const (
	ConfigFile   = "config.json"
	ScheduleFile = "schedule.json"
	HistoryFile  = "history.jsonl"
	LogFile      = "raftcheck.log"
	NodesDir     = "nodes"
	VerdictFile  = "verdict.json"
	ReportJSON   = "report.json"
	ReportText   = "report.txt"
	ReportHTML   = "report.html"
	JUnitFile    = "junit.xml"
)

// Latest is the name of the link to the run that was begun last.
const Latest = "latest"

// Error is a mistake that a person can mend: what was wrong, and what to do about it.
type Error struct {
	// Err is what happened.
	Err error
	// Advice is what to try next, a sentence without "hint:".
	Advice string
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Hint is what to try next.
func (e *Error) Hint() string { return e.Advice }

// NewID makes the name of a run that began at t: it sorts by time, and tells workload and seed.
// Two runs of one seed in one second get the same name; [Create] tells them apart.
func NewID(t time.Time, workload string, seed uint64) string {
	return fmt.Sprintf("%s-%s-%016x", t.UTC().Format("20060102T150405Z"), clean(workload), seed)
}

// clean leaves of s what can stand in a file name on any system, and in a container's label.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, s)
	if s = strings.Trim(s, "-"); s == "" {
		return "run"
	}
	return s
}

// Create makes the directory of a new run in the store directory, which it also makes if there is
// none. It proves that files can be written there, so that a run that could not be saved is never
// started. The run's name is id, with a number after it if that is taken. The caller closes it.
func Create(store, id string) (*Run, error) {
	if id != filepath.Base(id) || id == Latest || strings.HasPrefix(id, ".") {
		return nil, fmt.Errorf("create run %q: not a name for a run", id)
	}
	if err := os.MkdirAll(store, 0o755); err != nil {
		return nil, unwritable(store, err)
	}
	root, err := os.OpenRoot(store)
	if err != nil {
		return nil, unwritable(store, err)
	}
	defer root.Close()
	name, err := mkdirUnique(root, id)
	if err != nil {
		return nil, unwritable(store, err)
	}
	dir, err := root.OpenRoot(name)
	if err != nil {
		return nil, unwritable(store, err)
	}
	r := &Run{id: name, store: store, path: filepath.Join(store, name), root: dir}
	if err := dir.Mkdir(NodesDir, 0o755); err != nil {
		return nil, errors.Join(unwritable(r.path, err), r.Close())
	}
	return r, nil
}

// mkdirUnique makes a directory named id, or id-2, id-3 … when that is taken. Mkdir is what
// decides, so two runs that start at once never share one.
func mkdirUnique(root *os.Root, id string) (string, error) {
	name := id
	for n := 2; ; n++ {
		err := root.Mkdir(name, 0o755)
		if !errors.Is(err, fs.ErrExist) || n > 1000 {
			return name, err
		}
		name = fmt.Sprintf("%s-%d", id, n)
	}
}

// unwritable explains why the store can not take a run.
func unwritable(dir string, err error) error {
	advice := "name another directory with --store"
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		advice = "make it writable, or name another directory with --store"
	case full(err):
		advice = "free some space (old runs can simply be deleted), " +
			"or name another directory with --store"
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	return &Error{Err: fmt.Errorf("write to the store directory %s: %w", dir, err), Advice: advice}
}

// full says whether err tells of a disk without space.
func full(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
