package docker

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/clustertest"
)

// TestMain lets the test binary stand in for a harness that will be killed, and for its guardian.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		var err error
		switch os.Args[1] {
		case "harness":
			err = harnessToBeKilled(os.Args[2], os.Args[3], os.Args[4] == "keep")
		case "guardian":
			err = Guard(context.Background(), os.Args[2], os.Stdin, slog.Default())
		default:
			os.Exit(m.Run())
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// harnessToBeKilled brings a cluster up, says so with the guardian's process (0 if there is none),
// and waits to be killed.
func harnessToBeKilled(image, run string, keep bool) error {
	ctx := context.Background()
	e, err := Connect(ctx, nil)
	if err != nil {
		return err
	}
	rt := New(e, Config{ToolImage: image, Guardian: []string{os.Args[0], "guardian"}})
	c, err := rt.Up(ctx, cluster.Spec{Run: run, System: clustertest.System{}, Image: image, Nodes: 2,
		Keep: keep})
	if err != nil {
		return err
	}
	pid := 0
	if g := c.(*dockerCluster).guardian; g != nil {
		pid = g.cmd.Process.Pid
	}
	fmt.Println("up", pid)
	select {}
}

// startVictim starts a harness and waits until its cluster is up.
func startVictim(t *testing.T, image, run, keep string) (harness *exec.Cmd, guardian int) {
	t.Helper()
	harness = exec.Command(os.Args[0], "harness", image, run, keep)
	harness.Stderr = os.Stderr
	out, err := harness.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := harness.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = harness.Process.Kill()
		_ = harness.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	guardian, err = strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "up "))
	if err != nil {
		t.Fatal(err)
	}
	return harness, guardian
}

func newRun(t *testing.T) string { return fmt.Sprintf("death-%x", time.Now().UnixNano()) }

func mustBeLeft(t *testing.T, e *Engine, run string, want int) {
	t.Helper()
	left, err := e.left(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != want {
		t.Fatalf("left of run %s: got %v, want %d items", run, left, want)
	}
}

// itemsOfTwo is what a cluster of two is made of: a network, and for each node two containers and a
// volume.
const itemsOfTwo = 7

// TestGuardian: a harness that is killed leaves nothing, since its guardian reaps.
func TestGuardian(t *testing.T) {
	e := testEngine(t)
	run := newRun(t)
	t.Cleanup(func() { _, _ = e.Reap(context.Background(), run) })
	harness, _ := startVictim(t, testImage(t, e), run, "remove")
	mustBeLeft(t, e, run, itemsOfTwo)
	died := time.Now()
	if err := harness.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for {
		left, err := e.left(t.Context(), run)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			t.Logf("gone %v after the harness", time.Since(died).Round(time.Millisecond))
			return
		}
		if time.Since(died) > 30*time.Second {
			t.Fatalf("left behind: %v", left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestReapDead: when the guardian was killed as well, the next start removes exactly that run, and
// nothing of one whose owner lives or that is kept.
func TestReapDead(t *testing.T) {
	e := testEngine(t)
	image := testImage(t, e)
	dead, living, kept := newRun(t), newRun(t)+"-living", newRun(t)+"-kept"
	for _, run := range []string{dead, living, kept} {
		t.Cleanup(func() { _, _ = e.Reap(context.Background(), run) })
	}
	_, err := testRuntime(t, e, image).Up(t.Context(), cluster.Spec{Run: living,
		System: clustertest.System{}, Image: image, Nodes: 2})
	if err != nil {
		t.Fatal(err)
	}
	for run, keep := range map[string]string{dead: "remove", kept: "keep"} {
		harness, guardian := startVictim(t, image, run, keep)
		if (guardian == 0) != (keep == "keep") {
			t.Fatalf("to %s: the guardian is process %d", keep, guardian)
		}
		if guardian != 0 {
			p, err := os.FindProcess(guardian)
			if err == nil {
				err = p.Kill()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := harness.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = harness.Wait()
		mustBeLeft(t, e, run, itemsOfTwo)
	}

	reaped, err := e.ReapDead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range []string{living, kept} {
		if slices.ContainsFunc(reaped, func(r Run) bool { return r.ID == run }) {
			t.Errorf("run %s was reaped", run)
		}
		mustBeLeft(t, e, run, itemsOfTwo)
	}
	// Another raftcheck that begins on this engine does the same, and may have been first.
	for _, r := range reaped {
		if r.ID == dead && len(r.Items) != itemsOfTwo {
			t.Errorf("reaped: got %+v, want run %s with %d items", r, dead, itemsOfTwo)
		}
	}
	mustBeLeft(t, e, dead, 0)
}

func TestOwner(t *testing.T) {
	me := self()
	back, ok := parseOwner(me.label(), me.boot)
	if !ok || back != me {
		t.Errorf("parse %q: got %+v, want %+v", me.label(), back, me)
	}
	if me.started == 0 || me.boot == "" {
		t.Skip("no /proc here")
	}
	otherUse, otherBoot, otherHost, noPID := me, me, me, me
	otherUse.started--
	otherBoot.boot = "0/pid:[1]"
	otherHost.host += "x"
	noPID.pid = 1 << 30
	for _, c := range []struct {
		name string
		o    owner
		want life
	}{
		{"this process", me, alive},
		{"an earlier process of the same number", otherUse, dead},
		{"a number that is free", noPID, dead},
		{"another boot of the machine, or another container", otherBoot, unknown},
		{"another machine", otherHost, unknown},
	} {
		if got := c.o.life(); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
	for _, bad := range []string{"", "host", "host:1", "host:x:1", "host:1:x"} {
		if o, ok := parseOwner(bad, ""); ok {
			t.Errorf("owner %q: got %+v, want none", bad, o)
		}
	}
}
