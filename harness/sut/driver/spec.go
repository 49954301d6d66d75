package driver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/goccy/go-yaml"
)

// spec is a system's file as people write it; docs/SYSTEMS.md tells what each line means.
type spec struct {
	Name string `yaml:"name"`
	// At most one of these says what a node is.
	Image      string `yaml:"image"`
	Binary     string `yaml:"binary"`
	Dockerfile string `yaml:"dockerfile"`

	Options         map[string]string `yaml:"options"` // with their defaults
	Node            nodeSpec          `yaml:"node"`
	ElectionTimeout string            `yaml:"election_timeout"`

	// Clients speak HTTP, or a program speaks for them.
	Port    uint16       `yaml:"port"`
	Get     *opSpec      `yaml:"get"`
	Put     *opSpec      `yaml:"put"`
	CAS     *opSpec      `yaml:"cas"`
	Status  *statusSpec  `yaml:"status"`
	Errors  []rule       `yaml:"errors"` // after those of each operation
	Program *programSpec `yaml:"program"`

	election time.Duration
}

type nodeSpec struct {
	Entrypoint []text          `yaml:"entrypoint"`
	Args       []text          `yaml:"args"`
	Env        map[string]text `yaml:"env"`
	Data       string          `yaml:"data"`
	WorkDir    string          `yaml:"workdir"`
}

// opSpec is a request, and what its answers mean.
type opSpec struct {
	Method  string `yaml:"method"`
	Path    text   `yaml:"path"`
	Type    string `yaml:"type"`
	Body    text   `yaml:"body"`
	Answers []rule `yaml:"answers"`
	Value   text   `yaml:"value"` // of a get; and what a cas found instead
}

type statusSpec struct {
	Ask     opSpec `yaml:",inline"`
	Leader  text   `yaml:"leader"`
	Term    text   `yaml:"term"`
	Role    text   `yaml:"role"`
	Commit  text   `yaml:"commit"`
	Applied text   `yaml:"applied"`
	Digest  text   `yaml:"digest"`
}

type programSpec struct {
	Image   string   `yaml:"image"`
	Binary  string   `yaml:"binary"`
	Command []text   `yaml:"command"`
	Lacks   []string `yaml:"lacks"`
}

// rule says what an answer means. It holds for those of its status, if it names any, for which its
// template prints "true", if it has one. The first that holds decides.
type rule struct {
	Status []int   `yaml:"status"`
	When   text    `yaml:"when"`
	Is     meaning `yaml:"is"`
}

// meaning is what an answer can mean.
type meaning string

const (
	isOK      meaning = "ok"
	isAbsent  meaning = "absent"  // a get found no such key
	isOther   meaning = "other"   // a cas found another value
	isFail    meaning = "fail"    // it certainly did not happen
	isUnknown meaning = "unknown" // nobody knows; so is every answer that no rule holds for
)

// text is a template.
type text struct{ *template.Template }

// UnmarshalYAML implements goccy/go-yaml's unmarshaler.
func (t *text) UnmarshalYAML(raw []byte) error {
	var s string
	if err := yaml.Unmarshal(raw, &s); err != nil {
		return err
	}
	parsed, err := template.New("").Funcs(functions()).Parse(s)
	if err != nil {
		return fmt.Errorf("template %q: %w", s, err)
	}
	t.Template = parsed
	return nil
}

// parse reads a system's file and says all that is wrong with it.
func parse(raw string) (*spec, error) {
	var s spec
	if err := yaml.NewDecoder(strings.NewReader(raw), yaml.Strict()).Decode(&s); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("it is empty")
		}
		return nil, err
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	return &s, nil
}

func (s *spec) validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(s.Name == "", "name: want one")
	wrong(count(s.Image, s.Binary, s.Dockerfile) > 1,
		"image, binary, dockerfile: want one of them at most")
	if s.ElectionTimeout != "" {
		var err error
		s.election, err = time.ParseDuration(s.ElectionTimeout)
		wrong(err != nil || s.election <= 0, "election_timeout %q: want a duration such as 1s",
			s.ElectionTimeout)
	}
	http := s.Get != nil || s.Put != nil || s.CAS != nil
	wrong(http && s.Program != nil, "program: want either it or get, put and cas")
	wrong(!http && s.Program == nil, "want get and put, or a program")
	if http {
		errs = append(errs, s.validateHTTP()...)
	}
	if p := s.Program; p != nil {
		wrong(count(p.Image, p.Binary) > 1, "program: want an image or a binary")
		wrong(len(p.Command) == 0 && p.Binary == "", "program: want its command")
	}
	return errors.Join(errs...)
}

// validateHTTP looks at the requests.
func (s *spec) validateHTTP() (errs []error) {
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(s.Port == 0, "port: want the one where a node serves clients")
	wrong(s.Get == nil || s.Put == nil, "want both get and put")
	check := func(name string, op *opSpec, means ...meaning) {
		wrong(op.Path.Template == nil, "%s: want a path", name)
		wrong(len(op.Answers) == 0, "%s: want answers, one of which is ok", name)
		for i, r := range append(slices.Clone(op.Answers), s.Errors...) {
			wrong(!slices.Contains(append(means, isOK, isFail, isUnknown), r.Is),
				"%s: answer %d is %q: want %v, ok, fail or unknown", name, i+1, r.Is, means)
		}
	}
	if s.Get != nil {
		check("get", s.Get, isAbsent)
	}
	for name, op := range map[string]*opSpec{"put": s.Put, "cas": s.CAS} {
		if op == nil {
			continue
		}
		check(name, op, map[string][]meaning{"cas": {isOther}}[name]...)
		wrong(op.Method == "" || op.Method == http.MethodGet || op.Method == http.MethodHead,
			"%s: method %q: want POST, PUT or the like; a GET may be sent twice", name, op.Method)
	}
	if s.Status != nil {
		check("status", &s.Status.Ask)
	}
	return errs
}

// count counts those that are not empty.
func count(all ...string) (n int) {
	for _, s := range all {
		if s != "" {
			n++
		}
	}
	return n
}
