// Package workloads holds what clients do to a store and what they must see. A [Workload] is a
// generator of operations, a client that carries one out, and the checkers that judge what came of
// it. There is one file per workload.
package workloads

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Workload is one way of using a store, with a promise to hold it to. It is immutable and may be
// used by any number of runs at once.
type Workload interface {
	// Name is what --workload takes; Doc is one line for people.
	Name() string
	Doc() string
	// Model names the model that judges, for the header of the history.
	Model() string
	// Functions lists the functions of its operations; a run in which one of them never succeeded
	// has not tested what it set out to.
	Functions() []string
	// Needs lists what clients of the system must be able to do. A system without it is refused
	// before anything starts.
	Needs() []sut.Ability
	// Operations makes the operations of a run.
	Operations(rng *rand.Rand, load Load) Operations
	// Do carries op out over conn and says how it ended. It runs in the client driver, and is
	// called concurrently with different connections.
	Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op
	// Checkers judge the promise.
	Checkers() []check.Checker
}

// Operations are those of one run, one after the other. They never end; the caller limits them.
type Operations interface {
	generator.Generator
	// Final lists the reads of the end, after all operations: each must succeed on every node. They
	// differ in their F or Key.
	Final() []history.Op
}

// All lists the workloads in order of their names.
func All() []Workload {
	return []Workload{Append{}, Bank{}, Counter{}, Retry{}, Lock{}, Membership{}, Queue{}, Register{},
		Stale{}, Set{}, Watch{}}
}

// Fits says whether s can do what w needs. The error names what it can not.
func Fits(w Workload, s sut.System) error {
	missing := sut.Missing(s, w.Needs())
	if len(missing) == 0 {
		return nil
	}
	var names []string
	for _, a := range missing {
		names = append(names, string(a))
	}
	return fmt.Errorf("workload %q needs %s, which the system %q does not offer",
		w.Name(), strings.Join(names, ", "), s.Name())
}

// FitFor names the workloads that s can be put to.
func FitFor(s sut.System) (names []string) {
	for _, w := range All() {
		if Fits(w, s) == nil {
			names = append(names, w.Name())
		}
	}
	return names
}

// Named finds a workload. The error lists those that there are.
func Named(name string) (Workload, error) {
	var names []string
	for _, w := range All() {
		if w.Name() == name {
			return w, nil
		}
		names = append(names, w.Name())
	}
	sort.Strings(names)
	return nil, fmt.Errorf("unknown workload %q: there is %s", name, strings.Join(names, ", "))
}
