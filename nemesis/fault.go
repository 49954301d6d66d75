// Package nemesis breaks clusters: what breaks (a [Fault]), where (a [Target]), and when (a
// [Schedule]). The [Nemesis] carries a schedule out on a running cluster.
//
// Every fault has the same life: it is planned from the seed of the run, injected, seen to have
// taken effect, healed, and seen to be gone.
package nemesis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// Target is a role, or the name of a node. It is resolved when the fault strikes.
type Target string

// The roles. Any other Target is the name of a node.
const (
	Leader   Target = "leader"
	Follower Target = "follower" // one that does not lead
	Minority Target = "minority" // as many as can be missed, drawn among all
	Majority Target = "majority" // one more than can be missed
	// LeaderMinority is the leader and so many others that together they are no majority.
	LeaderMinority Target = "leader-minority"
	// FollowerMinority is as many as can be missed, without the leader.
	FollowerMinority Target = "follower-minority"
	All              Target = "all"
)

// roles lists the targets that are no nodes.
func roles() []Target {
	return []Target{Leader, Follower, Minority, Majority, LeaderMinority, FollowerMinority, All}
}

// Fault is a way of breaking a cluster. It is immutable; what it did is in the [Effect].
type Fault interface {
	// Name is what --faults takes, Family the group that it belongs to, Doc a line for people.
	Name() string
	Family() string
	Doc() string
	// Targets lists what a plan may aim it at, in proportion: naming one twice doubles its share.
	Targets() []Target
	// Inject breaks what step says and returns when that is seen to be in force. An error of
	// [Skip] says that nothing was done; after any other, nobody knows. The Effect is valid in
	// every case, and its Undo must be called.
	Inject(ctx context.Context, env *Env, step Step) (Effect, error)
}

// Effect is what a fault did.
type Effect struct {
	// Nodes are those that the target resolved to.
	Nodes []sut.NodeID
	// Evidence says how it was seen to be in force, as JSON. nil if it was not.
	Evidence any
	// Undo mends what was broken and returns when that is seen. It is idempotent. nil if there
	// is nothing to mend.
	Undo func(ctx context.Context) (evidence any, err error)
}

// skip is the error of a fault that was not injected at all.
type skip struct{ reason string }

func (s skip) Error() string { return s.reason }

// Skip makes the error that says that nothing was done, and why.
func Skip(format string, args ...any) error { return skip{fmt.Sprintf(format, args...)} }

// Skipped says whether err says that nothing was done.
func Skipped(err error) bool {
	_, ok := errors.AsType[skip](err)
	return ok
}

// Suits says why f can not be had of a system, nil if it can.
func Suits(f Fault, s sut.System) error {
	_, can := s.(sut.Membership)
	if changesMembers(f) && !can {
		return fmt.Errorf("the fault %s needs a system whose members can be changed, which %s is not",
			f.Name(), s.Name())
	}
	return nil
}

func changesMembers(f Fault) bool {
	f = unwrap(f)
	if r, ok := f.(reactive); ok {
		f = r.provoke
	}
	_, is := f.(membership)
	return is
}

// SparesMajority says whether f can leave a majority whole, and says why not otherwise.
func SparesMajority(f Fault) error {
	if f.Family() == "membership" {
		return nil
	}
	for _, t := range f.Targets() {
		if spares(t) && f.Name() != "partition-clients" {
			return nil
		}
	}
	return fmt.Errorf("the fault %s never leaves a majority whole", f.Name())
}

// spares says whether a target leaves a majority alone.
func spares(t Target) bool { return t != All && t != Majority }

// Fits says whether a cluster of n nodes is large enough for f.
func Fits(f Fault, n int) bool {
	return n >= minNodes(f) && len(targetsOf(f, n)) > 0
}

// targetsOf lists those of f's targets that a cluster of n nodes has.
func targetsOf(f Fault, n int) []Target {
	return slices.DeleteFunc(slices.Clone(f.Targets()), func(t Target) bool {
		return t == Follower && n < 2 || (t == Minority || t == FollowerMinority) && n < 3
	})
}

// Select finds the faults that names mean: names of faults, families, "standard", "all" or "none".
// Of a group it takes those that a cluster of n nodes is large enough for. Behind a name stands
// what is set of it, see [Spec]; of a group, it is set of every fault. The error lists those that
// there are.
func Select(names []string, n int) ([]Fault, error) {
	return SelectFor(names, n, func(Fault) error { return nil })
}

// SelectFor is [Select] where suits says why a fault can not be had in this run, if so: then it is
// left out of groups, and refused where it is named.
func SelectFor(names []string, n int, suits func(Fault) error) ([]Fault, error) {
	var chosen []Fault
	for _, text := range names {
		name, params, err := parseSpec(text)
		if err != nil {
			return nil, err
		}
		found := name == "none"
		for _, f := range Faults() {
			group := name == f.Family() || name == "all" || name == "standard" && standard(f)
			if name != f.Name() && !group {
				continue
			}
			found = true
			if name != f.Name() && (!Fits(f, n) || suits(f) != nil) {
				continue
			}
			if err := suits(f); err != nil {
				return nil, err
			}
			f, err := configure(f, params)
			if err != nil {
				return nil, err
			}
			has := func(g Fault) bool { return Spec(g) == Spec(f) }
			if !slices.ContainsFunc(chosen, has) {
				chosen = append(chosen, f)
			}
		}
		if !found {
			return nil, fmt.Errorf("unknown fault %q: there is %s", name, strings.Join(known(), ", "))
		}
	}
	if slices.Contains(names, "none") && len(names) > 1 {
		return nil, errors.New(`the fault "none" does not go with others`)
	}
	return chosen, nil
}

func known() []string {
	var names []string
	for _, f := range Faults() {
		for _, name := range []string{f.Name(), f.Family()} {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return append(names, "standard", "all", "none")
}
