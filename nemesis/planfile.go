package nemesis

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// planFile is a fault plan as people write it:
//
//	steps:
//	  - {at: 2s, for: 3s, fault: partition-minority}
//	  - {at: 8s, for: 2s, fault: kill, target: n3}
//	  - {at: 12s, for: 2s, fault: network-slow, params: {delay: 200ms, jitter: 50ms}}
//
// A step with on: fires when a node says that this has happened in it (become_leader, config, …),
// from at on and not later than within after; its target is that node, "event", if none is named.
//
// A target that is left out is the fault's own first one. Steps may overlap. With keep_majority:
// true, of the file or of a step, nothing may leave no majority of the nodes whole.
type planFile struct {
	// KeepMajority is that of all steps: what would leave no majority whole is skipped.
	KeepMajority bool       `yaml:"keep_majority"`
	Steps        []planStep `yaml:"steps"`
}

type planStep struct {
	At     string `yaml:"at"`
	For    string `yaml:"for"`
	Fault  string `yaml:"fault"`
	Target Target `yaml:"target"`
	Seed   uint64 `yaml:"seed"`
	Params places `yaml:"params"`
	On     string `yaml:"on"`
	Within string `yaml:"within"`
	// KeepMajority stands in for that of the file.
	KeepMajority *bool `yaml:"keep_majority"`
}

// event reads on which event a step fires.
func (p planStep) event(step *Step) (err error) {
	switch {
	case p.On == "" && p.Within == "" && p.Target != Struck:
		return nil
	case p.On == "":
		return fmt.Errorf("within and the target %s go with on", Struck)
	case !slices.Contains(eventNames(), p.On):
		return fmt.Errorf("on %q: there is no such event; there is %s", p.On,
			strings.Join(eventNames(), ", "))
	}
	step.On, step.Within = p.On, reactLimit
	if p.Within != "" {
		step.Within, err = time.ParseDuration(p.Within)
		if err != nil || step.Within <= 0 || step.Within > maxWithin {
			return fmt.Errorf("within %q: want a duration of at most %v", p.Within, maxWithin)
		}
	}
	if step.Target == "" {
		step.Target = Struck
	}
	return nil
}

// maxWithin bounds how long a step waits for its event.
const maxWithin = 20 * time.Second

// places are parameters, and where in the file each stands.
type places struct {
	params Params
	at     map[string]string // by key, "[line:column]"
}

// UnmarshalYAML implements [yaml.NodeUnmarshaler].
func (p *places) UnmarshalYAML(node ast.Node) error {
	var fields []*ast.MappingValueNode
	switch node := node.(type) {
	case *ast.MappingNode:
		fields = node.Values
	case *ast.MappingValueNode:
		fields = []*ast.MappingValueNode{node}
	default:
		return fmt.Errorf("%s params: want keys and values", place(node))
	}
	p.params, p.at = Params{}, map[string]string{}
	for _, f := range fields {
		key := f.Key.GetToken().Value
		text, err := scalar(f.Value)
		if err != nil {
			return fmt.Errorf("%s parameter %q: %w", place(f.Key), key, err)
		}
		if _, twice := p.params[key]; twice {
			return fmt.Errorf("%s parameter %q is set twice", place(f.Key), key)
		}
		p.params[key], p.at[key] = text, place(f.Key)
	}
	return nil
}

func place(node ast.Node) string {
	at := node.GetToken().Position
	return fmt.Sprintf("[%d:%d]", at.Line, at.Column)
}

// scalar is the text of a value: a number, a word, or several in a list, which are joined by +.
func scalar(node ast.Node) (string, error) {
	switch node := node.(type) {
	case ast.ScalarNode:
		return node.GetToken().Value, nil
	case *ast.SequenceNode:
		var all []string
		for _, v := range node.Values {
			text, err := scalar(v)
			if err != nil {
				return "", err
			}
			all = append(all, text)
		}
		return strings.Join(all, "+"), nil
	}
	return "", errors.New("want a number, a word or a list")
}

// locate puts before each wrong parameter where it stands.
func (p places) locate(err error) error {
	var errs []error
	for _, e := range unjoin(err) {
		if wrong, ok := errors.AsType[*ParamError](e); ok && p.at[wrong.Key] != "" {
			e = fmt.Errorf("%s %w", p.at[wrong.Key], e)
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

// ReadPlan reads a schedule from YAML for a run of limit on n nodes. Errors name the line and what
// would be right.
func ReadPlan(r io.Reader, limit time.Duration, n int) (Schedule, error) {
	var file planFile
	if err := yaml.NewDecoder(r, yaml.Strict()).Decode(&file); err != nil {
		if errors.Is(err, io.EOF) {
			return Schedule{}, errors.New("the plan is empty")
		}
		return Schedule{}, fmt.Errorf("the plan is wrong: %w", err)
	}
	if len(file.Steps) == 0 {
		return Schedule{}, errors.New("the plan has no steps")
	}
	var s Schedule
	var errs []error
	for i, p := range file.Steps {
		step, err := p.step(i+1, limit, n)
		if err != nil {
			errs = append(errs, fmt.Errorf("step %d: %w", i+1, err))
		}
		step.KeepMajority = file.KeepMajority
		if p.KeepMajority != nil {
			step.KeepMajority = *p.KeepMajority
		}
		s.Steps = append(s.Steps, step)
	}
	return s, errors.Join(errs...)
}

func (p planStep) step(id int, limit time.Duration, n int) (Step, error) {
	step := Step{ID: id, Fault: p.Fault, Target: p.Target, Seed: p.Seed, Params: p.Params.params}
	if chosen, err := Select([]string{p.Fault}, n); err != nil {
		return step, err
	} else if len(chosen) != 1 || chosen[0].Name() != p.Fault {
		return step, fmt.Errorf("%q is not one fault", p.Fault)
	}
	fault, err := Configure(p.Fault, p.Params.params)
	if err != nil {
		return step, p.Params.locate(err)
	}
	var badAt, badFor error
	step.At, badAt = time.ParseDuration(p.At)
	step.For, badFor = time.ParseDuration(p.For)
	if badAt != nil || badFor != nil {
		return step, fmt.Errorf("at %q for %q: want durations such as 2s or 500ms", p.At, p.For)
	}
	switch {
	case !Fits(fault, n):
		return step, fmt.Errorf("the fault %s needs more than %d nodes", p.Fault, n)
	case step.At < 0 || step.For <= 0:
		return step, fmt.Errorf("at %v for %v: want a time from 0 on, and a while", p.At, p.For)
	case step.At+step.For > limit:
		return step, fmt.Errorf("it ends at %v, after the time limit of %v", step.At+step.For, limit)
	}
	if err := p.event(&step); err != nil {
		return step, err
	}
	if step.Target == "" {
		step.Target = targetsOf(fault, n)[0]
	}
	return step, nil
}
