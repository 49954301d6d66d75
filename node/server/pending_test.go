package server

import (
	"testing"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
)

func pendingWrite(term raft.Term) (*write, waiter) {
	done := newWaiter()
	return &write{term: term, to: done}, done
}

func code(w waiter) string {
	select {
	case a := <-w:
		if a.err == nil {
			return "ok"
		}
		return a.err.Code
	default:
		return "open"
	}
}

func TestAWriteIsDecidedByTheTermCommittedAtItsIndex(t *testing.T) {
	cases := []struct {
		name      string
		terms     []raft.Term // of writes appended at the same index, one after the other
		committed raft.Term
		mine      int // which of them was committed; -1 for none
		want      []string
	}{
		{"its own", []raft.Term{2}, 2, 0, []string{"open"}},
		{"another's", []raft.Term{2}, 3, -1, []string{"overwritten"}},
		{"the later of two", []raft.Term{2, 4}, 4, 1, []string{"overwritten", "open"}},
		{"the earlier of two", []raft.Term{2, 4}, 2, 0, []string{"open", "overwritten"}},
		{"none of three", []raft.Term{2, 4, 6}, 5, -1,
			[]string{"overwritten", "overwritten", "overwritten"}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var p pendingWrites
			var writes []*write
			var waiters []waiter
			for _, term := range tc.terms {
				w, done := pendingWrite(term)
				p.add(7, w)
				writes, waiters = append(writes, w), append(waiters, done)
			}
			if got := p.decide(6, tc.committed); got != nil {
				t.Error("decided at another index")
			}
			got := p.decide(7, tc.committed)
			if tc.mine < 0 && got != nil || tc.mine >= 0 && got != writes[tc.mine] {
				t.Errorf("decided for %v", got)
			}
			for i, w := range waiters {
				if c := code(w); c != tc.want[i] {
					t.Errorf("write %d: %s, want %s", i, c, tc.want[i])
				}
			}
			if p.len() != 0 {
				t.Errorf("%d are left", p.len())
			}
		})
	}
}

// TestReadsWaitForTheirIndex has a read whose index is not applied yet.
func TestReadsWaitForTheirIndex(t *testing.T) {
	a := newApplier(kv.New(), newInbox(), nil, snapshotPolicy{1 << 40, 1 << 40}, nil, &metrics{})
	put := func(i raft.Index, value string) raft.Entry {
		c := kv.Command{Op: kv.OpPut, Key: "k", Value: value}
		return raft.Entry{Index: i, Term: 1, Kind: raft.EntryCommand, Data: c.Encode()}
	}
	done := newWaiter()
	read := readJob{2, []*read{{key: "k", to: done}}}
	first := applyJob{entries: []raft.Entry{put(1, "old")}, reads: []readJob{read}}
	if err := a.do(&first); err != nil {
		t.Fatal(err)
	}
	if c := code(done); c != "open" {
		t.Fatalf("answered too early: %s", c)
	}
	if err := a.do(&applyJob{entries: []raft.Entry{put(2, "new")}}); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-done:
		if got.Value != "new" {
			t.Errorf("got %+v", got)
		}
	default:
		t.Error("not answered")
	}
}

// TestALeaderLeftAloneLeavesItOpen kills everybody but the leader: what it has appended cannot be
// decided, and it must not say that it can.
func TestALeaderLeftAloneLeavesItOpen(t *testing.T) {
	c := startCluster(t, 3)
	leader := c.leader()
	for id := range raft.ID(3) {
		if id+1 != leader {
			c.kill(id + 1)
		}
	}
	r, err := c.call(leader, "put", `{"key":"a","value":"1"}`)
	if err != nil || r.Code != "leadership_lost" || r.Definite {
		t.Errorf("got %+v, %v", r, err)
	}
	// And rightly so: the others come back and may choose the entry.
	for id := range raft.ID(3) {
		if id+1 != leader {
			c.start(id + 1)
		}
	}
	c.do("put", `{"key":"b","value":"1"}`)
	c.converged()
}
