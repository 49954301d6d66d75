package linearizability

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/raftcheck/raftcheck/linearizability/certify"
	"github.com/raftcheck/raftcheck/linearizability/object"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// machine carries out the operations on one object. It numbers states and operations, and does each
// operation on each state once.
type machine struct {
	model   *Model
	classes []*modelOp
	states  []string
	ids     map[string]object.State
	done    map[[2]int32][]object.State // by state and class
	bytes   int64                       // taken by states
}

// newMachine makes a machine and the operations as the engines take them.
func newMachine(m *Model, ops []generalOp) (*machine, []object.Op) {
	k := &machine{
		model: m, ids: map[string]object.State{}, done: map[[2]int32][]object.State{},
	}
	k.id(m.init)
	classes := map[string]int32{}
	out := make([]object.Op, len(ops))
	for i := range ops {
		o := &ops[i]
		name := o.f + "\x00" + o.arg
		if o.answered {
			name += "\x00" + o.answer
		}
		class, known := classes[name]
		if !known {
			class = int32(len(k.classes))
			classes[name] = class
			k.classes = append(k.classes, &o.modelOp)
		}
		out[i] = object.Op{
			Call: o.call, Ret: o.ret, Class: class,
			Observer: o.observer, Maybe: o.ret == register.Never,
		}
	}
	return k, out
}

func (k *machine) id(state string) object.State {
	id, known := k.ids[state]
	if !known {
		id = object.State(len(k.states))
		k.states = append(k.states, state)
		k.ids[state] = id
		k.bytes += int64(2*len(state)) + 64
	}
	return id
}

// step implements [object.Step].
func (k *machine) step(s object.State, class int32) []object.State {
	at := [2]int32{int32(s), class}
	next, known := k.done[at]
	if !known {
		for _, state := range k.model.step(k.states[s], k.classes[class]) {
			next = append(next, k.id(state))
		}
		k.done[at] = next
		k.bytes += 64
	}
	return next
}

// replay checks an order of ops.
func (k *machine) replay(ops []object.Op, order []int32) error {
	states := []object.State{0}
	return certify.Replay(timesOf(ops), order, func(i int32) bool {
		var next []object.State
		for _, s := range states {
			for _, n := range k.step(s, ops[i].Class) {
				if !slices.Contains(next, n) {
					next = append(next, n)
				}
			}
		}
		states = next
		return len(next) > 0
	})
}

// confirm says whether trying every order of ops finds none.
func (k *machine) confirm(ops []object.Op) bool {
	illegal, decided := certify.Impossible(timesOf(ops), func(s int32, i int) []int32 {
		var next []int32
		for _, n := range k.step(object.State(s), ops[i].Class) {
			next = append(next, int32(n))
		}
		return next
	}, 1<<20)
	return illegal && decided
}

func timesOf(ops []object.Op) []certify.Timed {
	timed := make([]certify.Timed, len(ops))
	for i := range ops {
		timed[i] = certify.Timed{Call: ops[i].Call, Ret: ops[i].Ret, Maybe: ops[i].Maybe}
	}
	return timed
}

// decideObject decides the operations on one object. What is not observed by anybody is left out.
// Where no element comes twice there are rules, see [byRules]. If they do not decide, two engines
// compete.
func decideObject(
	ctx context.Context, m *Model, all []generalOp, budget register.Budget,
) Decision {
	ops, kept := m.observed(all)
	k, in := newMachine(m, ops)
	d := m.byRules(ctx, ops, budget)
	if d.Answer == register.Undecided {
		d = k.compete(ctx, in, budget)
	}
	if d.Answer == register.Legal {
		if err := k.replay(in, d.Order); err != nil {
			return Decision{register.Decision{
				Reason: "the order that was found is wrong: " + err.Error(), Steps: d.Steps,
			}, d.Engine}
		}
	}
	d.restore(kept)
	return d
}

// compete lets two engines take turns, each time with more of the budget, so that the same history
// gives the same answer by the same engine on any machine.
func (k *machine) compete(ctx context.Context, in []object.Op, budget register.Budget) Decision {
	var d Decision
	var used int64
	for steps := firstTurn(len(in), budget.Steps); ; steps = min(8*steps, budget.Steps) {
		share := register.Budget{Steps: steps, Bytes: budget.Bytes}
		d = Decision{object.Decide(ctx, in, k.step, share), "search"}
		used += d.Steps
		if d.Answer == register.Undecided && ctx.Err() == nil {
			p := k.byPorcupine(ctx, in, share)
			used += p.Steps
			if p.Answer != register.Undecided {
				d = Decision{p, "porcupine"}
			}
		}
		if d.Answer != register.Undecided || steps == budget.Steps || ctx.Err() != nil {
			break
		}
	}
	d.Steps = used
	return d
}

