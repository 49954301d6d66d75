package local

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/clustertest"
	"github.com/raftcheck/raftcheck/harness/cluster/docker"
	"github.com/raftcheck/raftcheck/nemesis/agent"
)

// TestMain lets the test binary be what raftcheck is beside a run: fabric, pod and agent, guardian,
// and a harness that will be killed.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		var err error
		ctx := context.Background()
		switch os.Args[1] {
		case "fabric":
			err = Fabric(slog.Default())
		case "pod":
			if err = Pod(os.Args[2]); err == nil {
				err = agent.Run(ctx, os.Stdin, os.Stdout, agent.Options{Stay: true})
			}
		case "guardian":
			err = Guard(os.Getenv(testDirEnv), os.Args[2], os.Stdin)
		case "harness":
			err = harnessToBeKilled(ctx, os.Args[2], os.Args[3], os.Args[4], os.Args[5])
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

const (
	testDirEnv  = "RAFTCHECK_TEST_DIR"
	testNodeEnv = "RAFTCHECK_TEST_NODE"
)

// testConfig is one whose driver is testnode.
func testConfig(dir, node string) Config {
	return Config{Fabric: []string{"test", "fabric"}, Pod: []string{"test", "pod"},
		Driver: []string{"testnode", "driver"}, DriverProgram: node, Dir: dir}
}

// testNode compiles testnode, once for all tests.
var testNode = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(testNodeEnv); path != "" {
		return path, nil // who tests as another user has compiled it
	}
	checkout, err := docker.FindCheckout(".")
	if err != nil {
		return "", err
	}
	build := docker.GoBuild{Checkout: checkout, Package: "./harness/cluster/clustertest/testnode"}
	var kept string
	err = build.Run(context.Background(), runtime.GOARCH, func(binary string) (err error) {
		kept, err = KeepProgram(binary)
		return err
	})
	return kept, err
})

// program is the node's, and a runtime for it; the test is skipped where none can be.
func program(t testing.TB) (node string, rt *Runtime, dir string) {
	t.Helper()
	node, err := testNode()
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	rt = New(testConfig(dir, node))
	if err := rt.Check(t.Context()); err != nil {
		if os.Getenv("RAFTCHECK_REQUIRE_LOCAL") == "1" {
			t.Fatalf("RAFTCHECK_REQUIRE_LOCAL=1, but %v", err)
		}
		t.Skipf("needs namespaces: %v", err)
	}
	return node, rt, dir
}

func TestRuntime(t *testing.T) {
	node, rt, dir := program(t)
	clustertest.Run(t, clustertest.Config{
		New:   func(*testing.T) cluster.Runtime { return rt },
		Image: node,
		Left:  func(_ context.Context, run string) ([]string, error) { return left(dir, run) },
		// TODO(local): it passes alone, and behind the other tests no exit is reported in 30 s.
		Memoryless: "an exit for want of memory is not always reported here",
	})
}

// left lists what there still is of a run: its directory, its control groups, its processes. Mounts
// and networks are those of namespaces, which live as long as a process in them.
func left(dir, run string) ([]string, error) {
	var all []string
	for _, pattern := range []string{filepath.Join(dir, run),
		groupRoot + "/raftcheck-" + run, groupRoot + "/*/raftcheck-" + run,
		groupRoot + "/*/*/raftcheck-" + run, groupRoot + "/*/*/*/raftcheck-" + run} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	envs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil, err
	}
	for _, file := range envs {
		env, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended, or is another user's
		}
		if strings.Contains(string(env)+"\x00", "RAFTCHECK_RUN="+run+"\x00") {
			cmd, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
			all = append(all, filepath.Dir(file)+" "+strings.ReplaceAll(string(cmd), "\x00", " "))
		}
	}
	return all, nil
}

// harnessToBeKilled brings a cluster up, says so with the guardian's process, and waits.
func harnessToBeKilled(ctx context.Context, node, dir, run, how string) error {
	cfg := testConfig(dir, node)
	if err := os.Setenv(testDirEnv, dir); err != nil {
		return err
	}
	cfg.Guardian = []string{"test", "guardian"}
	c, err := New(cfg).Up(ctx, cluster.Spec{Run: run, System: clustertest.System{}, Image: node,
		Nodes: 2, LogDir: dir})
	if err != nil {
		return err
	}
	if how == "frozen" {
		if err := c.Host("n1").(cluster.Freezer).Freeze(ctx); err != nil {
			return err
		}
	}
	fmt.Println("up", c.(*localCluster).guardian.cmd.Process.Pid)
	select {}
}

