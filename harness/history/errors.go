package history

import (
	"errors"
	"fmt"
)

// What can be wrong with a history file, for errors.Is. All of them come as a [*FormatError].
var (
	// ErrEmpty: there is nothing in the file.
	ErrEmpty = errors.New("the history is empty")
	// ErrNotHistory: the file is something else.
	ErrNotHistory = errors.New("this is not a raftcheck history")
	// ErrVersion: it was written by another version of raftcheck, which this one can not read.
	ErrVersion = errors.New("unknown version of the history format")
	// ErrCorrupt: it is a history, but something in the middle of it is broken.
	ErrCorrupt = errors.New("the history is corrupt")
)

// FormatError says what is wrong with a history file, and where.
type FormatError struct {
	// Kind is one of the errors above.
	Kind error
	// Line is the number of the line, from 1; zero if it is about the whole file.
	Line int
	// Detail says more; it may be empty.
	Detail string
	hint   string
}

func (e *FormatError) Error() string {
	s := e.Kind.Error()
	if e.Line > 0 {
		s += fmt.Sprintf(": line %d", e.Line)
	}
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	return s
}

// Unwrap gives the kind.
func (e *FormatError) Unwrap() error { return e.Kind }

// Hint says in a sentence what can be done about it.
func (e *FormatError) Hint() string { return e.hint }

func errEmpty() error {
	return &FormatError{Kind: ErrEmpty,
		hint: "the run ended before anything was written down; make another one"}
}

func errNotHistory(detail string) error {
	return &FormatError{Kind: ErrNotHistory, Line: 1, Detail: detail,
		hint: "give a run directory, or its history.jsonl or history.jsonl.zst"}
}

func errVersion(version int) error {
	return &FormatError{Kind: ErrVersion, Line: 1,
		Detail: fmt.Sprintf("the file has version %d, this program reads version %d",
			version, Version),
		hint: "judge it with the version of raftcheck that wrote it"}
}

func errCorrupt(line int, format string, args ...any) error {
	return &FormatError{Kind: ErrCorrupt, Line: line, Detail: fmt.Sprintf(format, args...),
		hint: "only the end of a history may be missing; take the file from the run's directory again"}
}
