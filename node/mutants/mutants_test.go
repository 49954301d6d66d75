package mutants

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var all = flag.Bool("all", false, "build and hunt every mutant, not just a few of each kind")

const root = "../.."

func load(t *testing.T) []*Mutant {
	t.Helper()
	mutants, err := Load(".")
	if err != nil {
		t.Fatal(err)
	}
	return mutants
}

// TestPatchesApply: a refactoring that moves the code must move the patches too.
func TestPatchesApply(t *testing.T) {
	mutants := load(t)
	if len(mutants) < 25 {
		t.Errorf("only %d mutants", len(mutants))
	}
	for _, m := range mutants {
		if _, err := m.Overlay(root, t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}

// TestMutantsAreFound builds mutants and lets what their headers name find them. By default a few
// of each kind; -all hunts every one.
func TestMutantsAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("building mutants takes a while")
	}
	few := []string{"A07", "B01", "B12", "C01", "D14", "E03", "F03", "F18"}
	for _, m := range load(t) {
		if m.Killed == "" || !*all && !slices.Contains(few, m.ID) {
			continue
		}
		t.Run(m.ID, func(t *testing.T) {
			overlay, err := m.Overlay(root, t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			if name, ok := strings.CutPrefix(m.Killed, "test "); ok {
				huntByTest(t, overlay, name)
			} else {
				huntBySeed(t, m, overlay)
			}
		})
	}
}

// huntByTest runs a test of the core, which must fail on the mutant.
func huntByTest(t *testing.T, overlay, name string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay,
		"-run", "^"+name+"$", "./node/raft")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: "+name) {
		t.Errorf("%s did not fail: %v\n%s", name, err, out)
	}
}

var killedBySeed = regexp.MustCompile(`^seed (\d+), (.+)$`)

// huntBySeed runs the stored seed, which must violate an invariant. Any change of the core may
// shift what a seed does, so before the mutant counts as lost, some hundred others are tried.
func huntBySeed(t *testing.T, m *Mutant, overlay string) {
	t.Helper()
	f := killedBySeed.FindStringSubmatch(m.Killed)
	if f == nil {
		t.Fatalf("killed: %q is neither \"seed N, invariant\" nor \"test Name\"", m.Killed)
	}
	bin := filepath.Join(t.TempDir(), "sim")
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlay,
		"-o", bin, "./node/sim")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	out, _ := exec.CommandContext(t.Context(), bin, "-seed", f[1]).Output()
	if strings.Contains(string(out), "VIOLATED "+f[2]) {
		return
	}
	out, _ = exec.CommandContext(t.Context(), bin, "-seeds", "500").Output()
	if !strings.Contains(string(out), "VIOLATED") {
		t.Errorf("neither seed %s nor 500 others find it\n%s", f[1], out)
		return
	}
	t.Logf("seed %s no longer finds it, others do\nhint: go run ./node/mutants/score -write %s",
		f[1], m.ID)
}

func TestHeadersAreChecked(t *testing.T) {
	good := "id: Z01\ntitle: t\nsource: s\nfault: f\nsymptom: y\nkilled: test T\n\n" +
		"diff --git a/x.go b/x.go\n--- a/x.go\n+++ b/x.go\n@@ -1 +1 @@\n-a\n+b\n"
	for name, c := range map[string]struct{ file, text, want string }{
		"complete":         {"Z01-x.patch", good, ""},
		"no title":         {"Z01-x.patch", strings.Replace(good, "title: t\n", "", 1), "are needed"},
		"unknown header":   {"Z01-x.patch", "colour: red\n" + good, "unknown header"},
		"another's name":   {"Z02-x.patch", good, "does not begin with Z01-"},
		"no diff":          {"Z01-x.patch", good[:strings.Index(good, "diff")], "nothing is changed"},
		"no word of kills": {"Z01-x.patch", strings.Replace(good, "killed: test T\n", "", 1), "neither"},
	} {
		path := filepath.Join(t.TempDir(), c.file)
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := Read(path)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
