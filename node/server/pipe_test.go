package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/node/client"
	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wire"
)

func (c *cluster) dial(id raft.ID) *client.Conn {
	c.t.Helper()
	conn, err := client.Dial(c.t.Context(), c.peers[id-1].ClientAddr())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestPipelinedClients(t *testing.T) {
	c := startCluster(t, 3)
	leader := c.leader()
	conn := c.dial(leader)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			key := fmt.Sprint("k", i)
			for n := range 20 {
				r, err := conn.Do(t.Context(), &kv.Command{Op: kv.OpIncrement, Key: key, Delta: 1})
				if err != nil || r.Value != fmt.Sprint(n+1) {
					t.Errorf("increment %d of %s: %+v, %v", n, key, r, err)
					return
				}
				if r, err = conn.Get(t.Context(), key); err != nil || r.Value != fmt.Sprint(n+1) {
					t.Errorf("get %s: %+v, %v", key, r, err)
				}
			}
		})
	}
	wg.Wait()
	c.converged()
}

func TestRefusalsOverThePipe(t *testing.T) {
	c := startCluster(t, 3)
	leader := c.leader()
	put := &kv.Command{Op: kv.OpPut, Key: "k", Value: "v"}
	cases := []struct {
		name string
		on   raft.ID
		do   *kv.Command
		code string
	}{
		{"follower", leader%3 + 1, put, "not_leader"},
		{"no key", leader, &kv.Command{Op: kv.OpPut}, "bad_request"},
		{"large", leader, &kv.Command{Op: kv.OpPut, Key: "k",
			Value: strings.Repeat("x", kv.MaxValue+1)}, "too_large"},
		{"no session", leader, &kv.Command{Op: kv.OpPut, Key: "k",
			Session: kv.Session{ID: 9, Seq: 1}}, "session_unknown"},
	}
	for _, tc := range cases {
		_, err := c.dial(tc.on).Do(t.Context(), tc.do)
		e, ok := errors.AsType[*wire.Error](err)
		if !ok || e.Code != tc.code || e.Definite != (tc.code != "session_unknown") {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.code == "not_leader" && e.Leader != uint64(leader) {
			t.Errorf("leader hint %d", e.Leader)
		}
	}
}

func TestGarbageEndsTheConnectionAlone(t *testing.T) {
	c := startCluster(t, 1)
	leader := c.leader()
	for _, garbage := range []string{wire.Magic + "\xff\xff\xff\xff1234567890",
		"RAFTKV9\nxxxx\r\n\r\n",
		wire.Magic + strings.Repeat("\x00", 100)} {
		conn, err := net.Dial("tcp", c.peers[0].ClientAddr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		for err == nil { // the node hangs up, or answers in HTTP that it does not understand
			_, err = conn.Read(buf)
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: the connection stays", garbage)
		}
		_ = conn.Close()
	}
	if _, err := c.dial(leader).Do(t.Context(), &kv.Command{Op: kv.OpPut, Key: "k"}); err != nil {
		t.Error(err)
	}
}

// TestABrokenConnectionTellsEveryone kills the node under a client.
func TestABrokenConnectionTellsEveryone(t *testing.T) {
	c := startCluster(t, 3)
	leader := c.leader()
	conn := c.dial(leader)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for {
				_, err := conn.Do(t.Context(), &kv.Command{Op: kv.OpPut, Key: "k"})
				if err == nil {
					continue
				}
				e, answered := errors.AsType[*wire.Error](err)
				if answered && e.Code != "interrupted" && e.Code != "stopping" ||
					!answered && !errors.Is(err, client.ErrBroken) {
					t.Errorf("got %v", err)
				}
				return
			}
		})
	}
	for range 50 {
		if _, err := conn.Get(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	c.kill(leader)
	wg.Wait()
}
