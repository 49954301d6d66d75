package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
)

// raw sends a request to the leader and returns status and body.
func (c *cluster) raw(id raft.ID, op, body string) (int, string) {
	c.t.Helper()
	url := "http://" + c.peers[id-1].ClientAddr() + "/" + op
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if body == "" && !strings.HasPrefix(op, "v1/") {
		resp, err = http.Get(url)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode, strings.TrimSpace(string(data))
}

func TestAnswersByteForByte(t *testing.T) {
	c := startCluster(t, 1)
	leader := c.leader()
	steps := []struct{ op, body, want string }{
		{"increment", `{"key":"n"}`, `{"version":2,"value":"1"}`},
		{"increment", `{"key":"n","delta":-5}`, `{"version":3,"value":"-4"}`},
		{"get", `{"key":"n","mode":"log"}`, `{"found":true,"value":"-4","version":3}`},
		{"get", `{"key":"n","mode":"stale"}`, `{"found":true,"value":"-4","version":3}`},
		{"put", `{"key":"p/1","value":"a\"b"}`, `{"version":5}`},
		{"put", `{"key":"p/2","value":"b"}`, `{"version":6}`},
		{"list", `{"prefix":"p/"}`, `{"items":[{"key":"p/1","value":"a\"b","version":5},` +
			`{"key":"p/2","value":"b","version":6}],"more":false}`},
		{"list", `{"prefix":"p/","start":"p/2","limit":1}`,
			`{"items":[{"key":"p/2","value":"b","version":6}],"more":false}`},
		{"list", `{"limit":1}`, `{"items":[{"key":"n","value":"-4","version":3}],"more":true}`},
		{"txn", `{"compare":[{"key":"p/1","version":5},{"key":"x","exists":false}],
			"then":[{"op":"put","key":"x","value":"1"},{"op":"increment","key":"x","delta":2},
			{"op":"get","key":"x"},{"op":"delete","key":"p/1"},{"op":"append","key":"p/2","value":"c"}],
			"else":[{"op":"get","key":"x"}]}`,
			`{"succeeded":true,"results":[{"version":7},{"version":7,"value":"3"},` +
				`{"found":true,"value":"3","version":7},{"deleted":true},{"version":7,"value":"bc"}]}`},
		{"txn", `{"compare":[{"key":"x","value":"1"}],"else":[{"op":"get","key":"x"}]}`,
			`{"succeeded":false,"results":[{"found":true,"value":"3","version":7}]}`},
		{"session/open", ``, `{"session":9}`},
		{"increment", `{"key":"x","session":9,"seq":1}`, `{"version":10,"value":"4"}`},
		{"increment", `{"key":"x","session":9,"seq":1}`, `{"version":10,"value":"4"}`},
		{"session/keepalive", `{"session":9}`, `{"ok":true}`},
		{"session/close", `{"session":9}`, `{"ok":true}`},
	}
	for _, s := range steps {
		if status, got := c.raw(leader, "v1/"+s.op, s.body); status != 200 || got != s.want {
			t.Errorf("%s %s:\n got %d %s\nwant %s", s.op, s.body, status, got, s.want)
		}
	}
	refusals := []struct {
		op, body, code string
		status         int
		definite       bool
	}{
		{"increment", `{"key":"p/2"}`, "not_a_number", 409, true},
		{"increment", `{"key":"x","session":9,"seq":2}`, "session_unknown", 410, false},
		{"put", `{"key":"x","value":"1","session":9}`, "bad_request", 400, true},
		{"txn", `{"compare":[{"key":"x"}]}`, "bad_request", 400, true},
		{"txn", `{"then":[{"op":"cas","key":"x"}]}`, "bad_request", 400, true},
		{"get", `{"key":"x","mode":"odd"}`, "bad_request", 400, true},
		{"list", `{"limit":-1}`, "bad_request", 400, true},
	}
	for _, r := range refusals {
		got, err := c.call(leader, r.op, r.body)
		if err != nil || got.Status != r.status || got.Code != r.code || got.Definite != r.definite {
			t.Errorf("%s %s: %+v, %v", r.op, r.body, got, err)
		}
	}
}

// TestSessionsCarryRetriesOutOnce retries each increment on one node after another until one
// answers, while leaders are killed: the sum tells whether any was carried out twice or not at all.
func TestSessionsCarryRetriesOutOnce(t *testing.T) {
	c := startCluster(t, 3)
	const clients, each = 4, 40
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range clients {
		status, body := c.raw(c.leader(), "v1/session/open", `{}`)
		var open struct {
			Session uint64 `json:"session"`
		}
		if err := json.Unmarshal([]byte(body), &open); err != nil || status != 200 {
			t.Fatal(status, body, err)
		}
		wg.Go(func() {
			for seq := 1; seq <= each; seq++ {
				for target := seq; ; target++ {
					r, err := c.call(raft.ID(target%3+1), "increment", fmt.Sprintf(
						`{"key":"sum","session":%d,"seq":%d,"ack":%d,"timeout_ms":500}`,
						open.Session, seq, seq))
					if err == nil && r.Status == 200 {
						break
					}
					time.Sleep(2 * time.Millisecond) // until somebody leads again
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
			old := c.leader()
			c.kill(old)
			c.leader()
			c.start(old)
		}
	}
	if r := c.do("get", `{"key":"sum"}`); r.Value != fmt.Sprint(clients*each) {
		t.Errorf("the sum is %s, want %d", r.Value, clients*each)
	}
	c.converged()
}

func (c *cluster) admin(op, body string) reply {
	c.t.Helper()
	return c.do("admin/"+op, body)
}

// TestMembership grows a cluster from three to five, swaps all members but one, and shrinks it,
// with clients at work all the time.
func TestMembership(t *testing.T) {
	c := newCluster(t, 6, func(cfg *Config) {
		cfg.Voters = []raft.ID{1, 2, 3}
		cfg.SnapshotEntries, cfg.KeepTail = 100, 20
	})
	for id := range raft.ID(3) {
		c.start(id + 1)
	}
	c.fill(400)
	if r, err := c.call(c.leader(), "admin/members", `{"voters":["n1","n9"]}`); err != nil ||
		r.Code != "bad_config" || !r.Definite {
		t.Errorf("unknown node: %+v, %v", r, err)
	}
	for id := raft.ID(4); id <= 6; id++ {
		c.start(id)
	}
	for _, voters := range []string{
		`"n1","n2","n3","n4","n5"`, `"n3","n4","n5","n6"`, `"n1","n2","n6"`, `"n4"`,
	} {
		c.changeTo(voters)
		c.fillAs(voters)
	}
}

// changeTo waits until a node of the cluster has the membership in force.
func (c *cluster) changeTo(voters string) {
	c.t.Helper()
	eventually(c.t, "members "+voters, func() bool {
		for id := range c.nodes {
			r, err := c.call(id, "admin/members", `{"wait":true,"voters":[`+voters+`]}`)
			if err == nil && r.Status == 200 {
				return true
			}
		}
		return false
	})
}

// fillAs writes to whichever of the voters leads.
func (c *cluster) fillAs(voters string) {
	c.t.Helper()
	for i := range 50 {
		eventually(c.t, "write with members "+voters, func() bool {
			for name := range strings.SplitSeq(voters, ",") {
				id, _ := ParseID(strings.Trim(name, `"`))
				if r, err := c.call(id, "put", putBody(fmt.Sprint(i), "v")); err == nil && r.Status == 200 {
					return true
				}
			}
			return false
		})
	}
}

func TestTransferAndSnapshotOnRequest(t *testing.T) {
	c := startCluster(t, 3)
	old := c.leader()
	c.do("put", `{"key":"a","value":"1"}`)
	to := old%3 + 1
	c.admin("transfer", fmt.Sprintf(`{"to":%q,"wait":true}`, to))
	if now := c.leader(); now != to {
		t.Errorf("%s leads, not %s", now, to)
	}
	c.admin("transfer", `{"wait":true}`)
	status, body := c.raw(old, "v1/admin/snapshot", `{}`)
	if status != 200 || c.status(old).Snapshot == 0 {
		t.Errorf("snapshot: %d %s", status, body)
	}
	if r, err := c.call(c.leader(), "admin/transfer", `{"to":"n9"}`); err != nil ||
		r.Code != "bad_config" {
		t.Errorf("transfer to a stranger: %+v, %v", r, err)
	}
}

func TestMetrics(t *testing.T) {
	c := startCluster(t, 3)
	c.do("put", `{"key":"a","value":"1"}`)
	status, body := c.raw(c.leader(), "metrics", "")
	for _, want := range []string{"\nraftnode_is_leader 1\n", "\nraftnode_writes_total 1\n",
		"\nraftnode_keys 1\n", `raftnode_events_total{event="become_leader"} 1`,
		"\nraftnode_wal_syncs_total "} {
		if !bytes.Contains([]byte(body), []byte(want)) {
			t.Errorf("%d: no %q in\n%s", status, want, body)
		}
	}
}
