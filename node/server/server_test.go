package server

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

func TestEveryOperation(t *testing.T) {
	c := startCluster(t, 3)
	steps := []struct {
		op, body string
		want     reply
	}{
		{"get", `{"key":"a"}`, reply{}},
		{"put", `{"key":"a","value":"1"}`, reply{Version: 2}},
		{"get", `{"key":"a"}`, reply{Found: true, Value: "1", Version: 2}},
		{"cas", `{"key":"a","old":"2","new":"3"}`, reply{Found: true, Value: "1", Version: 2}},
		{"cas", `{"key":"a","old":"1","new":"2"}`, reply{Swapped: true, Version: 4}},
		{"append", `{"key":"a","value":" \"\u00e9\n"}`, reply{Value: "2 \"é\n", Version: 5}},
		{"delete", `{"key":"a"}`, reply{Deleted: true}},
		{"delete", `{"key":"a"}`, reply{}},
		{"cas", `{"key":"a","new":"x"}`, reply{Swapped: true, Version: 8}},
		{"cas", `{"key":"a","new":"y"}`, reply{Found: true, Value: "x", Version: 8}},
	}
	for i, s := range steps {
		s.want.Status = http.StatusOK
		if got := c.do(s.op, s.body); got != s.want {
			t.Errorf("step %d, %s %s: got %+v, want %+v", i, s.op, s.body, got, s.want)
		}
	}
	c.converged()
}