// startVictim starts a harness and waits until its cluster is up.
func startVictim(t *testing.T, node, dir, run, how string) (harness *exec.Cmd, guardian int) {
	t.Helper()
	harness = exec.Command(os.Args[0], "harness", node, dir, run, how)
	harness.Stderr = os.Stderr
	out, err := harness.StdoutPipe()
	if err == nil {
		err = harness.Start()
	}
	if err != nil {
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

// gone waits until nothing but what stays is left of a run.
func gone(t *testing.T, dir, run string, stays func(string) bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		all, err := left(dir, run)
		if err != nil {
			t.Fatal(err)
		}
		var bad []string
		for _, l := range all {
			if !stays(l) {
				bad = append(bad, l)
			}
		}
		if len(bad) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %v", bad)
		}
	}
}

func nothing(string) bool { return false }

// TestKilledHarness: a harness that is killed leaves nothing, not even if a node was frozen, which
// the kernel could not kill.
func TestKilledHarness(t *testing.T) {
	node, _, dir := program(t)
	for _, how := range []string{"running", "frozen"} {
		t.Run(how, func(t *testing.T) {
			if how == "frozen" && os.Geteuid() != 0 {
				t.Skip("needs control groups")
			}
			run := fmt.Sprintf("death-%x", time.Now().UnixNano())
			harness, _ := startVictim(t, node, dir, run, how)
			if all, err := left(dir, run); err != nil || len(all) < 5 {
				t.Fatalf("the run is made of %v, %v", all, err)
			}
			died := time.Now()
			if err := harness.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			gone(t, dir, run, nothing)
			t.Logf("gone %v after the harness", time.Since(died).Round(time.Millisecond))
		})
	}
}

// TestKilledWithGuardian: without its guardian a killed harness leaves no process all the same, and
// the next start removes the rest, of that run alone.
func TestKilledWithGuardian(t *testing.T) {
	node, rt, dir := program(t)
	living, err := rt.Up(t.Context(), cluster.Spec{Run: "living", System: clustertest.System{},
		Image: node, Nodes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := living.Down(context.Background()); err != nil {
			t.Error(err)
		}
	})
	run := fmt.Sprintf("death-%x", time.Now().UnixNano())
	harness, guardian := startVictim(t, node, dir, run, "running")
	p, err := os.FindProcess(guardian)
	if err == nil {
		err = p.Kill()
	}
	if err == nil {
		err = harness.Process.Kill()
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = harness.Wait()
	gone(t, dir, run, func(l string) bool { return !strings.HasPrefix(l, "/proc/") })
	reaped, err := ReapDead(dir, slog.Default())
	if err != nil || len(reaped) != 1 || reaped[0] != run {
		t.Errorf("reaped %v, %v; want %s", reaped, err, run)
	}
	gone(t, dir, run, nothing)
	if s, err := living.Host("n1").State(t.Context()); err != nil || s != cluster.Running {
		t.Errorf("the run that lives: %s, %v", s, err)
	}
}

// TestRootless is all of these tests as a user without any right, in a user namespace.
func TestRootless(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("they are run so already")
	}
	node, _, _ := program(t)
	const nobody = 65534
	dir := t.TempDir()
	own, theirNode, home := filepath.Join(dir, "local.test"), filepath.Join(dir, "testnode"),
		filepath.Join(dir, "home")
	for from, to := range map[string]string{"/proc/self/exe": own, node: theirNode} {
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(to, text, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(home, 0o755), os.Chown(home, nobody, nobody),
		os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), own, "-test.v", "-test.run", "TestRuntime|TestKilled",
		fmt.Sprintf("-test.short=%v", testing.Short()))
	cmd.Dir = home
	cmd.Env = append(os.Environ(), "HOME="+home, "TMPDIR="+home, testNodeEnv+"="+theirNode)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "=== ") {
			t.Log(strings.TrimSuffix(line, "\n"))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(out), "SKIP: TestRuntime (") {
		t.Skip("this kernel has no namespaces for those who are not root")
	}
}
