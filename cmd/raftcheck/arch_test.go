package main_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/raftcheck/raftcheck/"

// A room is a folder and all that is below it, unless a longer path has a row of its own.
// Ours lists what of the project its code may import, others what else but the standard library;
// both by prefix. Tests may import more, but for what would join the node and the harness.
type room struct {
	path   string
	ours   []string
	others []string
}

// rooms is the table of rooms of the design.
var rooms = []room{
	{"cmd/raftcheck", []string{"harness", "nemesis", "workloads", "linearizability"},
		[]string{"github.com/spf13/cobra", "golang.org/x/", "github.com/bluekeyes/go-gitdiff",
			"github.com/goccy/go-yaml"}},
	{"cmd/raftnode", []string{"node"}, nil},

	// The life of a run knows no fault, workload, system or checker, only what they are.
	{"harness", []string{"=harness/cluster", "=harness/config", "=harness/driver",
		"=harness/generator", "=harness/history", "=harness/sut"}, nil},
	{"harness/config", nil, []string{"github.com/goccy/go-yaml"}},
	{"harness/driver", []string{"=harness/history", "=harness/sut"}, nil},
	{"harness/sut", []string{"=harness/sut"}, nil},
	// Adapters share the client of HTTP; none knows another.
	{"harness/sut/etcd", []string{"=harness/sut", "=harness/sut/web"}, nil},
	{"harness/sut/nats", []string{"=harness/sut"}, []string{"github.com/nats-io/nats.go"}},
	{"harness/sut/driver", []string{"=harness/sut", "=harness/sut/web"},
		[]string{"github.com/goccy/go-yaml"}},
	{"harness/cluster", []string{"harness/cluster", "=harness/sut"}, nil},
	// The runtimes start agents, so they speak the agents' protocol; nothing else of the nemesis.
	{"harness/cluster/beside", []string{"=harness/cluster", "=harness/sut",
		"=nemesis/agent/wire"}, []string{"golang.org/x/"}},
	{"harness/cluster/docker", []string{"=harness/cluster", "=harness/cluster/beside", "=harness/sut",
		"=nemesis/agent/wire"},
		[]string{"github.com/containerd/errdefs", "github.com/docker/",
			"github.com/moby/go-archive", "github.com/moby/patternmatcher",
			"github.com/testcontainers/testcontainers-go", "golang.org/x/"}},
	{"harness/cluster/local", []string{"=harness/cluster", "=harness/cluster/beside", "=harness/sut",
		"=nemesis/agent/wire"}, []string{"golang.org/x/", "github.com/vishvananda/"}},
	// The node of the suite is a program of its own, which holds the agent too.
	{"harness/cluster/clustertest/testnode", []string{"nemesis/agent"}, []string{"golang.org/x/"}},
	{"harness/generator", []string{"=harness/history"}, nil},
	{"harness/history", nil, []string{"github.com/klauspost/compress"}},
	{"harness/check", []string{"=harness/history"}, nil},
	{"harness/store", []string{"=harness/config", "=harness/history", "=harness/check"}, nil},
	{"harness/report", []string{"=harness/config", "=harness/history", "=harness/check"}, nil},

	{"nemesis", []string{"=harness/history", "=harness/generator", "=harness/cluster",
		"=harness/sut"}, []string{"github.com/goccy/go-yaml"}},
	{"nemesis/agent", []string{"nemesis/agent"},
		[]string{"github.com/google/nftables", "github.com/hanwen/go-fuse/v2", "github.com/vishvananda/",
			"golang.org/x/"}},
	{"workloads", []string{"=harness/check", "=harness/generator", "=harness/history",
		"=harness/sut", "=linearizability", "=linearizability/txn"}, nil},
	{"linearizability", []string{"=harness/check", "=harness/history", "linearizability"},
		[]string{"github.com/anishathalye/porcupine"}},
	{"linearizability/bench", []string{"=harness/check", "=harness/history", "linearizability"},
		[]string{"github.com/anishathalye/porcupine", "golang.org/x/"}},
	{"node", []string{"node"}, []string{"golang.org/x/"}},
	{"node/mutants", []string{"node"}, []string{"github.com/bluekeyes/go-gitdiff"}},
}

