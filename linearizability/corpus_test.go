package linearizability

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/linearizability/edn"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// TestJepsenLogs judges the logs of a Jepsen test of etcd that come with porcupine, and compares
// with what porcupine's own tests expect of them.
func TestJepsenLogs(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/anishathalye/porcupine").Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		t.Skip("the source of porcupine is not here")
	}
	tests, err := os.ReadFile(filepath.Join(dir, "porcupine_test.go"))
	if err != nil {
		t.Skip(err)
	}
	expected := regexp.MustCompile(`checkJepsen\(t, (\d+), (true|false)\)`)
	if !expected.Match(tests) {
		expected = regexp.MustCompile(`(?s)func TestEtcdJepsen(\d+)\(.*?, (true|false)\)`)
	}
	judged, illegal := 0, 0
	for _, m := range expected.FindAllSubmatch(tests, -1) {
		num := strings.Repeat("0", max(0, 3-len(m[1]))) + string(m[1])
		raw, err := os.ReadFile(filepath.Join(dir, "test_data", "jepsen", "etcd_"+num+".log"))
		if err != nil {
			t.Fatal(err)
		}
		h, err := edn.Read(bytes.NewReader(raw), edn.Options{Refused: true})
		if err != nil {
			t.Fatalf("log %s: %v", num, err)
		}
		res := judge(t, h)
		want := check.Valid
		if string(m[2]) == "false" {
			want = check.Invalid
			illegal++
		}
		if res.Validity != want {
			t.Errorf("log %s: got %v (%s), want %v", num, res.Validity, res.Reason, want)
		}
		if judged++; testing.Short() {
			continue
		}
		calls, err := h.Calls()
		if err != nil {
			t.Fatal(err)
		}
		keys, err := decode(h, calls)
		if err != nil {
			t.Fatal(err)
		}
		if p := byPorcupine(t.Context(), keys[0].ops, DefaultBudget()); p.Answer == register.Undecided ||
			(p.Answer == register.Legal) != (res.Validity == check.Valid) {
			t.Errorf("log %s: porcupine says %v, we say %v", num, p.Answer, res.Validity)
		}
	}
	if judged < 100 || illegal < 10 {
		t.Errorf("only %d logs were judged, %d of them illegal", judged, illegal)
	}
	t.Logf("%d logs, %d illegal", judged, illegal)
}
