package nemesis

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Params are what is set of a fault, as text: "delay" is "200ms", say. What is not set is drawn
// from the seed of the step, or is as the fault's Doc says.
type Params map[string]string

// Param is something that can be set.
type Param struct {
	Key string `json:"key"`
	Doc string `json:"doc"`
}

// ParamError says what is wrong with one parameter.
type ParamError struct {
	// Fault is the name of the fault, Key that of the parameter.
	Fault, Key string
	Problem    string
}

func (e *ParamError) Error() string {
	return fmt.Sprintf("fault %s, parameter %q: %s", e.Fault, e.Key, e.Problem)
}

// Configure gives the fault of that name with params set. The error joins a [ParamError] for each
// that is wrong.
func Configure(name string, params Params) (Fault, error) {
	i := slices.IndexFunc(Faults(), func(f Fault) bool { return f.Name() == name })
	if i < 0 {
		return nil, fmt.Errorf("unknown fault %q: there is %s", name, strings.Join(known(), ", "))
	}
	return configure(Faults()[i], params)
}

func configure(f Fault, params Params) (Fault, error) {
	if len(params) == 0 {
		return f, nil
	}
	s := &settings{fault: f.Name(), given: params}
	t := s.common(f)
	t.params = maps.Clone(params)
	for key := range params {
		has := func(p Param) bool { return p.Key == key }
		if !slices.ContainsFunc(s.known, has) {
			s.wrong(key, "there is no such parameter; there is %s", keysOf(s.known))
		}
	}
	slices.SortFunc(s.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return t, errors.Join(s.errs...)
}

// ParamsOf lists what can be set of f.
func ParamsOf(f Fault) []Param {
	s := &settings{fault: f.Name()}
	s.common(f)
	return s.known
}

func keysOf(params []Param) string {
	var keys []string
	for _, p := range params {
		keys = append(keys, p.Key)
	}
	return strings.Join(keys, ", ")
}

// tunable is a fault with parameters of its own.
type tunable interface {
	Fault
	// tune is the fault with what s says. It asks for all its parameters, set or not.
	tune(s *settings) Fault
}

// tuned is a fault of which something is set.
type tuned struct {
	Fault
	params  Params
	targets []Target // nil for those of the fault
	stays   time.Duration
}

// Targets implements [Fault].
func (t tuned) Targets() []Target {
	if t.targets != nil {
		return t.targets
	}
	return t.Fault.Targets()
}

// MinNodes is how many nodes the cluster must have.
func (t tuned) MinNodes() int { return minNodes(t.Fault) }

func minNodes(f Fault) int {
	if sized, ok := f.(interface{ MinNodes() int }); ok {
		return sized.MinNodes()
	}
	return 1
}

// paramsOf is what is set of f, nil for nothing.
func paramsOf(f Fault) Params {
	t, _ := f.(tuned)
	return t.params
}

// staysOf is how long f is to stay, zero if that is not set.
func staysOf(f Fault) time.Duration {
	t, _ := f.(tuned)
	return t.stays
}

// Spec writes a fault and what is set of it as --faults takes it: name:key=value:key=value.
func Spec(f Fault) string {
	text := f.Name()
	params := paramsOf(f)
	for _, key := range slices.Sorted(maps.Keys(params)) {
		text += ":" + key + "=" + params[key]
	}
	return text
}

// parseSpec reads what [Spec] writes.
func parseSpec(text string) (name string, params Params, err error) {
	name, rest, more := strings.Cut(text, ":")
	for more {
		var field string
		field, rest, more = strings.Cut(rest, ":")
		key, value, ok := strings.Cut(field, "=")
		if !ok || key == "" {
			return name, nil, fmt.Errorf("fault %q: %q is no parameter; want name:key=value",
				text, field)
		}
		if _, twice := params[key]; twice {
			return name, nil, fmt.Errorf("fault %q: %s is set twice", text, key)
		}
		if params == nil {
			params = Params{}
		}
		params[key] = value
	}
	return name, params, nil
}

// settings reads parameters. Every key that is asked for is a key that there is.
type settings struct {
	fault string
	given Params
	known []Param
	errs  []error
}

// common reads what can be set of every fault, and has f read the rest.
func (s *settings) common(f Fault) tuned {
	var t tuned
	if text, ok := s.text("target", "where it strikes: roles or nodes, joined by +"); ok {
		for name := range strings.SplitSeq(text, "+") {
			if !slices.Contains(roles(), Target(name)) && !isNode(name) {
				s.wrong("target", "%q is no role and no node; the roles are %s", name,
					joinTargets(roles()))
			}
			t.targets = append(t.targets, Target(name))
		}
	}
	t.stays, _ = s.duration("for", "how long it stays", time.Millisecond, time.Hour)
	t.Fault = f
	if tunable, ok := f.(tunable); ok {
		t.Fault = tunable.tune(s)
	}
	return t
}

// isNode says whether name can be that of a node: n and a number.
func isNode(name string) bool {
	digits, ok := strings.CutPrefix(name, "n")
	n, err := strconv.Atoi(digits)
	return ok && err == nil && n > 0
}

func joinTargets(targets []Target) string {
	var names []string
	for _, t := range targets {
		names = append(names, string(t))
	}
	return strings.Join(names, ", ")
}

func (s *settings) wrong(key, format string, args ...any) {
	s.errs = append(s.errs, &ParamError{s.fault, key, fmt.Sprintf(format, args...)})
}

func (s *settings) text(key, doc string) (string, bool) {
	s.known = append(s.known, Param{key, doc})
	text, ok := s.given[key]
	return text, ok
}

func (s *settings) duration(key, doc string, low, high time.Duration) (time.Duration, bool) {
	text, ok := s.text(key, fmt.Sprintf("%s, %v to %v", doc, low, high))
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < low || d > high {
		s.wrong(key, "%q: want a duration from %v to %v", text, low, high)
		return 0, false
	}
	return d, true
}

func (s *settings) number(key, doc string, low, high float64) (float64, bool) {
	text, ok := s.text(key, fmt.Sprintf("%s, %v to %v", doc, low, high))
	if !ok {
		return 0, false
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= low && x <= high) {
		s.wrong(key, "%q: want a number from %v to %v", text, low, high)
		return 0, false
	}
	return x, true
}

func (s *settings) choice(key, doc string, options ...string) (string, bool) {
	text, ok := s.text(key, doc+": "+strings.Join(options, ", "))
	if ok && !slices.Contains(options, text) {
		s.wrong(key, "%q: want one of %s", text, strings.Join(options, ", "))
		return "", false
	}
	return text, ok
}
