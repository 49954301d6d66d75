// Package mutants holds the planted bugs: patches against the node, each with one mistake that
// somebody has really made, or that the literature warns of. They show what our checks are worth:
// a simulator that finds nothing is only reassuring if it finds these.
//
// A patch is a unified diff below a few header lines:
//
//	id: A07                               letter and number, unique; it begins the file's name
//	title: a vote is granted to a shorter log
//	source: paper §5.4.1                  where such a mistake was made or is described
//	fault: partition or crash             what brings it out
//	symptom: committed writes vanish      what a client sees
//	killed: seed 7, leader completeness   what finds it: "seed N, invariant" or "test Name"
//	rate: 57 of 200 seeds                 how often the simulator does
//	note: …                               why nothing finds it, if nothing does
//
// The node's own code has no trace of them: they are built with "go build -overlay".
package mutants

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Mutant is one planted bug.
type Mutant struct {
	ID, Title, Source, Fault, Symptom string
	Killed                            string // "seed 7, leader completeness", "test TestX", or empty
	Rate                              string
	Note                              string
	Path                              string // of the patch

	files []*gitdiff.File
}

// Load reads all patches of a directory, sorted by id.
func Load(dir string) ([]*Mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	var all []*Mutant
	for _, path := range paths {
		m, err := Read(path)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *Mutant) int { return strings.Compare(a.ID, b.ID) })
	for i := 1; i < len(all); i++ {
		if all[i].ID == all[i-1].ID {
			return nil, fmt.Errorf("%s and %s have the same id", all[i-1].Path, all[i].Path)
		}
	}
	return all, nil
}

// Read reads one patch.
func Read(path string) (*Mutant, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read mutant: %w", err)
	}
	files, header, err := gitdiff.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	m := &Mutant{Path: path, files: files}
	for line := range strings.Lines(header) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		key = strings.ToLower(key)
		switch key {
		case "id":
			m.ID = value
		case "title":
			m.Title = value
		case "source":
			m.Source = value
		case "fault":
			m.Fault = value
		case "symptom":
			m.Symptom = value
		case "killed":
			m.Killed = value
		case "rate":
			m.Rate = value
		case "note":
			m.Note = value
		case "":
		default:
			return nil, fmt.Errorf("parse %s: unknown header %q", path, key)
		}
	}
	if err := m.valid(); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	return m, nil
}

func (m *Mutant) valid() error {
	switch {
	case m.ID == "" || m.Title == "" || m.Source == "" || m.Fault == "" || m.Symptom == "":
		return fmt.Errorf("id, title, source, fault and symptom are needed")
	case !strings.HasPrefix(filepath.Base(m.Path), m.ID+"-"):
		return fmt.Errorf("the file's name does not begin with %s-", m.ID)
	case len(m.files) == 0:
		return fmt.Errorf("nothing is changed")
	case m.Killed == "" && m.Note == "":
		return fmt.Errorf("it says neither what kills it nor why nothing does")
	}
	return nil
}

// Overlay writes the mutated files into dir, and a JSON file for "go build -overlay", whose path
// it returns. Root is the module's root directory, which is only read.
func (m *Mutant) Overlay(root, dir string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("overlay %s: %w", m.ID, err)
	}
	tree, err := filepath.Abs(filepath.Join(dir, m.ID))
	if err != nil {
		return "", fmt.Errorf("overlay %s: %w", m.ID, err)
	}
	replace := map[string]string{}
	for _, f := range m.files {
		name := filepath.FromSlash(f.OldName)
		to := filepath.Join(tree, name)
		if err := copyFile(to, filepath.Join(root, name)); err != nil {
			return "", fmt.Errorf("overlay %s: %w", m.ID, err)
		}
		replace[filepath.Join(root, name)] = to
	}
	if err := m.apply(tree); err != nil {
		return "", fmt.Errorf("overlay %s: %w", m.ID, err)
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", fmt.Errorf("overlay %s: %w", m.ID, err)
	}
	path := filepath.Join(dir, m.ID+".json")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return "", fmt.Errorf("overlay %s: %w", m.ID, err)
	}
	return path, nil
}

// apply changes the copies in tree. git does it, since it finds code that has moved.
func (m *Mutant) apply(tree string) error {
	patch, err := filepath.Abs(m.Path)
	if err != nil {
		return err
	}
	cmd := exec.Command("git", "apply", "--whitespace=nowarn", patch)
	cmd.Dir = tree
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(tree))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git apply: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

func copyFile(to, from string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}
