package linearizability

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// equivalent are mistakes that no history can show, with the reason.
func equivalent() map[string]string {
	return map[string]string{
		"zone-inside-tie": "a backward zone that begins where a forward one does is sorted before it, " +
			"so the two are never compared in this order",
		"object-first-state": "only a dequeue without an answer, from a queue without an order, has " +
			"several outcomes; nothing that it could take is missed by an operation that it helps",
		"zone-two-cas": "the chain can only go on to one of the two, and what hangs on the other is " +
			"found by counting",
	}
}

// TestMutants plants each mistake of mutants/ in the engines and runs the tests that compare them.
// Each must be caught. It takes minutes, and runs only if RAFTCHECK_MUTANTS is set.
func TestMutants(t *testing.T) {
	if os.Getenv("RAFTCHECK_MUTANTS") == "" {
		t.Skip("RAFTCHECK_MUTANTS is not set")
	}
	patches, err := filepath.Glob("mutants/*.patch")
	if err != nil || len(patches) < 25 {
		t.Fatalf("%d mutants, %v; want at least 25", len(patches), err)
	}
	for _, path := range patches {
		name := strings.TrimSuffix(filepath.Base(path), ".patch")
		t.Run(name, func(t *testing.T) {
			caught, out := plantAndTest(t, path)
			switch reason, same := equivalent()[name]; {
			case same && caught:
				t.Errorf("it was caught, so it is not true that %s", reason)
			case !same && !caught:
				t.Errorf("it was not caught:\n%s", out)
			}
		})
	}
}

// TestMutantsApply holds that each mistake can still be planted.
func TestMutantsApply(t *testing.T) {
	patches, err := filepath.Glob("mutants/*.patch")
	if err != nil || len(patches) < 25 {
		t.Fatalf("%d mutants, %v; want at least 25", len(patches), err)
	}
	for _, path := range patches {
		if target, mutated := plant(t, path); len(mutated) == 0 {
			t.Errorf("%s leaves nothing of %s", path, target)
		}
	}
}

// plant gives the file that the patch at path changes, and what it makes of it.
func plant(t *testing.T, path string) (target string, mutated []byte) {
	t.Helper()
	patch, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer patch.Close()
	files, _, err := gitdiff.Parse(patch)
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %d files, %v; want one", path, len(files), err)
	}
	target, err = filepath.Abs(filepath.Join("..", files[0].NewName))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(target)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := gitdiff.Apply(&out, bytes.NewReader(source), files[0]); err != nil {
		t.Fatalf("%s does not apply any more: %v", path, err)
	}
	return target, out.Bytes()
}

// plantAndTest runs the tests with the patch at path in place.
func plantAndTest(t *testing.T, path string) (caught bool, out string) {
	t.Helper()
	target, mutated := plant(t, path)
	dir := t.TempDir()
	file := filepath.Join(dir, "mutated.go")
	raw, err := json.Marshal(map[string]any{"Replace": map[string]string{target: file}})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	for name, content := range map[string][]byte{file: mutated, overlay: raw} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-count=1",
		"-timeout=300s", "-run=Differential|Online|Minimized|Planted|Indeterminate|"+
			"CheckerJudges|LateStart|Refused|Antichains",
		".", "./online", "./search")
	cmd.Env = append(os.Environ(), "RAFTCHECK_MUTANTS=")
	all, err := cmd.CombinedOutput()
	if bytes.Contains(all, []byte("[build failed]")) {
		t.Fatalf("%s does not compile:\n%s", path, all)
	}
	return err != nil, string(all)
}