func TestAFollowerReadsWhatTheLeaderHasAcknowledged(t *testing.T) {
	c := startCluster(t, 3)
	leader := c.leader()
	for i := range 20 {
		value := strconv.Itoa(i)
		if r, err := c.call(leader, "put", putBody("a", value)); err != nil || r.Status != 200 {
			t.Fatalf("put: %+v, %v", r, err)
		}
		for id := range c.nodes {
			r, err := c.call(id, "get", `{"key":"a"}`)
			if err != nil || r.Status != 200 || r.Value != value {
				t.Errorf("%s reads %+v, %v, want %s", id, r, err, value)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	c := startCluster(t, 3)
	leader := c.leader()
	follower := leader%3 + 1
	long := strings.Repeat("x", kv.MaxValue+1)
	cases := []struct {
		name, op, body string
		on             raft.ID
		status         int
		code           string
	}{
		{"no JSON", "put", `{`, leader, 400, "bad_request"},
		{"wrong type", "put", `{"key":"a","value":1}`, leader, 400, "bad_request"},
		{"no key", "put", `{"value":"1"}`, leader, 400, "bad_request"},
		{"empty key", "put", `{"key":"","value":"1"}`, leader, 400, "bad_request"},
		{"no value", "put", `{"key":"a"}`, leader, 400, "bad_request"},
		{"no new value", "cas", `{"key":"a","old":"1"}`, leader, 400, "bad_request"},
		{"no such operation", "drop", `{"key":"a"}`, leader, 400, "bad_request"},
		{"negative time", "get", `{"key":"a","timeout_ms":-1}`, leader, 400, "bad_request"},
		{"large value", "put", putBody("a", long), leader, 413, "too_large"},
		{"large key", "get", `{"key":"` + long + `"}`, leader, 413, "too_large"},
		{"huge body", "put", putBody("a", strings.Repeat("x", maxBody)), leader, 413, "too_large"},
		{"write on a follower", "put", `{"key":"a","value":"1"}`, follower, 421, "not_leader"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r, err := c.call(tc.on, tc.op, tc.body)
			if err != nil || r.Status != tc.status || r.Code != tc.code || !r.Definite {
				t.Errorf("got %+v, %v", r, err)
			}
			if tc.code == "not_leader" && r.Leader != leader.String() {
				t.Errorf("leader hint %q, want %s", r.Leader, leader)
			}
		})
	}
	if st, _ := c.nodes[leader].Status(); st.LastIndex != 1 {
		t.Errorf("refused requests are in the log: it ends at %d", st.LastIndex)
	}
}

func TestANodeAloneKnowsNoLeader(t *testing.T) {
	c := newCluster(t, 3, nil)
	c.start(1)
	r, err := c.call(1, "put", `{"key":"a","value":"1"}`)
	if err != nil || r.Status != 503 || r.Code != "no_leader" || !r.Definite {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestRestartFromDisk(t *testing.T) {
	c := startCluster(t, 3)
	var last reply
	for i := range 50 {
		last = c.do("put", putBody(fmt.Sprint("k", i%7), fmt.Sprint(i)))
	}
	for id := range raft.ID(3) {
		if id == 1 {
			stop(t, c.nodes[id+1])
			delete(c.nodes, id+1)
		} else {
			c.kill(id + 1)
		}
	}
	for id := range raft.ID(3) {
		c.start(id + 1)
	}
	r := c.do("get", `{"key":"k0"}`)
	if r.Value != "49" || r.Version != last.Version {
		t.Errorf("after the restart: %+v, the last version was %d", r, last.Version)
	}
	c.converged()
}

// TestAStoppedLeaderHandsOver has clients write while one leader after another is stopped in good
// order: nobody waits for an election, and nothing is left open.
func TestAStoppedLeaderHandsOver(t *testing.T) {
	c := startCluster(t, 3)
	c.do("put", `{"key":"a","value":"1"}`)
	c.converged()
	for range 3 {
		term := c.status(c.leader()).Term
		old := c.leader()
		stop(t, c.nodes[old])
		delete(c.nodes, old)
		c.leader() // whoever did not win has yet to hear of who did
		for id := range c.nodes {
			if st := c.status(id); st.Term != term+1 {
				t.Errorf("%s has leader %q in term %d, not %d", id, st.Leader, st.Term, term+1)
			}
		}
		c.start(old)
		c.do("put", `{"key":"a","value":"1"}`)
		c.converged()
	}
}

func TestLeaderLoss(t *testing.T) {
	c := startCluster(t, 3)
	c.do("put", `{"key":"a","value":"0"}`)
	for i := range 3 {
		old := c.leader()
		c.kill(old)
		c.do("append", `{"key":"a","value":"`+fmt.Sprint(i+1)+`"}`)
		c.start(old)
	}
	if r := c.do("get", `{"key":"a"}`); r.Value != "0123" {
		t.Errorf("got %+v", r)
	}
	c.converged()
}

// TestAnswersAreKept has clients append unique items while nodes are killed. What was acknowledged
// is there once, what was definitely refused is not there, and nothing is there twice.
func TestAnswersAreKept(t *testing.T) {
	c := startCluster(t, 3)
	c.leader()
	var mu sync.Mutex
	outcome := map[string]string{} // item to "ok", "definite" or "open"
	stopClients := make(chan struct{})
	var wg sync.WaitGroup
	for client := range 6 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stopClients:
					return
				default:
				}
				item := fmt.Sprintf("%d-%d;", client, i)
				r, err := c.call(raft.ID(client%3+1), "append",
					`{"key":"list","timeout_ms":2000,"value":"`+item+`"}`)
				o := "open"
				switch {
				case err != nil:
				case r.Status == http.StatusOK:
					o = "ok"
				case r.Definite:
					o = "definite"
				}
				mu.Lock()
				outcome[item] = o
				mu.Unlock()
				if o != "ok" {
					time.Sleep(time.Millisecond) // a node that is down refuses very quickly
				}
			}
		})
	}
	for range 3 {
		for id := range raft.ID(3) {
			c.kill(id + 1)
			c.leader()
			c.start(id + 1)
			c.leader()
		}
	}
	close(stopClients)
	wg.Wait()
	items := strings.SplitAfter(c.do("get", `{"key":"list"}`).Value, ";")
	counts := map[string]int{}
	seen := map[string]int{}
	for _, item := range items {
		seen[item]++
	}
	for item, o := range outcome {
		counts[o]++
		n := seen[item]
		if n > 1 || o == "ok" && n != 1 || o == "definite" && n != 0 {
			t.Errorf("%s was %s, and is there %d times", item, o, n)
		}
	}
	t.Logf("outcomes: %v", counts)
	if counts["ok"] == 0 || counts["definite"] == 0 {
		t.Errorf("nothing was tested: %v", counts)
	}
	c.converged()
}

