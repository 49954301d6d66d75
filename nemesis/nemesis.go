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

// Nemesis carries a schedule out. Next, Update and Active are called by one goroutine; Do runs
// beside them, one call at a time. Heal is called when nothing else is.
type Nemesis struct {
	env     *Env
	faults  map[int]Fault // by step
	steps   map[int]Step
	log     *slog.Logger
	todo    []action       // in order of time
	effects map[int]Effect // by step; belongs to Do and Heal
	active  []string       // belongs to Update
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
	}
	for _, step := range s.Steps {
		f, err := Configure(step.Fault, step.Params)
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", step.ID, err)
		}
		n.faults[step.ID] = f
		n.steps[step.ID] = step
		n.todo = append(n.todo,
			action{step, start + step.At, false}, action{step, start + step.At + step.For, true})
	}
	sort.SliceStable(n.todo, func(i, j int) bool { return n.todo[i].at < n.todo[j].at })
	return n, nil
}

// Next implements [generator.Generator].
func (n *Nemesis) Next(now time.Duration, _ int) (history.Op, generator.State) {
	if len(n.todo) == 0 {
		return history.Op{}, generator.Done
	}
	a := n.todo[0]
	if now < a.at {
		return history.Op{Time: a.at}, generator.Wait
	}
	n.todo = n.todo[1:]
	v := Value{Step: a.step.ID, Target: a.step.Target, Action: "inject"}
	if a.heal {
		v.Action = "heal"
	}
	return v.op(a.step.Fault), generator.Ready
}

// Update implements [generator.Generator].
func (n *Nemesis) Update(done history.Op) {
	var v Value
	if json.Unmarshal(done.Value, &v) != nil {
		return
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
	// Majority says whether more than half of the nodes are up and can all talk to each other.
	Majority *bool `json:"majority,omitempty"`
	Evidence any   `json:"evidence,omitempty"`
}

func (v Value) op(f string) history.Op {
	raw, err := json.Marshal(v)
	if err != nil {
		panic("nemesis: a value that is no JSON: " + err.Error())
	}
	return history.Op{F: f, Value: raw}
}

// doLimit bounds one end of a fault.
const doLimit = 20 * time.Second

// Do implements the harness's Nemesis: it injects or heals what op says.
func (n *Nemesis) Do(ctx context.Context, op history.Op) history.Op {
	ctx, cancel := context.WithTimeout(ctx, doLimit)
	defer cancel()
	var v Value
	if err := json.Unmarshal(op.Value, &v); err != nil {
		op.Error = err.Error()
		return op
	}
	if v.Action == "heal" {
		n.heal(ctx, &v)
	} else {
		n.inject(ctx, &v)
	}
	whole := n.env.majorityWhole()
	v.Majority = &whole
	done := v.op(op.F)
	n.log.Info("fault", "fault", op.F, "action", v.Action, "outcome", v.Outcome,
		"nodes", v.Nodes, "reason", v.Reason)
	return done
}

func (n *Nemesis) inject(ctx context.Context, v *Value) {
	step := n.steps[v.Step]
	eff, err := n.faults[v.Step].Inject(ctx, n.env, step)
	n.effects[v.Step] = eff
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
	eff := n.effects[v.Step]
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
	delete(n.effects, v.Step)
}

// Heal mends everything: what steps have broken, and whatever else does not stand as it should.
func (n *Nemesis) Heal(ctx context.Context) history.Op {
	var errs []error
	for _, step := range slices.Sorted(maps.Keys(n.effects)) {
		if undo := n.effects[step].Undo; undo != nil {
			_, err := undo(ctx)
			errs = append(errs, err)
		}
		delete(n.effects, step)
	}
	n.todo, n.active = nil, nil
	errs = append(errs, each(n.env.ids(), func(id sut.NodeID) error {
		return errors.Join(n.env.Cluster.Host(id).Cut(ctx, nil), revive(ctx, n.env, id))
	}))
	v := Value{Action: "heal", Target: All, Outcome: Healed, Nodes: n.env.ids()}
	if err := errors.Join(errs...); err != nil {
		v.Outcome, v.Reason = Indeterminate, err.Error()
		n.log.Warn("heal", "error", err)
	}
	whole := n.env.majorityWhole()
	v.Majority = &whole
	return v.op("heal")
}