// firstTurn is how many steps an engine gets at first: enough to go through without a mistake.
func firstTurn(ops int, most int64) int64 { return min(max(4096, int64(20*ops)), most) }

// observed leaves out what nobody knows of and nobody has seen: an operation without an answer
// whose element stands in no answer. Whoever takes it out of an order changes nothing that anybody
// saw. kept are the positions of the others; nil if all are.
func (m *Model) observed(ops []generalOp) (left []generalOp, kept []int32) {
	if !m.elements {
		return ops, nil
	}
	var seen strings.Builder
	tokens := map[string]bool{}
	for i := range ops {
		if !ops[i].answered {
			continue
		}
		tokens[ops[i].answer] = true
		for _, p := range canonicalParts(ops[i].parts) {
			tokens[p] = true
		}
		if m.text {
			seen.WriteString(ops[i].answer)
			seen.WriteByte(0)
		}
	}
	text := seen.String()
	for i := range ops {
		o := &ops[i]
		seen := o.arg == "null" || tokens[o.arg] ||
			m.text && strings.Contains(text, strings.Trim(o.arg, `"`))
		if o.ret == register.Never && !seen {
			continue
		}
		left = append(left, *o)
		kept = append(kept, int32(i))
	}
	return left, kept
}

// byPorcupine decides with porcupine. See the one for registers about indeterminate operations and
// the budget.
func (k *machine) byPorcupine(
	ctx context.Context, ops []object.Op, budget register.Budget,
) register.Decision {
	used := &spent{}
	step := func(ctx context.Context, s object.State, op *object.Op) []object.State {
		used.steps++
		if used.stopped.Load() || used.steps > budget.Steps || used.bytes > budget.Bytes ||
			used.steps&255 == 0 && ctx.Err() != nil {
			used.stopped.Store(true)
			return nil
		}
		next := k.step(s, op.Class)
		if len(next) == 0 && op.Maybe {
			next = []object.State{s}
		}
		if len(next) > 0 {
			used.bytes += int64(len(ops))/8 + 100
		}
		return next
	}
	in := make([]porcupine.Operation, len(ops))
	for i := range ops {
		in[i] = porcupine.Operation{Input: &ops[i], Call: ops[i].Call, Return: ops[i].Ret}
	}
	limit := time.Duration(0)
	if end, bounded := ctx.Deadline(); bounded {
		limit = max(time.Until(end), 1)
	}
	res, info := porcupine.CheckOperationsVerbose(k.porcupineModel(ops, step), in, limit)
	d := register.Decision{Steps: used.steps}
	switch {
	case used.stopped.Load() || res == porcupine.Unknown:
		d.Reason = register.OutOf(ctx, used.steps > budget.Steps)
	case res == porcupine.Ok:
		d.Answer = register.Legal
		d.Order = k.porcupineOrder(ops, info)
	default:
		d.Answer = register.Illegal
	}
	return d
}

// porcupineModel is the object as porcupine takes it: with a state, or with the set of all states
// in which it may be where an operation has several outcomes.
func (k *machine) porcupineModel(
	ops []object.Op, step func(context.Context, object.State, *object.Op) []object.State,
) porcupine.Model {
	open := slices.ContainsFunc(ops, func(o object.Op) bool {
		return !k.classes[o.Class].answered && k.model.chooses
	})
	if open {
		return (&porcupine.NondeterministicModel{
			Init: func() []any { return []any{object.State(0)} },
			Step: func(s, in, _ any) (out []any) {
				for _, n := range step(context.Background(), s.(object.State), in.(*object.Op)) {
					out = append(out, n)
				}
				return out
			},
		}).ToModel()
	}
	return porcupine.Model{
		Init: func() any { return object.State(0) },
		StepContext: func(ctx context.Context, s, in, _ any) (bool, any) {
			next := step(ctx, s.(object.State), in.(*object.Op))
			if len(next) == 0 {
				return false, s
			}
			return true, next[0]
		},
		Hash: func(s any) uint64 { return uint64(s.(object.State)) * 0x9e3779b97f4a7c15 },
	}
}

// porcupineOrder is the order that porcupine found, without the indeterminate operations that have
// no effect in it.
func (k *machine) porcupineOrder(ops []object.Op, info porcupine.LinearizationInfo) []int32 {
	var order []int32
	states := []object.State{0}
	for _, partial := range info.PartialLinearizations() {
		for _, ids := range partial {
			for _, id := range ids {
				var next []object.State
				for _, s := range states {
					next = append(next, k.step(s, ops[id].Class)...)
				}
				if len(next) == 0 && ops[id].Maybe {
					continue
				}
				slices.Sort(next)
				states = slices.Compact(next)
				order = append(order, int32(id))
			}
			return order
		}
	}
	return order
}
