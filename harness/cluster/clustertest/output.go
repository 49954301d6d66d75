package clustertest

import (
	"bufio"
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// testLogs looks for lines that are missing or there twice, across restarts.
func testLogs(t *testing.T, cfg Config) {
	needPrograms(t, cfg)
	var mu sync.Mutex // guards told
	var told []byte
	c, spec := upWith(t, cfg, 3, func(spec *cluster.Spec) {
		spec.Lines = func(id sut.NodeID, line []byte) {
			mu.Lock()
			defer mu.Unlock()
			if id == "n1" {
				told = append(append(told, bytes.TrimSuffix(line, []byte("\n"))...), '\n')
			}
		}
	})
	h := c.Host("n1")
	for range 3 {
		flows(t, spec, "n2", "n1")
		must(t, h.Signal(t.Context(), cluster.Kill))
		must(t, h.Start(t.Context()))
	}
	flows(t, spec, "n2", "n1")
	must(t, h.Signal(t.Context(), cluster.Kill))
	must(t, c.Collect(t.Context(), spec.LogDir))
	text := logText(t, spec, "n1")
	if !strings.HasSuffix(text, "\n") {
		t.Error("the log ends in the middle of a line")
	}
	mu.Lock()
	if string(told) != text {
		t.Errorf("told %d bytes of lines that are not the %d of the log", len(told), len(text))
	}
	mu.Unlock()
	all, err := looks(spec, "n1")
	must(t, err)
	var prev Look
	for i, l := range all {
		if l.Boot < prev.Boot || l.Boot == prev.Boot && l.Line != prev.Line+1 ||
			l.Boot > prev.Boot && (l.Boot != prev.Boot+1 || l.Line != 1) {
			t.Fatalf("line %d of the log: start %d line %d comes after start %d line %d", i+1,
				l.Boot, l.Line, prev.Boot, prev.Line)
		}
		prev = l
	}
	if prev.Boot != 4 || strings.Count(text, "\n") != len(all) {
		t.Errorf("%d starts in %d lines, %d of them looks; want 4 starts and nothing else",
			prev.Boot, strings.Count(text, "\n"), len(all))
	}
}

func testDriver(t *testing.T, cfg Config) {
	needPrograms(t, cfg)
	c, spec := up(t, cfg, 2)
	dh, ok := c.(cluster.DriverHost)
	if !ok {
		t.Skip("this runtime has no client driver")
	}
	d, err := dh.Driver(t.Context())
	must(t, err)
	rw := bufio.NewReadWriter(bufio.NewReader(d), bufio.NewWriter(d))
	if got := ask(t, rw, "echo hello"); got != "hello" {
		t.Errorf("echo: got %q, want %q", got, "hello")
	}
	flows(t, spec, "n2", "n1") // it listens
	n1, long := c.Nodes()[0], strings.Repeat("x", 50_000)
	if got := ask(t, rw, "send "+addrOf(n1)+" print "+long); got != "printed" {
		t.Errorf("a node, from the driver: got %q, want %q", got, "printed")
	}
	eventually(t, "a long line in the log, whole", func() error {
		if !slices.Contains(strings.Split(logText(t, spec, "n1"), "\n"), long) {
			return errors.New("it is not there")
		}
		return nil
	})
	must(t, c.Host("n1").Signal(t.Context(), cluster.Kill))
	if got := ask(t, rw, "dial "+addrOf(n1)); !strings.Contains(got, "refused") {
		t.Errorf("a dial to a node that was killed: got %q, want it refused at once", got)
	}
	must(t, d.Close())
	must(t, d.Close())
	if n, err := d.Read(make([]byte, 1)); err == nil {
		t.Errorf("read from a closed driver: got %d bytes and no error", n)
	}
}
