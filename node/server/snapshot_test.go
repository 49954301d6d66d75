package server

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/snapshot"
)

func snapshotCluster(t *testing.T) *cluster {
	c := newCluster(t, 3, func(cfg *Config) { cfg.SnapshotEntries, cfg.KeepTail = 100, 20 })
	for _, p := range c.peers {
		c.start(p.ID)
	}
	return c
}

// fill puts n values by several clients at once.
func (c *cluster) fill(n int) {
	c.t.Helper()
	var at atomic.Value // of whom to ask
	at.Store(c.leader())
	var wg sync.WaitGroup
	for client := range 8 {
		wg.Go(func() {
			for i := range n / 8 {
				body := putBody(fmt.Sprintf("%d-%d", client, i%50), "x")
				// A busy machine may cost the leader its term. To repeat such a put does no harm.
				eventually(c.t, "put "+body, func() bool {
					r, err := c.call(at.Load().(raft.ID), "put", body)
					if err == nil && r.Status == 200 {
						return true
					}
					at.Store(at.Load().(raft.ID)%raft.ID(len(c.peers)) + 1)
					return false
				})
			}
		})
	}
	wg.Wait()
}

func (c *cluster) status(id raft.ID) Status {
	c.t.Helper()
	st, err := c.nodes[id].Status()
	if err != nil {
		c.t.Fatal(err)
	}
	return st
}

func TestASlowFollowerCatchesUpThroughASnapshot(t *testing.T) {
	c := snapshotCluster(t)
	leader := c.leader()
	slow := leader%3 + 1
	c.kill(slow)
	c.fill(800)
	eventually(t, "a snapshot that the log in memory does not reach back behind", func() bool {
		st := c.status(leader)
		return st.Snapshot > 600 && st.First > 500
	})
	c.start(slow)
	c.fill(80) // the leader serves meanwhile
	c.converged()
	if st := c.status(slow); st.Snapshot < 600 {
		t.Errorf("the follower came up without a snapshot: %+v", st)
	}
	// It lives on from there, and so it does after a crash.
	c.kill(slow)
	c.start(slow)
	c.fill(16)
	c.converged()
}

func TestRestartFromSnapshots(t *testing.T) {
	c := snapshotCluster(t)
	for range 3 {
		c.fill(400)
		c.converged()
		for id := range raft.ID(3) {
			c.kill(id + 1)
		}
		for id := range raft.ID(3) {
			s := c.start(id + 1)
			if st, _ := s.Status(); st.Snapshot < 100 {
				t.Errorf("no snapshot: %+v", st)
			}
		}
	}
	c.converged()
}

func TestADamagedOrMissingSnapshotIsRefused(t *testing.T) {
	c := snapshotCluster(t)
	c.fill(800)
	eventually(t, "snapshots", func() bool { return c.status(1).Snapshot > 600 })
	c.kill(1)
	files, err := filepath.Glob(filepath.Join(c.dir, "n1", "snap-*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no snapshot files", err)
	}
	newest := files[len(files)-1]
	data, err := os.ReadFile(newest)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(newest, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"damaged", "missing"} {
		_, err := Start(c.config(1))
		if _, ok := errors.AsType[*snapshot.DamagedError](err); !ok {
			t.Errorf("%s: %v", what, err)
		}
		if err := os.Remove(newest); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
}

// TestMemoryStaysBoundedWithAFollowerDown writes many times what may stay in memory. A follower
// that is down must not hold the log back.
func TestMemoryStaysBoundedWithAFollowerDown(t *testing.T) {
	const every, tail, size = 1000, 500, 1000
	c := newCluster(t, 3, func(cfg *Config) {
		cfg.SnapshotEntries, cfg.KeepTail = every, tail
		// However slow the machine is, the leader stays: two nodes have no other to fall back on.
		cfg.Heartbeat, cfg.ElectionTimeout = 100*time.Millisecond, 3*time.Second
	})
	for _, p := range c.peers {
		c.start(p.ID)
	}
	leader := c.leader()
	c.kill(leader%3 + 1)
	conn := c.dial(leader)
	value := strings.Repeat("x", size)
	var highest atomic.Int64
	var wg sync.WaitGroup
	for client := range 64 {
		wg.Go(func() {
			for i := range 20 * every / 64 {
				put := &kv.Command{Op: kv.OpPut, Key: fmt.Sprint(client), Value: value}
				if _, err := conn.Do(t.Context(), put); err != nil {
					t.Error(err)
					return
				}
				if i%10 == 0 {
					st, err := c.nodes[leader].Status()
					if err != nil {
						t.Error(err)
						return
					}
					highest.Store(max(highest.Load(), int64(st.LogBytes)))
				}
			}
		})
	}
	wg.Wait()
	// While a snapshot is written the log grows; twice the interval and the tail are plenty.
	if limit := int64((3*every + tail) * (size + 100)); highest.Load() > limit {
		t.Errorf("the log took up to %d bytes in memory, the limit is %d", highest.Load(), limit)
	}
	files, err := filepath.Glob(filepath.Join(c.dir, leader.String(), "wal-*.seg"))
	if err != nil || len(files) > 8 {
		t.Errorf("%d segments of 1 MiB on disk, %v", len(files), err)
	}
	c.start(leader%3 + 1)
	c.converged()
}
