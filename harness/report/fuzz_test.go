package report_test

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/report"
)

// FuzzBuild makes reports of whatever a history file may hold: none may panic, fail, or hold what
// a terminal would obey.
func FuzzBuild(f *testing.F) {
	head := []byte(`{"format":"raftcheck-history","version":1,"seed":7,"nodes":["n1"]}` + "\n")
	for _, run := range []func(testing.TB) report.Input{validRun, hostileRun} {
		b := bytes.Clone(head)
		for _, op := range run(f).History.Ops {
			line, err := json.Marshal(op)
			if err != nil {
				f.Fatal(err)
			}
			b = append(append(b, line...), '\n')
		}
		f.Add(b, "Stale. Read.", int64(3))
	}
	f.Fuzz(func(t *testing.T, file []byte, words string, index int64) {
		h, err := history.Read(bytes.NewReader(file))
		if err != nil {
			return
		}
		r := report.Build(report.Input{
			Run: report.Run{ID: words, Repeat: words}, History: h, Verdict: check.Invalid,
			Why: words, Results: []check.Result{{Property: words, Validity: check.Invalid,
				Findings: []check.Finding{{Class: words, Key: words, Text: words,
					Ops: []int64{index, 0}, Time: 1}}}},
		})
		for ext, write := range renderings {
			var b bytes.Buffer
			if err := write(r, &b); err != nil {
				t.Errorf("%s: %v", ext, err)
			}
			if ext != "txt" {
				continue
			}
			for _, c := range b.Bytes() {
				if c != '\n' && (c < ' ' || c > '~') {
					t.Fatalf("the text holds byte %q", c)
				}
			}
		}
	})
}

func TestTimesThatNoRunHasDoNoHarm(t *testing.T) {
	for _, at := range []time.Duration{math.MinInt64, -5, 1, 999, 1 << 40, 1 << 61, math.MaxInt64} {
		for _, p := range []history.Process{0, history.Nemesis, history.Observer} {
			h := &history.History{Ops: []history.Op{
				{Process: p, Type: history.Invoke, F: "read", Time: 0},
				{Process: p, Type: history.Ok, F: "read", Time: at, Index: 1},
			}}
			r := report.Build(report.Input{History: h})
			for ext, write := range renderings {
				if err := write(r, io.Discard); err != nil {
					t.Errorf("time %d, %s: %v", at, ext, err)
				}
			}
		}
	}
}
