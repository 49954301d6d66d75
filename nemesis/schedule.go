package nemesis

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Schedule is the whole fault plan of a run. The same seed and the same wishes draw the same one.
type Schedule struct {
	Steps []Step `json:"steps"`
}

// Step is one fault at one time.
type Step struct {
	ID     int    `json:"step"`
	Fault  string `json:"fault"`
	Target Target `json:"target"`
	// At is when it is injected, after the clients have begun; For is how long it stays.
	At  time.Duration `json:"at_ns"`
	For time.Duration `json:"for_ns"`
	// Seed decides whatever the fault leaves to chance.
	Seed uint64 `json:"seed"`
	// On is the event on which it fires, from At on and not later than Within after; empty for none.
	On     string        `json:"on,omitempty"`
	Within time.Duration `json:"within_ns,omitempty"`
	// KeepMajority says that the fault is skipped rather than that it leaves no majority of the
	// nodes whole, whatever else is broken.
	KeepMajority bool `json:"keep_majority,omitempty"`
	// Params are what is set of the fault.
	Params Params `json:"params,omitempty"`
}

// rng is the step's own source of chance.
func (s Step) rng() *rand.Rand { return rand.New(rand.NewPCG(s.Seed, uint64(s.ID))) }

// Wishes say what a plan should look like.
type Wishes struct {
	Faults []Fault
	// Nodes is the size of the cluster.
	Nodes int
	// TimeLimit is how long clients work. Nothing is broken in the first Quiet of it and in the
	// last, but Quiet is cut to an eighth of the whole.
	TimeLimit, Quiet time.Duration
	// Interval lies between the beginnings of two faults, Duration is how long each stays, give
	// or take a quarter. Both shrink when there would not be time for every fault.
	Interval, Duration time.Duration
	// Overlap is how many faults may be in force at once; 0 means 1. Each has a place in time of
	// its own, as long as Interval, and these overlap.
	Overlap int
	// KeepMajority: whatever overlaps, a majority is left whole. What would take it is skipped.
	KeepMajority bool
}

// shortest is the shortest useful interval: a fault has to outlast an election, and the cluster
// has to recover.
const shortest = 1500 * time.Millisecond

// TooShortError says that there is no time for all the faults that were asked for.
type TooShortError struct {
	Faults int
	Need   time.Duration
}

func (e *TooShortError) Error() string {
	return fmt.Sprintf("the time limit is too short for %d kinds of fault, which need %v",
		e.Faults, e.Need)
}

// Hint says what to do about it.
func (e *TooShortError) Hint() string {
	return fmt.Sprintf("--time-limit %v, or fewer --faults", e.Need)
}

// Plan draws a schedule: rounds in which every fault comes once, in an order drawn anew.
func Plan(w Wishes, rng *rand.Rand) (Schedule, error) {
	if len(w.Faults) == 0 {
		return Schedule{}, nil
	}
	for _, f := range w.Faults {
		if !Fits(f, w.Nodes) {
			return Schedule{}, fmt.Errorf("the fault %s needs more than %d nodes", f.Name(), w.Nodes)
		}
	}
	n := time.Duration(len(w.Faults))
	at := time.Duration(max(w.Overlap, 1))
	w.Quiet = min(w.Quiet, w.TimeLimit/8)
	window := w.TimeLimit - 2*w.Quiet
	interval := min(w.Interval, window*at/(n+at-1))
	if least := min(shortest, w.Interval); interval < least {
		need := (n + at - 1) * least / at * 4 / 3 // three quarters must do
		return Schedule{}, &TooShortError{Faults: len(w.Faults),
			Need: need.Round(time.Second) + time.Second}
	}
	var s Schedule
	var round []int
	for i := range int((window-interval)/(interval/at)) + 1 {
		if len(round) == 0 {
			round = rng.Perm(len(w.Faults))
		}
		f := w.Faults[round[0]]
		round = round[1:]
		step := w.step(f, min(w.Duration, interval*2/3), rng)
		step.ID, step.At = i+1, w.Quiet+time.Duration(i)*interval/at
		s.Steps = append(s.Steps, step)
	}
	return s, nil
}

// step draws one step, without number and time.
func (w Wishes) step(f Fault, duration time.Duration, rng *rand.Rand) Step {
	targets := targetsOf(f, w.Nodes)
	if w.KeepMajority && f.Family() != "membership" {
		few := slices.DeleteFunc(slices.Clone(targets), func(t Target) bool { return !spares(t) })
		if len(few) > 0 {
			targets = few
		}
	}
	return Step{
		Fault: f.Name(), Target: targets[rng.IntN(len(targets))],
		For:  cmp.Or(staysOf(f), duration*3/4+time.Duration(rng.Int64N(int64(duration/2)))),
		Seed: rng.Uint64(), Params: paramsOf(f), KeepMajority: w.KeepMajority,
	}
}

// DeposesLeader says whether some step aims at the leader for long enough that another must be
// elected, if an election takes no longer than limit.
func (s Schedule) DeposesLeader(limit time.Duration) bool {
	for _, step := range s.Steps {
		switch step.Fault {
		case "partition-leader", "partition-minority", "pause", "kill":
			aimed := step.Target == Leader || step.Target == LeaderMinority
			if aimed && step.For >= 2*limit {
				return true
			}
		}
	}
	return false
}

// Spares is how many nodes must stand by in a cluster of n for the steps that change its members.
func (s Schedule) Spares(n int) int {
	few, lost := 0, 0
	for _, step := range s.Steps {
		switch step.Fault {
		case "membership-swap", "reactive-config-kill":
			few = n
		case "membership-add", "membership-rotate":
			few = max(few, 1)
		case "membership-replace":
			lost++
		}
	}
	return few + min(lost, maxLost)
}

// maxLost bounds how many nodes stand by for those whose disks are lost.
const maxLost = 3

// AtOnce is how many steps are under way at the same time, at the most.
func (s Schedule) AtOnce() int {
	most := 0
	for _, a := range s.Steps {
		n := 0
		for _, b := range s.Steps {
			if b.At <= a.At && a.At < b.At+b.For {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// Uses says whether some step is of the fault of that name.
func (s Schedule) Uses(fault string) bool {
	for _, step := range s.Steps {
		if step.Fault == fault {
			return true
		}
	}
	return false
}
