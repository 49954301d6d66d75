package nemesis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Outcome is what became of a fault.
type Outcome string

// The outcomes.
const (
	Installed     Outcome = "installed"
	SkippedFault  Outcome = "skipped"
	Indeterminate Outcome = "indeterminate"
	Healed        Outcome = "healed"
)

// Nemesis carries a schedule out. Next, Update and Active are called by one goroutine; calls of Do
// run beside them, and beside each other. Heal is called when nothing else is.
type Nemesis struct {
	env      *Env
	log      *slog.Logger
	external *external // nil if nobody drives it from outside

	todo   []action     // in order of time; belongs to Next
	busy   map[int]bool // steps with an end that is under way; belongs to Next and Update
	active []string     // belongs to Update

	mu      sync.Mutex
	faults  map[int]Fault  // by step, guarded by mu
	steps   map[int]Step   // guarded by mu
	effects map[int]Effect // by step, guarded by mu
	rough   int            // calls of Do that may leave no majority whole, guarded by mu
}

// action is one end of a step.
type action struct {
	step Step
	at   time.Duration
	heal bool
}

// New makes a Nemesis that carries s out on the cluster of env, start being when the clients begin.
func New(env *Env, s Schedule, start time.Duration, log *slog.Logger) (*Nemesis, error) {
	env.data.data = true
	n := &Nemesis{
		env: env, log: log,
		faults: map[int]Fault{}, steps: map[int]Step{}, effects: map[int]Effect{},
		busy: map[int]bool{},
	}
	for _, step := range s.Steps {
		if err := n.add(step); err != nil {
			return nil, fmt.Errorf("step %d: %w", step.ID, err)
		}
		n.todo = append(n.todo,
			action{step, start + step.At, false}, action{step, start + step.At + step.For, true})
	}
	sort.SliceStable(n.todo, func(i, j int) bool { return n.todo[i].at < n.todo[j].at })
	return n, nil
}

// add takes a step in.
func (n *Nemesis) add(step Step) error {
	f, err := Configure(step.Fault, step.Params)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults[step.ID], n.steps[step.ID] = f, step
	return nil
}

// planned is a step, and its fault.
func (n *Nemesis) planned(step int) (Step, Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.steps[step], n.faults[step]
}

// Next implements [generator.Generator].
func (n *Nemesis) Next(now time.Duration, _ int) (history.Op, generator.State) {
	wait := history.Op{}
	if n.external != nil && n.listen(now) {
		wait.Time = now + externalPause
	} else if len(n.todo) == 0 {
		return history.Op{}, generator.Done
	}
	for i, a := range n.todo {
		if now < a.at {
			return history.Op{Time: a.at}, generator.Wait
		}
		if n.busy[a.step.ID] {
			continue // it is not yet broken, so that it can not be mended
		}
		n.todo = slices.Delete(n.todo, i, i+1)
		n.busy[a.step.ID] = true
		return n.invocation(a).op(a.step.Fault), generator.Ready
	}
	return wait, generator.Wait
}

// invocation is what stands in the history before something is done. A fault that keeps a majority
// whole all the time says so.
func (n *Nemesis) invocation(a action) Value {
	v := Value{Step: a.step.ID, Target: a.step.Target, Action: "inject"}
	if a.heal {
		v.Action = "heal"
	}
	_, f := n.planned(a.step.ID)
	if g, ok := unwrap(f).(gentle); ok && g.gentle() && n.env.majorityWhole() {
		v.Majority = new(true)
	}
	return v
}

// gentle is a fault during which, and during whose healing, Raft promises to serve.
type gentle interface{ gentle() bool }

// unwrap is the fault of which something may be set.
func unwrap(f Fault) Fault {
	if t, ok := f.(tuned); ok {
		return t.Fault
	}
	return f
}

// Update implements [generator.Generator].
func (n *Nemesis) Update(done history.Op) {
	var v Value
	if json.Unmarshal(done.Value, &v) != nil {
		return
	}
	delete(n.busy, v.Step)
	if n.external != nil {
		n.external.ended(v, done)
	}
	if v.Action == "inject" {
		n.stay(v.Step, done.Time)
	}
	name := fmt.Sprintf("%s %s", done.F, v.Target)
	n.active = slices.DeleteFunc(n.active, func(s string) bool { return s == name })
	if v.Action == "inject" && v.Outcome != SkippedFault {
		n.active = append(n.active, name)
	}
}

// Active lists what is broken now.
func (n *Nemesis) Active() []string { return slices.Clone(n.active) }

// Value is what stands in the history for each end of a fault.
type Value struct {
	Step   int    `json:"step"`
	Action string `json:"action"` // "inject" or "heal"
	Target Target `json:"target,omitempty"`
	// The rest is known when it is done.
	Outcome Outcome      `json:"outcome,omitempty"`
	Reason  string       `json:"reason,omitempty"`
	Nodes   []sut.NodeID `json:"nodes,omitempty"`
	// Majority says whether, from here on, more than half of the members are up and can all talk
	// to each other. Before something is done: that this is so all the while.
	Majority *bool `json:"majority,omitempty"`
	// Members are the members from here on, if they are not those of the beginning any more.
	Members  []sut.NodeID `json:"members,omitempty"`
	Evidence any          `json:"evidence,omitempty"`
}

