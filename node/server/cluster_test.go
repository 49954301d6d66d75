package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
)

// cluster is a few servers on the loopback interface.
type cluster struct {
	t     *testing.T
	peers []Peer
	dir   string
	nodes map[raft.ID]*Server
	trace map[raft.ID]*safeBuffer
	edit  func(*Config)
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func newCluster(t *testing.T, n int, edit func(*Config)) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), nodes: map[raft.ID]*Server{},
		trace: map[raft.ID]*safeBuffer{}, edit: edit}
	for i := range n {
		c.peers = append(c.peers, Peer{raft.ID(i + 1), "127.0.0.1", freePort(t), freePort(t)})
	}
	t.Cleanup(func() {
		for _, s := range c.nodes {
			s.Kill()
		}
	})
	return c
}

func startCluster(t *testing.T, n int) *cluster {
	t.Helper()
	c := newCluster(t, n, nil)
	for _, p := range c.peers {
		c.start(p.ID)
	}
	return c
}

func (c *cluster) config(id raft.ID) Config {
	if c.trace[id] == nil {
		c.trace[id] = &safeBuffer{}
	}
	cfg := Config{
		ID: id, Peers: c.peers, Data: filepath.Join(c.dir, id.String()), Listen: "127.0.0.1",
		Trace: c.trace[id], Log: slog.New(slog.DiscardHandler), SegmentSize: 1 << 20,
	}
	if testing.Verbose() {
		cfg.Log = slog.New(slog.NewTextHandler(c.t.Output(), nil)).With("node", id.String())
	}
	if c.edit != nil {
		c.edit(&cfg)
	}
	return cfg
}

func (c *cluster) start(id raft.ID) *Server {
	c.t.Helper()
	s, err := Start(c.config(id))
	if err != nil {
		c.t.Fatalf("start %s: %v", id, err)
	}
	c.nodes[id] = s
	return s
}

func (c *cluster) kill(id raft.ID) {
	c.nodes[id].Kill()
	delete(c.nodes, id)
}

// reply is any answer of the API.
type reply struct {
	Status   int    `json:"-"`
	Error    string `json:"error"`
	Code     string `json:"code"`
	Definite bool   `json:"definite"`
	Leader   string `json:"leader"`
	Found    bool   `json:"found"`
	Value    string `json:"value"`
	Version  uint64 `json:"version"`
	Swapped  bool   `json:"swapped"`
	Deleted  bool   `json:"deleted"`
}

// call sends a request to one node. An error means that there was no answer.
func (c *cluster) call(id raft.ID, op, body string) (reply, error) {
	url := "http://" + c.peers[id-1].ClientAddr() + "/v1/" + op
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{}, err
	}
	r := reply{Status: resp.StatusCode}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", data, err)
	}
	return r, nil
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// leader waits for a leader that the nodes alive agree on.
func (c *cluster) leader() raft.ID {
	c.t.Helper()
	var leader raft.ID
	eventually(c.t, "a leader", func() bool {
		leaders := map[string]int{}
		for _, s := range c.nodes {
			if st, err := s.Status(); err == nil {
				leaders[st.Leader]++
			}
		}
		for name, n := range leaders {
			if n == len(c.nodes) && name != "" {
				leader, _ = ParseID(name)
				_, alive := c.nodes[leader]
				return alive
			}
		}
		return false
	})
	return leader
}

// do carries out an operation on whoever leads, and repeats it only when it is sure that nothing
// happened.
func (c *cluster) do(op, body string) reply {
	c.t.Helper()
	var r reply
	eventually(c.t, op+" "+body, func() bool {
		var err error
		r, err = c.call(c.leader(), op, body)
		if err != nil || r.Status != http.StatusOK && !r.Definite {
			c.t.Fatalf("%s %s: %+v, %v", op, body, r, err)
		}
		return r.Status == http.StatusOK
	})
	return r
}

// converged waits until all nodes alive have applied the same, and checks that they hold the same.
func (c *cluster) converged() {
	c.t.Helper()
	eventually(c.t, "all nodes have applied the same", func() bool {
		digests := map[string]bool{}
		applied := map[raft.Index]bool{}
		for _, s := range c.nodes {
			st, err := s.Status()
			if err != nil || st.Applied != st.LastIndex {
				return false
			}
			digests[st.Digest], applied[st.Applied] = true, true
		}
		if len(applied) == 1 && len(digests) != 1 {
			c.t.Fatalf("applied %v, but digests %v", applied, digests)
		}
		return len(applied) == 1
	})
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func putBody(key, value string) string {
	return `{"key":` + strconv.Quote(key) + `,"value":` + strconv.Quote(value) + `}`
}
