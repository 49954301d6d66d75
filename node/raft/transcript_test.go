package raft_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the transcripts with what happens now")

// TestTranscripts plays testdata/*.txt: a script of commands, each followed by what the nodes
// then did and said, indented. The commands are listed in stage_test.go.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(got), string(want)); diff != "" {
				t.Errorf("the conversation changed (- now, + transcript); if it should, run with -update\n%s",
					diff)
			}
		})
	}
}

// play runs the commands of a transcript and returns it with fresh output.
func play(t *testing.T, script string) []byte {
	t.Helper()
	var out bytes.Buffer
	s := &stage{t: t, out: &out}
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // former output
		}
		out.WriteString(line + "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			s.command(strings.Fields(line))
		}
	}
	return out.Bytes()
}
