package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/nemesis"
)

// needDocker skips a test where no engine answers, and fails it where one must.
func needDocker(t *testing.T) {
	t.Helper()
	engine, err := docker.Connect(t.Context(), nil)
	if err == nil {
		engine.Close()
		return
	}
	if os.Getenv("RAFTCHECK_REQUIRE_DOCKER") == "1" {
		t.Fatalf("RAFTCHECK_REQUIRE_DOCKER=1, but %v", err)
	}
	t.Skipf("needs a Docker engine: %v", err)
}

// command is the program as a user has it, run from the checkout.
type command struct{ path string }

// run runs the program and returns its exit code and what it printed.
func (c command) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), c.path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		code = e.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	t.Logf("raftcheck %s: exit code %d\n%s%s", strings.Join(args, " "), code, &errs, &out)
	return code, out.String(), errs.String()
}

// TestDocker is the program at work with containers.
func TestDocker(t *testing.T) {
	needDocker(t)
	c := command{filepath.Join(t.TempDir(), "raftcheck")}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", c.path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	t.Run("a clean node is valid and judged the same again", c.clean)
	t.Run("a planted bug is found and explained", c.planted)
	t.Run("a store that a file describes is judged like any other", c.byFile)
	t.Run("an image that is missing or dies at boot is told with a hint", c.badImage)
}

func (c command) clean(t *testing.T) {
	store := t.TempDir()
	code, _, _ := c.run(t, "test", "--nodes", "3", "--time-limit", "14s", "--store", store,
		"--seed", "1", "--faults", "partition-leader,pause,kill", "--quiet")
	if code != exitValid {
		t.Fatalf("exit code %d, want %d", code, exitValid)
	}
	h, err := history.ReadFile(filepath.Join(store, "latest", "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	if !h.Complete || len(h.Header.Images) != 3 {
		t.Errorf("complete %v, images %v", h.Complete, h.Header.Images)
	}
	assertFaults(t, h, "partition-leader", "pause", "kill")
	for _, id := range h.Header.Nodes {
		log, err := os.ReadFile(filepath.Join(store, "latest", "nodes", id+".log"))
		if err != nil || !bytes.Contains(log, []byte(`"ev":"start"`)) {
			t.Errorf("the log of %s has no start of the node: %v", id, err)
		}
	}
	old, err := os.ReadFile(filepath.Join(store, "latest", "verdict.json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
	code, again, _ := c.run(t, "check", "latest", "--store", store, "--json")
	if code != exitValid || again != string(old) {
		t.Errorf("judged again, without Docker: exit code %d, another verdict: %v",
			code, again != string(old))
	}
}

// byFile puts our own node to the test as if nobody knew it: from a file, and from a binary.
func (c command) byFile(t *testing.T) {
	node := filepath.Join(t.TempDir(), "raftnode")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", node, "../raftnode")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	store := t.TempDir()
	code, _, _ := c.run(t, "test", "--nodes", "3", "--time-limit", "8s", "--store", store,
		"--seed", "1", "--faults", "kill", "--quiet",
		"--system", "testdata/raftkv.yaml", "--binary", node)
	if code != exitValid {
		t.Fatalf("exit code %d, want %d", code, exitValid)
	}
	h, err := history.ReadFile(filepath.Join(store, "latest", "history.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	assertFaults(t, h, "kill")
	if h.Header.System != "raftkv-by-file" || !slices.Contains(h.Header.Functions, "cas") {
		t.Errorf("system %q, functions %v", h.Header.System, h.Header.Functions)
	}
}

// assertFaults wants each of names injected with evidence and healed.
func assertFaults(t *testing.T, h *history.History, names ...string) {
	t.Helper()
	seen := map[string]bool{}
	for _, op := range h.Ops {
		if op.Process != history.Nemesis || op.Type != history.Info {
			continue
		}
		var v nemesis.Value
		if err := json.Unmarshal(op.Value, &v); err != nil {
			t.Fatal(err)
		}
		switch v.Outcome {
		case nemesis.Installed:
			seen[op.F] = v.Evidence != nil && len(v.Nodes) > 0
		case nemesis.Healed:
		default:
			t.Errorf("%s of %s: %s, %s", v.Action, op.F, v.Outcome, v.Reason)
		}
	}
	for _, name := range names {
		if !seen[name] {
			t.Errorf("%s was not installed with evidence", name)
		}
	}
}

func (c command) planted(t *testing.T) {
	code, image, _ := c.run(t, "mutants", "build", "C06")
	if code != exitValid {
		t.Fatalf("build: exit code %d", code)
	}
	store, out := t.TempDir(), ""
	// A busy machine can be too slow for the operations that show it; none is ever called failed.
	for seed := 1; seed <= 4 && code != exitInvalid; seed++ {
		code, out, _ = c.run(t, "test", "--nodes", "3", "--time-limit", "6s", "--store", store,
			"--seed", strconv.Itoa(seed), "--faults", "pause", "--quiet",
			"--image", strings.TrimSpace(image))
	}
	if code != exitInvalid {
		t.Fatalf("exit code %d, want %d in one of four runs", code, exitInvalid)
	}
	for _, want := range []string{"INVALID   linearizable", "operations ", " of k"} {
		if !strings.Contains(out, want) {
			t.Errorf("the report does not say %q", want)
		}
	}
}

func (c command) badImage(t *testing.T) {
	engine, err := docker.Connect(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	tools, err := engine.BuildImage(t.Context(), docker.ImageSpec{
		Name: "raftcheck-tools", Program: "raftcheck", Label: "tools", Binary: c.path,
	})
	if err != nil {
		t.Fatal(err)
	}
	// The image of the tools is no node, and dies of being started as one.
	for _, tc := range []struct{ image, want string }{
		{"raftcheck-no-such-image:1", "no image raftcheck-no-such-image:1"},
		{tools, "unknown flag: --id"},
	} {
		code, out, errs := c.run(t, "test", "--nodes", "3", "--store", t.TempDir(),
			"--image", tc.image)
		if code != exitFailure || out != "" {
			t.Errorf("%s: exit code %d, on stdout %q", tc.image, code, out)
		}
		if !strings.Contains(errs, tc.want) || !strings.Contains(errs, "hint: ") {
			t.Errorf("%s: it says\n%s", tc.image, errs)
		}
	}
}
