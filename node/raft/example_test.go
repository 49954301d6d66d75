package raft_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/raftcheck/raftcheck/node/raft"
)

// A driver in its simplest form: a cluster of one, a disk that is a slice, and no network.
func ExampleNode() {
	node, err := raft.New(0, raft.Options{ID: 1, Rand: rand.New(rand.NewPCG(1, 2))}, raft.Restored{
		Snapshot: raft.SnapshotMeta{Config: raft.Config{Voters: []raft.ID{1}}},
	})
	if err != nil {
		panic(err)
	}
	var (
		disk []raft.Entry
		out  raft.Output
	)
	carryOut := func() {
		for node.Drain(&out) {
			disk = append(disk, out.Append...)
			for _, e := range out.Apply {
				fmt.Printf("apply %d: %q\n", e.Index, e.Data)
			}
			if out.Ticket != 0 {
				node.Persisted(out.Ticket) // the write is done; a real one would have been synced
			}
			node.Applied(out.Commit)
		}
	}
	node.Tick(node.Deadline()) // nobody leads: the election timeout passes
	carryOut()
	fmt.Println("role:", node.Role())

	index, term, err := node.Propose(node.Deadline(), [][]byte{[]byte("x = 1")})
	fmt.Println("proposed:", index, term, err)
	carryOut()
	fmt.Println("on disk:", len(disk))
	// Output:
	// apply 1: ""
	// role: leader
	// proposed: 2 1 <nil>
	// apply 2: "x = 1"
	// on disk: 2
}
