package fake_test

import (
	"testing"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/clustertest"
	"github.com/raftcheck/raftcheck/harness/cluster/fake"
)

// TestRuntime lets the store in memory pass what of the suite needs no programs.
func TestRuntime(t *testing.T) {
	clustertest.Run(t, clustertest.Config{
		New:    func(*testing.T) cluster.Runtime { return fake.New(fake.Behaviour{}) },
		System: fake.New(fake.Behaviour{}),
	})
}
