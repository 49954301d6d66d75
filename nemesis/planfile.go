package nemesis

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/goccy/go-yaml"
)

// planFile is a fault plan as people write it:
//
//	steps:
//	  - {at: 2s, for: 3s, fault: partition-minority}
//	  - {at: 8s, for: 2s, fault: kill, target: n3}
//
// A target that is left out is the fault's own first one. Steps may overlap.
type planFile struct {
	Steps []planStep `yaml:"steps"`
}

type planStep struct {
	At     string `yaml:"at"`
	For    string `yaml:"for"`
	Fault  string `yaml:"fault"`
	Target Target `yaml:"target"`
	Seed   uint64 `yaml:"seed"`
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
		s.Steps = append(s.Steps, step)
	}
	return s, errors.Join(errs...)
}

func (p planStep) step(id int, limit time.Duration, n int) (Step, error) {
	step := Step{ID: id, Fault: p.Fault, Target: p.Target, Seed: p.Seed}
	chosen, err := Select([]string{p.Fault}, n)
	if err != nil {
		return step, err
	}
	var badAt, badFor error
	step.At, badAt = time.ParseDuration(p.At)
	step.For, badFor = time.ParseDuration(p.For)
	if badAt != nil || badFor != nil {
		return step, fmt.Errorf("at %q for %q: want durations such as 2s or 500ms", p.At, p.For)
	}
	switch {
	case len(chosen) != 1 || chosen[0].Name() != p.Fault:
		return step, fmt.Errorf("%q is not one fault", p.Fault)
	case !Fits(chosen[0], n):
		return step, fmt.Errorf("the fault %s needs more than %d nodes", p.Fault, n)
	case step.At < 0 || step.For <= 0:
		return step, fmt.Errorf("at %v for %v: want a time from 0 on, and a while", p.At, p.For)
	case step.At+step.For > limit:
		return step, fmt.Errorf("it ends at %v, after the time limit of %v", step.At+step.For, limit)
	}
	if step.Target == "" {
		step.Target = targetsOf(chosen[0], n)[0]
	}
	return step, nil
}
