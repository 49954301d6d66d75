// Package clustertest is the suite that every cluster.Runtime must pass: whatever the harness
// relies on when it breaks a cluster, and whatever a fault claims to have done, is seen here from
// the outside, in what the nodes themselves write.
//
// The nodes are testnode, a program that pings its peers without end and prints what came through.
// A runtime that runs no programs passes the part of the suite that needs none.
package clustertest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// patience is how long a condition may take to come true before a test fails. It is long, since
// nothing is learned from a busy machine.
const patience = 30 * time.Second

// Config says what the runtime under test can do.
type Config struct {
	// New makes the runtime; it is called once for each test.
	New func(t *testing.T) cluster.Runtime
	// Image is what the nodes run: testnode, in the form that the runtime takes. Empty for a
	// runtime that runs no programs.
	Image string
	// System is used instead of [System] where Image is empty.
	System sut.System
	// Left lists what is still there of a run; nil if the runtime can leave nothing.
	Left func(ctx context.Context, run string) ([]string, error)
	// Memoryless says why the end of a node for want of memory is not asked for; empty if it is.
	Memoryless string
}

// programs says whether the nodes are testnode.
func (c Config) programs() bool { return c.Image != "" }

// Run runs the suite. With -short it is the part that shows that clusters come up, break, mend and
// go.
func Run(t *testing.T, cfg Config) {
	quick := []string{"Boot", "KillAndStart", "CutOneWay", "Exits", "Driver", "Down"}
	for _, test := range []struct {
		name string
		run  func(*testing.T, Config)
	}{
		{"Boot", testBoot}, {"Pause", testPause}, {"KillAndStart", testKillAndStart},
		{"CutOneWay", testCutOneWay}, {"CutOutlivesKill", testCutOutlivesKill},
		{"Exits", testExits}, {"Logs", testLogs}, {"Driver", testDriver}, {"Down", testDown},
		{"DiesAtBoot", testDiesAtBoot}, {"Interrupted", testInterrupted},
		{"SideBySide", testSideBySide},
		// Abilities that a host may have.
		{"CutData", testCutData}, {"CutClients", testCutClients}, {"Reset", testReset},
		{"Shape", testShape}, {"Freeze", testFreeze}, {"Clocks", testClocks},
		{"Limits", testLimits}, {"Join", testJoin},
	} {
		if testing.Short() && !slices.Contains(quick, test.name) {
			continue
		}
		t.Run(test.name, func(t *testing.T) { test.run(t, cfg) })
	}
}

// up brings a cluster of n nodes up for one test, and takes it down at its end.
func up(t *testing.T, cfg Config, n int) (cluster.Cluster, cluster.Spec) {
	t.Helper()
	return upWith(t, cfg, n, func(*cluster.Spec) {})
}

// upWith is up with a specification that is changed before.
func upWith(t *testing.T, cfg Config, n int, change func(*cluster.Spec),
) (cluster.Cluster, cluster.Spec) {
	t.Helper()
	spec := NewSpec(t, cfg, n)
	change(&spec)
	c, err := cfg.New(t).Up(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Down(context.Background()); err != nil {
			t.Errorf("take the cluster down: %v", err)
		}
	})
	return c, spec
}

// NewSpec is the specification of a cluster of n testnodes, with a run of its own.
func NewSpec(t testing.TB, cfg Config, n int) cluster.Spec {
	spec := cluster.Spec{
		Run:    fmt.Sprintf("test-%s-%x", filepath.Base(t.Name()), rand.Uint64()),
		System: cfg.System, Image: cfg.Image, Nodes: n, LogDir: t.TempDir(),
	}
	if cfg.programs() {
		spec.System = System{}
	}
	return spec
}

// needPrograms skips a test that looks into the nodes.
func needPrograms(t *testing.T, cfg Config) {
	t.Helper()
	if !cfg.programs() {
		t.Skip("this runtime runs no programs")
	}
}

// eventually waits until ok says nil, and fails with its last error otherwise.
func eventually(t *testing.T, what string, ok func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func mustState(t *testing.T, h cluster.Host, want cluster.State) {
	t.Helper()
	got, err := h.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("state: got %s, want %s", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