func (v Value) op(f string) history.Op {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("nemesis: a value that is no JSON: " + err.Error())
	}
	return history.Op{F: f, Value: raw}
}

// doLimit bounds one end of a fault.
const doLimit = 30 * time.Second

// Do implements the harness's Nemesis: it injects or heals what op says.
func (n *Nemesis) Do(ctx context.Context, op history.Op) history.Op {
	ctx, cancel := context.WithTimeout(ctx, doLimit)
	defer cancel()
	var v Value
	if err := json.Unmarshal(op.Value, &v); err != nil {
		op.Error = err.Error()
		return op
	}
	rough := v.Majority == nil
	n.enter(rough)
	if v.Action == "heal" {
		n.heal(ctx, &v)
	} else {
		n.inject(ctx, &v)
	}
	v.Majority = new(n.leave(rough))
	v.Members = n.env.changedMembers()
	done := v.op(op.F)
	n.log.Info("fault", "fault", op.F, "action", v.Action, "outcome", v.Outcome,
		"nodes", v.Nodes, "reason", v.Reason)
	return done
}

// enter and leave stand around what is done. Only when nothing is under way any more that might
// leave no majority whole, leave says that one is.
func (n *Nemesis) enter(rough bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if rough {
		n.rough++
	}
}

func (n *Nemesis) leave(rough bool) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if rough {
		n.rough--
	}
	return n.rough == 0 && n.env.majorityWhole()
}

// Members lists the nodes that are to serve clients from now on; nil if they are those of the
// beginning.
func (n *Nemesis) Members() []sut.NodeID { return n.env.changedMembers() }

// leastStay is how long a fault stays at the least, however long it took to inject it.
const leastStay = 500 * time.Millisecond

// stay puts the end of a step off that was injected only now.
func (n *Nemesis) stay(step int, now time.Duration) {
	for i := range n.todo {
		if a := &n.todo[i]; a.heal && a.step.ID == step {
			a.at = max(a.at, now+min(leastStay, a.step.For/2))
		}
	}
}

func (n *Nemesis) inject(ctx context.Context, v *Value) {
	step, fault := n.planned(v.Step)
	strike := fault.Inject
	if step.On != "" {
		strike = func(ctx context.Context, env *Env, step Step) (Effect, error) {
			return env.strikeOn(ctx, fault, step)
		}
	}
	eff, err := strike(ctx, n.env, step)
	n.mu.Lock()
	n.effects[v.Step] = eff
	n.mu.Unlock()
	v.Nodes, v.Evidence = eff.Nodes, eff.Evidence
	switch {
	case err == nil:
		v.Outcome = Installed
	case Skipped(err):
		v.Outcome, v.Reason = SkippedFault, err.Error()
	default:
		v.Outcome, v.Reason = Indeterminate, err.Error()
	}
}

func (n *Nemesis) heal(ctx context.Context, v *Value) {
	n.mu.Lock()
	eff := n.effects[v.Step]
	n.mu.Unlock()
	v.Nodes = eff.Nodes
	v.Outcome = Healed
	if eff.Undo == nil {
		return
	}
	evidence, err := eff.Undo(ctx)
	v.Evidence = evidence
	if err != nil {
		v.Outcome, v.Reason = Indeterminate, err.Error()
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.effects, v.Step)
}

// Heal mends everything: what steps have broken, and whatever else does not stand as it should.
// Members can change only when the rest is whole, so that they come last.
func (n *Nemesis) Heal(ctx context.Context) history.Op {
	if n.external != nil {
		defer n.external.say(answer{State: "done"})
	}
	n.mu.Lock()
	effects := n.effects
	n.effects, n.rough = map[int]Effect{}, 0
	n.mu.Unlock()
	n.todo, n.active = nil, nil
	mend := func(members bool) (errs []error) {
		for _, step := range slices.Backward(slices.Sorted(maps.Keys(effects))) {
			undo := effects[step].Undo
			_, f := n.planned(step)
			_, is := unwrap(f).(membership)
			if undo != nil && is == members {
				_, err := undo(ctx)
				errs = append(errs, err)
			}
		}
		return errs
	}
	errs := mend(false)
	errs = append(errs, each(n.env.all(), func(id sut.NodeID) error {
		return errors.Join(n.env.Cluster.Host(id).Cut(ctx, nil), revive(ctx, n.env, id))
	}), n.env.refresh(ctx))
	errs = append(errs, mend(true)...)
	v := Value{Action: "heal", Target: All, Outcome: Healed, Nodes: n.env.ids(),
		Members: n.env.changedMembers()}
	if err := errors.Join(errs...); err != nil {
		v.Outcome, v.Reason = Indeterminate, err.Error()
		n.log.Warn("heal", "error", err)
	}
	v.Majority = new(n.env.majorityWhole())
	return v.op("heal")
}
