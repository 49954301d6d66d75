package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/linearizability"
	"github.com/raftcheck/raftcheck/linearizability/online"
	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/simulate"
)

// measured is what a child found out.
type measured struct {
	Answer string        `json:"answer"`
	Time   time.Duration `json:"time_ns"`
	Memory int64         `json:"memory_bytes"`
}

// decide makes a history, lets who decide it, and prints what it took.
func decide(who, params string) error {
	var p simulate.Params
	if err := json.Unmarshal([]byte(params), &p); err != nil {
		return err
	}
	byKey := simulate.Run(p)
	var do func() string
	switch who {
	case "ours":
		do = func() string { return ours(byKey) }
	case "porcupine":
		in := flatten(byKey)
		do = func() string { return plain(in) }
	case "online":
		ms := moments(byKey[0])
		do = func() string { return onLine(byKey[0], ms) }
	default:
		return errors.New("nobody of that name decides")
	}
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		return fmt.Errorf("reset the peak of memory: %w", err)
	}
	before, err := peak()
	if err != nil {
		return err
	}
	begin := cpu()
	m := measured{Answer: do()}
	m.Time = cpu() - begin
	after, err := peak()
	if err != nil {
		return err
	}
	m.Memory = after - before
	return json.NewEncoder(os.Stdout).Encode(m)
}

// ours decides each key by the ladder of engines, order and replay included.
func ours(byKey [][]register.Op) string {
	answer := register.Legal
	for _, ops := range byKey {
		d := linearizability.Decide(context.Background(), ops, linearizability.DefaultBudget())
		if d.Answer == register.Illegal {
			return d.Answer.String()
		}
		if d.Answer == register.Undecided {
			answer = d.Answer
		}
	}
	return answer.String()
}

// input is what porcupine is given of an operation.
type input struct {
	key int
	op  register.Op
}

func flatten(byKey [][]register.Op) []porcupine.Operation {
	var all []porcupine.Operation
	for k, ops := range byKey {
		for _, o := range ops {
			all = append(all, porcupine.Operation{Input: input{k, o}, Call: o.Call, Return: o.Ret})
		}
	}
	slices.SortFunc(all, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	return all
}

// plain decides with porcupine as its users use it: partitioned by key, with a hash of the state,
// indeterminate operations open to the end.
func plain(in []porcupine.Operation) string {
	model := porcupine.Model{
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			byKey := map[int][]porcupine.Operation{}
			for _, o := range all {
				k := o.Input.(input).key
				byKey[k] = append(byKey[k], o)
			}
			var parts [][]porcupine.Operation
			for k := range len(byKey) {
				parts = append(parts, byKey[k])
			}
			return parts
		},
		Init: func() any { return register.Absent },
		Step: func(state, in, _ any) (bool, any) {
			o := in.(input).op
			next, ok := o.Step(state.(register.Value))
			if !ok && o.Maybe {
				return true, state
			}
			return ok, next
		},
		Hash: func(s any) uint64 { return uint64(s.(register.Value)) * 0x9e3779b97f4a7c15 },
	}
	if porcupine.CheckOperations(model, in) {
		return register.Legal.String()
	}
	return register.Illegal.String()
}

type moment struct {
	at  int64
	op  int32
	end bool
}

func moments(ops []register.Op) []moment {
	ms := make([]moment, 0, 2*len(ops))
	for i, o := range ops {
		ret := o.Ret
		if o.Maybe {
			ret = o.Call + 10e6
		}
		ms = append(ms, moment{o.Call, int32(i), false}, moment{ret, int32(i), true})
	}
	slices.SortStableFunc(ms, func(a, b moment) int { return int(a.at - b.at) })
	return ms
}

// onLine decides one key event by event.
func onLine(ops []register.Op, ms []moment) string {
	c := online.New()
	open := make([]*online.Op, len(ops))
	for _, m := range ms {
		o := &ops[m.op]
		switch {
		case !m.end:
			open[m.op] = c.Begin(o.Kind, online.Value(o.A), online.Value(o.B), o.Call, 0)
		case o.Maybe:
			c.Info(open[m.op], o.Call)
		default:
			c.Ok(open[m.op], online.Value(o.A), o.Call, o.Ret)
		}
		if c.Violation() != nil {
			return register.Illegal.String()
		}
	}
	if c.Undecided() != "" {
		return register.Undecided.String()
	}
	return register.Legal.String()
}

// cpu is the processor time of this process.
func cpu() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peak is the largest resident set of this process since it was reset.
func peak() (int64, error) {
	raw, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, rest, found := bytes.Cut(raw, []byte("VmHWM:"))
	if !found {
		return 0, errors.New("/proc/self/status tells no VmHWM")
	}
	kb, err := strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
	return kb << 10, err
}