// roomOf finds the row for a package, the most special one.
func roomOf(path string) *room {
	var best *room
	for i := range rooms {
		if within(path, rooms[i].path) && (best == nil || len(rooms[i].path) > len(best.path)) {
			best = &rooms[i]
		}
	}
	return best
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// allows says whether the room may import what is at path. A prefix that begins with "=" means
// that package alone, without what is below it.
func (r *room) allows(path string) bool {
	if inner, ok := strings.CutPrefix(path, module); ok {
		return slices.ContainsFunc(r.ours, func(p string) bool {
			if exact, ok := strings.CutPrefix(p, "="); ok {
				return inner == exact
			}
			return within(inner, p)
		})
	}
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(r.others, func(p string) bool { return strings.HasPrefix(path, p) })
}

// pkg is what `go list` says of a package.
type pkg struct {
	ImportPath, Dir, Name, Doc string
	// GoFiles are those that are built here; tests are not among them.
	GoFiles, Imports, TestImports, XTestImports []string
}

func (p pkg) path() string { return strings.TrimPrefix(p.ImportPath, module) }

// root is the top of the checkout.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// packages lists the project's packages. It is slow, so it is done once.
var packages = sync.OnceValues(func() ([]pkg, error) {
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	var ps []pkg
	for dec := json.NewDecoder(out); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, errors.Join(err, cmd.Wait())
		}
		ps = append(ps, p)
	}
	return ps, cmd.Wait()
})

func allPackages(t *testing.T) []pkg {
	t.Helper()
	ps, err := packages()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	if len(ps) < 10 {
		t.Fatalf("got %d packages, which can not be all", len(ps))
	}
	return ps
}

func TestRoomsImportOnlyWhatTheDesignLets(t *testing.T) {
	for _, p := range allPackages(t) {
		r := roomOf(p.path())
		if r == nil {
			t.Errorf("%s: there is no such room in the design", p.path())
			continue
		}
		for _, imp := range p.Imports {
			if !r.allows(imp) {
				t.Errorf("%s imports %s, which %s may not", p.path(),
					strings.TrimPrefix(imp, module), r.path)
			}
		}
	}
}

func TestTheRuleOfImportsCanFail(t *testing.T) {
	for _, c := range []struct {
		why, from, to string
		want          bool
	}{
		{"the node is a black box", "harness/driver", module + "node/raft", false},
		{"the node knows no harness", "node/server", module + "harness/history", false},
		{"the node may import its own", "node/server", module + "node/raft", true},
		{"the harness knows no workload", "harness", module + "workloads", false},
		{"the harness knows no one system", "harness", module + "harness/sut/raftkv", false},
		{"a leaf of the harness", "harness", module + "harness/sut", true},
		{"no other client of Docker", "harness/cluster/docker", "github.com/moby/moby/client", false},
		{"the Docker client stays in one room", "harness", "github.com/docker/docker/client", false},
		{"the standard library", "harness/history", "encoding/json", true},
		{"a name that only begins alike", "node", module + "nodelike", false},
	} {
		if got := roomOf(c.from).allows(c.to); got != c.want {
			t.Errorf("%s: %s imports %s: got %v want %v", c.why, c.from, c.to, got, c.want)
		}
	}
}

func TestNodeAndHarnessMeetNotEvenInTests(t *testing.T) {
	for _, p := range allPackages(t) {
		isNode := within(p.path(), "node") || within(p.path(), "cmd/raftnode")
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			inner, ours := strings.CutPrefix(imp, module)
			if ours && isNode != within(inner, "node") && isNode != within(inner, "cmd/raftnode") {
				t.Errorf("a test of %s imports %s", p.path(), inner)
			}
		}
	}
}

// Two Docker clients in one binary have two families of types that do not fit. From version 0.42 on
// testcontainers-go brings the other one along.
func TestThereIsOneDockerClient(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mod), "github.com/moby/moby/") {
		t.Error("go.mod holds github.com/moby/moby; keep testcontainers-go at v0.41.0")
	}
}

func TestTheTopLevelHoldsWhatTheDesignLists(t *testing.T) {
	want := []string{
		".ci", ".dockerignore", ".github", ".gitignore", ".golangci.yml", "CHANGELOG.md",
		"CONTRIBUTING.md", "Dockerfile", "LICENSE", "Makefile", "README.md", "cmd",
		"docker-compose.yml", "docs", "examples", "go.mod", "go.sum", "harness", "linearizability",
		"nemesis", "node", "workloads",
	}
	// What git ignores, and what may lie there while others work.
	mayBe := []string{".git", "bin", "store"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if !slices.Contains(mayBe, e.Name()) {
			got = append(got, e.Name())
		}
	}
	slices.Sort(got)
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("(-got +want)\n%s", d)
	}
}

func TestNoFileSpeaksOfWhereItWasWritten(t *testing.T) {
	err := filepath.WalkDir(root(t), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(name, root(t)+string(filepath.Separator))
		if d.IsDir() {
			if rel == ".git" || rel == "bin" || rel == "store" {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".md", ".yml", ".patch", ""}, path.Ext(rel)) {
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, word := range []string{"/home" + "/", "/root" + "/", "/work" + "/", "../" + "shared"} {
			if strings.Contains(string(b), word) {
				t.Errorf("%s holds %q", rel, word)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
