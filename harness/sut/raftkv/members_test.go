package raftkv

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/raftcheck/raftcheck/harness/sut"
)

func TestANewcomerKnowsAllNodesAndVotesNotYet(t *testing.T) {
	node := func(id sut.NodeID, last byte) sut.Node {
		return sut.Node{ID: id, Addr: netip.AddrFrom4([4]byte{10, 0, 0, last})}
	}
	all := []sut.Node{node("n1", 1), node("n2", 2), node("n3", 3), node("n4", 4)}
	j := System{}.Joining(all[2], all[:2], all)
	want := []string{"--id", "n3", "--peers", "n1=10.0.0.1,n2=10.0.0.2,n3=10.0.0.3,n4=10.0.0.4",
		"--data", "/data", "--trace-entries", "--voters", "n1,n2"}
	if !slices.Equal(j.Args, want) {
		t.Errorf("got %q, want %q", j.Args, want)
	}
	if j.AddFirst || j.Wipe {
		t.Errorf("got %+v: it has to run first, and to keep its disk", j)
	}
}
