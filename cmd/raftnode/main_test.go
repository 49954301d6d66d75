package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be the node: a child with this variable runs main.
func TestMain(m *testing.M) {
	if os.Getenv("RAFTNODE_TEST_CHILD") != "" {
		main()
	}
	os.Exit(m.Run())
}

// child runs the node with arguments.
func child(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "RAFTNODE_TEST_CHILD=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// finish runs a child to its end.
func finish(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := child(t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), out.String(), errs.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), errs.String()
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// trio is three nodes as processes of their own.
type trio struct {
	t     *testing.T
	dir   string
	peers string
	urls  []string
	cmds  []*exec.Cmd
}

func newTrio(t *testing.T) *trio {
	c := &trio{t: t, dir: t.TempDir(), cmds: make([]*exec.Cmd, 3)}
	var peers []string
	for i := range 3 {
		port := freePort(t)
		peers = append(peers, fmt.Sprintf("n%d=127.0.0.1:%d:%d", i+1, freePort(t), port))
		c.urls = append(c.urls, fmt.Sprintf("http://127.0.0.1:%d", port))
	}
	c.peers = strings.Join(peers, ",")
	for i := range 3 {
		c.start(i)
	}
	t.Cleanup(func() {
		for i := range 3 {
			c.signal(i, syscall.SIGKILL)
		}
	})
	return c
}

func (c *trio) args(i int) []string {
	id := fmt.Sprintf("n%d", i+1)
	return []string{"--id", id, "--peers", c.peers, "--data", filepath.Join(c.dir, id),
		"--listen", "127.0.0.1"}
}

func (c *trio) start(i int) {
	c.t.Helper()
	cmd := child(c.t, c.args(i)...)
	trace, err := os.OpenFile(filepath.Join(c.dir, fmt.Sprintf("trace%d", i)),
		os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer trace.Close()
	cmd.Stdout = trace
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.cmds[i] = cmd
}

// signal sends a signal that ends the process, and returns how it ended.
func (c *trio) signal(i int, sig syscall.Signal) int {
	cmd := c.cmds[i]
	if cmd == nil {
		return 0
	}
	c.cmds[i] = nil
	_ = cmd.Process.Signal(sig)
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// appendItem asks one node after the other until it is done; it is never sent twice to a node that
// may have taken it.
func (c *trio) appendItem(item string) {
	c.t.Helper()
	// A connection for each request: one that is kept may belong to a node that was killed.
	client := http.Client{Timeout: 5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true}}
	deadline := time.Now().Add(15 * time.Second)
	for i := 0; time.Now().Before(deadline); i++ {
		resp, err := client.Post(c.urls[i%3]+"/v1/append", "application/json",
			strings.NewReader(`{"key":"list","value":"`+item+`"}`))
		if err != nil {
			if !errors.Is(err, syscall.ECONNREFUSED) {
				c.t.Fatalf("append %s: %v", item, err)
			}
			time.Sleep(2 * time.Millisecond)
			continue
		}
		data, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			c.t.Fatal(err)
		}
		if resp.StatusCode == http.StatusOK {
			return
		}
		if !bytes.Contains(data, []byte(`"definite":true`)) {
			c.t.Fatalf("append %s: %s", item, data)
		}
		time.Sleep(2 * time.Millisecond)
	}
	c.t.Fatalf("append %s: nobody takes it", item)
}

// value reads the list on a node, or returns what went wrong.
func (c *trio) value(i int) string {
	client := http.Client{Timeout: 5 * time.Second,
		Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Post(c.urls[i]+"/v1/get", "application/json",
		strings.NewReader(`{"key":"list"}`))
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	var got struct {
		Value, Error string
	}
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		return err.Error()
	}
	return got.Value + got.Error
}

// TestProcesses kills each node in turn, with the signal that nobody can catch, while a client
// works.
func TestProcesses(t *testing.T) {
	c := newTrio(t)
	want := ""
	for i := range 12 {
		item := fmt.Sprint(i, ";")
		c.appendItem(item)
		want += item
		if i%2 == 1 {
			c.signal(i/2%3, syscall.SIGKILL)
			c.appendItem("k;")
			want += "k;"
			c.start(i / 2 % 3)
		}
	}
	for i := range 3 {
		deadline := time.Now().Add(10 * time.Second)
		for got := c.value(i); got != want; got = c.value(i) {
			if time.Now().After(deadline) {
				t.Fatalf("n%d: got %s, want %s", i+1, got, want)
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	if code, out, errs := finish(t, "health", c.urls[0]+"/healthz"); code != exitOK {
		t.Errorf("health: %d %s %s", code, out, errs)
	}
	for i := range 3 {
		if code := c.signal(i, syscall.SIGTERM); code != exitOK {
			t.Errorf("n%d ended with %d on SIGTERM", i+1, code)
		}
	}
	if code, _, _ := finish(t, "health", c.urls[0]+"/healthz"); code != exitFailure {
		t.Errorf("health of a dead node: %d", code)
	}
	checkDump(t, filepath.Join(c.dir, "n1"))
	checkTraces(t, c.dir)
}

func checkDump(t *testing.T, dir string) {
	t.Helper()
	code, out, errs := finish(t, "dump", "--json", dir)
	if code != exitOK {
		t.Fatalf("dump: %d %s", code, errs)
	}
	types := map[string]int{}
	for line := range strings.SplitSeq(strings.TrimSpace(out), "\n") {
		var l dumpLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		types[l.Type]++
	}
	if types["entry"] < 18 || types["hard_state"] == 0 || types["close"] == 0 {
		t.Errorf("dump has %v", types)
	}
	code, out, _ = finish(t, "dump", dir)
	if code != exitOK || !strings.Contains(out, "torn end: false") {
		t.Errorf("dump: %d %s", code, out)
	}
}

// checkTraces looks for two leaders in one term.
func checkTraces(t *testing.T, dir string) {
	t.Helper()
	leaders := map[uint64]string{}
	files, err := filepath.Glob(filepath.Join(dir, "trace*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var e struct {
				Node, Ev string
				Term     uint64
			}
			if err := json.Unmarshal(line, &e); err != nil {
				continue // cut off by a kill
			}
			if other := leaders[e.Term]; e.Ev == "become_leader" && other != "" {
				t.Errorf("%s and %s both led term %d", other, e.Node, e.Term)
			} else if e.Ev == "become_leader" {
				leaders[e.Term] = e.Node
			}
		}
	}
	if len(leaders) == 0 {
		t.Error("no leader in any trace")
	}
}

func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	peers := fmt.Sprintf("n1=127.0.0.1:%d:%d", freePort(t), freePort(t))
	corrupt := filepath.Join(dir, "corrupt")
	if err := os.MkdirAll(corrupt, 0o750); err != nil {
		t.Fatal(err)
	}
	segment := filepath.Join(corrupt, "wal-0000000000000001.seg")
	if err := os.WriteFile(segment, []byte("rot"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no id", []string{"--peers", peers}, exitUsage, "--id is missing"},
		{"no peers", []string{"--id", "n1"}, exitUsage, "--peers is missing"},
		{"not a peer", []string{"--id", "n2", "--peers", peers}, exitUsage, "peers lack this node, n2"},
		{"twice", []string{"--id", "n1", "--peers", peers + "," + peers}, exitUsage, "n1 is named twice"},
		{"bad id", []string{"--id", "one", "--peers", peers}, exitUsage, `node id "one"`},
		{"unknown flag", []string{"--frob"}, exitUsage, "frob"},
		{"an argument", []string{"--id", "n1", "--peers", peers, "x"}, exitUsage, `argument "x"`},
		{"slow heartbeat", []string{"--id", "n1", "--peers", peers, "--heartbeat", "1s"}, exitUsage,
			"less than two heartbeats"},
		{"a log without an owner", []string{"--id", "n1", "--peers", peers, "--data", corrupt},
			exitCorrupt, "it has a log, but no identity.json"},
		{"a file for a directory", []string{"--id", "n1", "--peers", peers, "--data", os.Args[0]},
			exitFailure, "not a directory"},
		{"dump of nothing", []string{"dump"}, exitUsage, "needs one directory"},
		{"dump of rot", []string{"dump", corrupt}, exitCorrupt, "corrupt"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			code, out, errs := finish(t, tc.args...)
			if code != tc.code || !strings.Contains(errs, tc.says) {
				t.Errorf("exit %d, want %d with %q; it said:\n%s%s", code, tc.code, tc.says, out, errs)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	code, out, _ := finish(t, "--help")
	if code != exitOK || !strings.Contains(out, "-election-timeout") ||
		!strings.Contains(out, "exit codes") {
		t.Errorf("help: %d %s", code, out)
	}
	if code, out, _ = finish(t, "version"); code != exitOK || !strings.HasPrefix(out, "raftnode ") {
		t.Errorf("version: %d %s", code, out)
	}
}

func TestFlagsFromTheEnvironment(t *testing.T) {
	t.Setenv("RAFTNODE_ID", "n2")
	t.Setenv("RAFTNODE_PEERS", "n1=a,n2=b")
	t.Setenv("RAFTNODE_HEARTBEAT", "20ms")
	cfg, _, done := parse([]string{"--heartbeat", "30ms"}, io.Discard, io.Discard)
	if done || cfg.ID != 2 || len(cfg.Peers) != 2 || cfg.Heartbeat != 30*time.Millisecond {
		t.Errorf("got %+v, %v", cfg, done)
	}
	t.Setenv("RAFTNODE_PEER_PORT", "many")
	if _, code, done := parse(nil, io.Discard, io.Discard); !done || code != exitUsage {
		t.Errorf("a port that is no number: %d, %v", code, done)
	}
}
