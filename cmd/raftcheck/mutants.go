package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
	"github.com/raftcheck/raftcheck/harness/sut/raftkv"
)

// mutantDir holds a patch for each planted bug, in the checkout.
const mutantDir = "node/mutants"

// mutant is a bug that can be planted in the node.
type mutant struct {
	Name  string // of the patch, without its ending
	Title string // from the head of the patch
	path  string
}

// findMutants lists the planted bugs of a checkout.
func findMutants(checkout string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(checkout, mutantDir, "*.patch"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var all []mutant
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m := mutant{Name: strings.TrimSuffix(filepath.Base(path), ".patch"), path: path}
		for line := range strings.Lines(string(raw)) {
			if title, ok := strings.CutPrefix(strings.ToLower(line), "title:"); ok {
				m.Title = strings.TrimSpace(line[len(line)-len(title):])
				break
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// pickMutant finds a planted bug by its name, or by the beginning of it.
func pickMutant(checkout, name string) (mutant, error) {
	all, err := findMutants(checkout)
	if err != nil {
		return mutant{}, err
	}
	for _, m := range all {
		id, _, _ := strings.Cut(m.Name, "-")
		if m.Name == name || strings.EqualFold(id, name) {
			return m, nil
		}
	}
	return mutant{}, usage("raftcheck mutants list", "unknown mutant %q", name)
}

// overlay applies the patch to copies of the files that it changes, in dir, and returns the path of
// a file that tells `go build -overlay` to take them for the originals. The checkout stays clean.
func (m mutant) overlay(checkout, dir string) (string, error) {
	raw, err := os.ReadFile(m.path)
	if err != nil {
		return "", err
	}
	files, _, err := gitdiff.Parse(bytes.NewReader(raw))
	if err != nil {
		return "", fmt.Errorf("mutant %s: %w", m.Name, err)
	}
	replace := map[string]string{}
	for _, file := range files {
		original := filepath.Join(checkout, file.OldName)
		src, err := os.ReadFile(original)
		if errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("mutant %s: there is no %s any more", m.Name, file.OldName)
		}
		if err != nil {
			return "", err
		}
		copied := filepath.Join(dir, file.OldName)
		if err := os.MkdirAll(filepath.Dir(copied), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(copied, src, 0o644); err != nil {
			return "", err
		}
		replace[original] = copied
	}
	if err := m.apply(dir); err != nil {
		return "", err
	}
	doc, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, doc, 0o644)
}

// apply lets git apply the patch in dir: it finds code that has moved, which the library that reads
// patches does not.
func (m mutant) apply(dir string) error {
	cmd := exec.Command("git", "apply", "--whitespace=nowarn", m.path)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mutant %s no longer fits the node: %w: %s", m.Name, err, out)
	}
	return nil
}

func mutantsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use: "mutants", Short: "Plant known bugs in the node",
		Long: "Each patch in node/mutants plants one known bug in raftnode. A harness is trusted " +
			"for what it catches:\n\n  raftcheck test --image $(raftcheck mutants build NAME)\n\n" +
			"must end in 1.",
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(mutantsList(), mutantsBuild())
	return cmd
}

func mutantsList() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the planted bugs", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checkout, err := findCheckout()
			if err != nil {
				return exit{exitFailure, err}
			}
			all, err := findMutants(checkout)
			if err != nil {
				return exit{exitFailure, err}
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, m := range all {
				fmt.Fprintf(w, "%s\t%s\n", m.Name, m.Title)
			}
			return w.Flush()
		},
	}
}

func mutantsBuild() *cobra.Command {
	var where string
	cmd := &cobra.Command{
		Use: "build NAME", Short: "Build a node with a bug planted, and print its image's name",
		Long: "Build a node with a bug planted, and print the name of its image; without Docker, the " +
			"path of\nits program. Both are what --image takes.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("raftcheck mutants list", "build wants one mutant")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			image, err := buildMutant(cmd, args[0], where)
			if err != nil {
				if _, ok := errors.AsType[exit](err); ok {
					return err
				}
				return exit{exitFailure, err}
			}
			fmt.Fprintln(cmd.OutOrStdout(), image)
			return nil
		},
	}
	cmd.Flags().StringVar(&where, "runtime", "",
		"docker or local (default: docker, or local where no engine answers)")
	return cmd
}

func buildMutant(cmd *cobra.Command, name, where string) (string, error) {
	if where != "" && where != "docker" && where != "local" {
		return "", usage("--runtime docker, or local", "a node can not be built for runtime %q", where)
	}
	checkout, err := findCheckout()
	if err != nil {
		return "", err
	}
	m, err := pickMutant(checkout, name)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "raftcheck-mutant-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in the place for such things
	overlay, err := m.overlay(checkout, dir)
	if err != nil {
		return "", err
	}
	node := raftkv.System{}.MainPackage()
	if where == "local" {
		return buildLocalNode(cmd.Context(), node, overlay)
	}
	engine, err := docker.Connect(cmd.Context(), nil)
	if err != nil && where == "" && runtime.GOOS == "linux" {
		return buildLocalNode(cmd.Context(), node, overlay)
	}
	if err != nil {
		return "", err
	}
	defer engine.Close()
	return ensureNodeImage(cmd.Context(), engine, node, overlay)
}