// TestTornEndAndCorruption damages the log of a follower that is down.
func TestTornEndAndCorruption(t *testing.T) {
	c := startCluster(t, 3)
	for i := range 20 {
		c.do("put", putBody("k", fmt.Sprint(i)))
	}
	c.converged()
	victim := c.leader()%3 + 1
	c.kill(victim)
	file := filepath.Join(c.dir, victim.String(), "wal-0000000000000001.seg")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	end := len(bytes.TrimRight(data, "\x00"))

	// A crash cut off a write: a frame begins, and does not end.
	torn := slices.Clone(data)
	end = (end + 7) / 8 * 8
	copy(torn[end:], data[64:84])
	copy(torn[end+40:], "a sector that was written")
	if err := os.WriteFile(file, torn, 0o640); err != nil {
		t.Fatal(err)
	}
	c.start(victim)
	c.do("put", putBody("k", "after"))
	c.converged()
	c.kill(victim)

	data, err = os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[end/2] ^= 1
	if err := os.WriteFile(file, data, 0o640); err != nil {
		t.Fatal(err)
	}
	_, err = Start(c.config(victim))
	if _, ok := errors.AsType[*wal.CorruptError](err); !ok {
		t.Errorf("started from a damaged log: %v", err)
	}
}

func TestForeignDirectoriesAreRefused(t *testing.T) {
	c := startCluster(t, 1)
	c.leader()
	stop(t, c.nodes[1])
	delete(c.nodes, 1)
	cases := map[string]func(*Config){
		"another node": func(cfg *Config) {
			cfg.ID = 2
			cfg.Peers = []Peer{{2, "127.0.0.1", freePort(t), freePort(t)}}
		},
		"another cluster": func(cfg *Config) { cfg.Cluster = "other" },
	}
	for name, edit := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := c.config(1)
			edit(&cfg)
			if _, err := Start(cfg); !errors.Is(err, ErrIdentity) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := os.Remove(filepath.Join(c.dir, "n1", identityName)); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(c.config(1)); !errors.Is(err, ErrIdentity) {
		t.Errorf("a log without an owner: %v", err)
	}
}

func TestADirectoryIsUsedByOneNodeAtATime(t *testing.T) {
	c := startCluster(t, 1)
	c.leader()
	cfg := c.config(1)
	cfg.Peers = []Peer{{1, "127.0.0.1", freePort(t), freePort(t)}}
	if _, err := Start(cfg); !errors.Is(err, ErrInUse) {
		t.Errorf("a second node in the same directory: %v", err)
	}
	c.do("put", `{"key":"a","value":"1"}`)
}

func TestANodeThatLostItsDiskIsKeptOut(t *testing.T) {
	c := startCluster(t, 3)
	c.do("put", `{"key":"a","value":"1"}`)
	c.converged()
	victim := c.leader()%3 + 1
	c.kill(victim)
	if err := os.RemoveAll(filepath.Join(c.dir, victim.String())); err != nil {
		t.Fatal(err)
	}
	s := c.start(victim)
	for i := range 20 {
		r, err := c.call(victim%3+1, "put", putBody("a", fmt.Sprint(i)))
		if err == nil && r.Leader != "" {
			other, _ := ParseID(r.Leader)
			r, err = c.call(other, "put", putBody("a", fmt.Sprint(i)))
		}
		if err != nil || r.Status != 200 {
			t.Errorf("the others: %+v, %v", r, err)
		}
	}
	if st, _ := s.Status(); st.Term != 0 || st.LastIndex != 0 || st.Leader != "" {
		t.Errorf("it takes part: %+v", st)
	}
}

func TestLeaseReads(t *testing.T) {
	c := newCluster(t, 3, func(cfg *Config) { cfg.LeaseReads = true })
	for _, p := range c.peers {
		c.start(p.ID)
	}
	for i := range 20 {
		c.do("put", putBody("a", fmt.Sprint(i)))
		if r := c.do("get", `{"key":"a"}`); r.Value != fmt.Sprint(i) {
			t.Errorf("got %+v, want %d", r, i)
		}
	}
}
