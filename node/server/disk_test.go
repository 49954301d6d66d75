package server

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

// brokenFS is a real directory on a disk that may break: then every write to the log fails, or
// every sync does.
type brokenFS struct {
	wal.FS
	writes, syncs atomic.Bool
	slow          sync.RWMutex // while it is locked, syncs wait
}

type brokenFile struct {
	wal.File
	fs *brokenFS
}

func (b *brokenFS) Create(name string) (wal.File, error) { return b.wrap(b.FS.Create(name)) }
func (b *brokenFS) Open(name string) (wal.File, error)   { return b.wrap(b.FS.Open(name)) }

func (b *brokenFS) wrap(f wal.File, err error) (wal.File, error) {
	if err != nil {
		return nil, err
	}
	return &brokenFile{f, b}, nil
}

func (f *brokenFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fs.writes.Load() {
		return 0, syscall.ENOSPC
	}
	return f.File.WriteAt(p, off)
}

func (f *brokenFile) Sync() error {
	f.fs.slow.RLock()
	defer f.fs.slow.RUnlock()
	if f.fs.syncs.Load() {
		return syscall.EIO
	}
	return f.File.Sync()
}

// brokenCluster has three nodes on disks that may break.
func brokenCluster(t *testing.T) (*cluster, map[raft.ID]*brokenFS) {
	disks := map[raft.ID]*brokenFS{}
	c := newCluster(t, 3, func(cfg *Config) {
		id := cfg.ID
		cfg.openFS = func(dir string) wal.FS {
			disks[id] = &brokenFS{FS: wal.OSDir(dir)}
			return disks[id]
		}
	})
	for _, p := range c.peers {
		c.start(p.ID)
	}
	return c, disks
}

// TestNothingIsAcknowledgedBeforeItIsOnDisk holds up the syncs of two nodes: whatever the third one
// does, a put is not done until one of them has synced.
func TestNothingIsAcknowledgedBeforeItIsOnDisk(t *testing.T) {
	c, disks := brokenCluster(t)
	c.do("put", `{"key":"a","value":"1"}`)
	c.converged()
	leader := c.leader()
	slow := []raft.ID{1, 2, 3}
	for _, held := range [][]raft.ID{
		slices.DeleteFunc(slices.Clone(slow), func(id raft.ID) bool { return id == leader }),
		{leader, leader%3 + 1},
	} {
		for _, id := range held {
			disks[id].slow.Lock()
		}
		r, err := c.call(leader, "put", `{"key":"a","value":"2","timeout_ms":100}`)
		if err != nil || r.Code != "timeout" || r.Definite {
			t.Errorf("with the syncs of %v held up: %+v, %v", held, r, err)
		}
		disks[held[1]].slow.Unlock()
		c.do("put", `{"key":"a","value":"3"}`)
		disks[held[0]].slow.Unlock()
		c.converged()
		leader = c.leader()
	}
}

// TestABrokenDiskStopsTheNode breaks the leader's disk: it has to stop, the others go on, and what
// was acknowledged is there.
func TestABrokenDiskStopsTheNode(t *testing.T) {
	cases := map[string]func(*brokenFS){
		"full":            func(b *brokenFS) { b.writes.Store(true) },
		"syncs that fail": func(b *brokenFS) { b.syncs.Store(true) },
	}
	for name, breakIt := range cases {
		t.Run(name, func(t *testing.T) {
			c, disks := brokenCluster(t)
			c.do("put", `{"key":"a","value":"1"}`)
			victim := c.leader()
			breakIt(disks[victim])
			r, err := c.call(victim, "put", `{"key":"a","value":"2","timeout_ms":1000}`)
			if err == nil && r.Status != 200 && r.Definite {
				t.Errorf("who knows what became of it? %+v", r)
			}
			select {
			case <-c.nodes[victim].Failed():
			case <-time.After(5 * time.Second):
				t.Fatal("the node lives on")
			}
			if _, ok := errors.AsType[*DiskError](c.nodes[victim].Err()); !ok {
				t.Errorf("failed with %v", c.nodes[victim].Err())
			}
			c.kill(victim)
			c.do("append", `{"key":"a","value":"3"}`)
			disks[victim].writes.Store(false)
			c.start(victim) // on a new disk under the same directory
			if r := c.do("get", `{"key":"a"}`); r.Value != "13" && r.Value != "23" {
				t.Errorf("got %+v", r)
			}
			c.converged()
		})
	}
}

// TestEveryAcknowledgementIsSyncedOnAMajority counts: each put comes alone, so at least two nodes
// must have synced once for each.
func TestEveryAcknowledgementIsSyncedOnAMajority(t *testing.T) {
	c := startCluster(t, 3)
	c.leader()
	const puts = 100
	syncs := func() (n uint64) {
		for _, s := range c.nodes {
			n += s.wal.Stats().Syncs
		}
		return n
	}
	before := syncs()
	for range puts {
		c.do("put", `{"key":"a","value":"1"}`)
	}
	if n := syncs() - before; n < 2*puts {
		t.Errorf("%d syncs for %d puts", n, puts)
	}
}
