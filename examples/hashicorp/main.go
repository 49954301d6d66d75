// The program hashicorp is a small store on the library hashicorp/raft, to be put to the test by
// raftcheck. It is ours; what it does wrong on demand, with ?read=, is what users of the library
// can do wrong:
//
//	local   answers with what this node has
//	leader  answers if this node believes that it leads, without asking whether it still does
//	verify  asks, but does not wait until everything is applied that a leader before it acknowledged
//	log     reads through the log: right
//
// A node that does not lead forwards what it is asked to the one that it believes to lead, once;
// only a local read it answers itself.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	boltdb "github.com/hashicorp/raft-boltdb/v2"
)

const (
	peerPort   = "7101"
	clientPort = "7100"
)

func main() {
	id := flag.String("id", "", "name of this node")
	addr := flag.String("addr", "", "its address")
	cluster := flag.String("cluster", "", "all nodes: n1=10.0.0.1,n2=10.0.0.2")
	data := flag.String("data", "", "directory")
	flag.Parse()
	s, err := open(*id, *addr, *cluster, *data)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe(net.JoinHostPort(*addr, clientPort), s.handler()))
}

// server is a node.
type server struct {
	id   raft.ServerID
	raft *raft.Raft
	fsm  *machine
}

func open(id, addr, cluster, data string) (*server, error) {
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, err
	}
	store, err := boltdb.NewBoltStore(filepath.Join(data, "raft.db"))
	if err != nil {
		return nil, err
	}
	snapshots, err := raft.NewFileSnapshotStore(data, 2, os.Stderr)
	if err != nil {
		return nil, err
	}
	self := net.JoinHostPort(addr, peerPort)
	transport, err := raft.NewTCPTransport(self, nil, 3, 2*time.Second, os.Stderr)
	if err != nil {
		return nil, err
	}
	cfg := raft.DefaultConfig()
	cfg.LocalID = raft.ServerID(id)
	cfg.HeartbeatTimeout, cfg.ElectionTimeout = 300*time.Millisecond, 300*time.Millisecond
	cfg.LeaderLeaseTimeout = 250 * time.Millisecond
	cfg.CommitTimeout = 20 * time.Millisecond
	cfg.LogLevel = "WARN"
	s := &server{id: cfg.LocalID, fsm: &machine{values: map[string]string{}}}
	if s.raft, err = raft.NewRaft(cfg, s.fsm, store, store, snapshots, transport); err != nil {
		return nil, err
	}
	var members raft.Configuration
	for field := range strings.SplitSeq(cluster, ",") {
		name, at, _ := strings.Cut(field, "=")
		members.Servers = append(members.Servers, raft.Server{
			ID: raft.ServerID(name), Address: raft.ServerAddress(net.JoinHostPort(at, peerPort)),
		})
	}
	err = s.raft.BootstrapCluster(members).Error()
	if errors.Is(err, raft.ErrCantBootstrap) { // it has been here before
		err = nil
	}
	return s, err
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /kv/{key}", s.led(s.get))
	mux.HandleFunc("PUT /kv/{key}", s.led(s.put))
	mux.HandleFunc("POST /cas/{key}", s.led(s.cas))
	mux.HandleFunc("GET /status", s.status)
	return mux
}

// command is what goes through the log.
type command struct {
	Op, Key, Value, Old string
}

// result is what came of it.
type result struct {
	Value          string
	Found, Swapped bool
}

// forwarded marks a request that another node has sent on.
const forwarded = "X-Forwarded-By-Node"

// led makes a handler that the leader alone carries out: others send the request on to it.
func (s *server) led(carryOut http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		addr, leader := s.raft.LeaderWithID()
		mine := leader == s.id || r.FormValue("read") == "local"
		switch {
		case mine || s.raft.State() == raft.Leader:
			carryOut(w, r)
		case leader == "" || r.Header.Get(forwarded) != "":
			refuse(w, raft.ErrNotLeader)
		default:
			host, _, _ := net.SplitHostPort(string(addr))
			to := &httputil.ReverseProxy{
				Rewrite: func(p *httputil.ProxyRequest) {
					p.SetURL(&url.URL{Scheme: "http", Host: net.JoinHostPort(host, clientPort)})
					p.Out.Header.Set(forwarded, string(s.id))
				},
				ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
					http.Error(w, err.Error(), http.StatusServiceUnavailable)
				},
			}
			to.ServeHTTP(w, r)
		}
	}
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	key := r.PathValue("key")
	switch mode := r.FormValue("read"); mode {
	case "local", "leader": // see led
	case "verify":
		if err := s.raft.VerifyLeader().Error(); err != nil {
			refuse(w, err)
			return
		}
	case "log":
		res, err := s.apply(command{Op: "get", Key: key})
		tell(w, res, err)
		return
	default:
		http.Error(w, fmt.Sprintf("no such read: %q", mode), http.StatusBadRequest)
		return
	}
	tell(w, s.fsm.get(key), nil)
}

func (s *server) put(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	res, err := s.apply(command{Op: "put", Key: r.PathValue("key"), Value: string(body)})
	tell(w, res, err)
}

func (s *server) cas(w http.ResponseWriter, r *http.Request) {
	var body struct{ Old, New string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	res, err := s.apply(command{"cas", r.PathValue("key"), body.New, body.Old})
	if err == nil && !res.Swapped {
		http.Error(w, "another value", http.StatusConflict)
		return
	}
	tell(w, res, err)
}

func (s *server) apply(c command) (result, error) {
	raw, err := json.Marshal(c)
	if err != nil {
		return result{}, err
	}
	f := s.raft.Apply(raw, time.Second)
	if err := f.Error(); err != nil {
		return result{}, err
	}
	return f.Response().(result), nil
}

// tell answers. What is not found is so only for reads.
func tell(w http.ResponseWriter, r result, err error) {
	switch {
	case err != nil:
		refuse(w, err)
	case !r.Found:
		http.Error(w, "absent", http.StatusNotFound)
	default:
		_, _ = io.WriteString(w, r.Value)
	}
}

// refuse says 421 if nothing was proposed, and 503 if nobody can know.
func refuse(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if errors.Is(err, raft.ErrNotLeader) {
		status = http.StatusMisdirectedRequest
	}
	http.Error(w, err.Error(), status)
}

func (s *server) status(w http.ResponseWriter, _ *http.Request) {
	_, leader := s.raft.LeaderWithID()
	_ = json.NewEncoder(w).Encode(map[string]any{
		"id": s.id, "term": s.raft.CurrentTerm(), "role": strings.ToLower(s.raft.State().String()),
		"leader": leader, "commit": s.raft.CommitIndex(), "applied": s.raft.AppliedIndex(),
	})
}

// machine is the state: keys and values.
type machine struct {
	mu     sync.Mutex // guards values
	values map[string]string
}

func (m *machine) get(key string) result {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, found := m.values[key]
	return result{Value: v, Found: found}
}

// Apply implements raft.FSM.
func (m *machine) Apply(l *raft.Log) any {
	var c command
	if err := json.Unmarshal(l.Data, &c); err != nil {
		panic(err) // we wrote it
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, found := m.values[c.Key]
	swapped := c.Op == "cas" && found && v == c.Old
	if c.Op == "put" || swapped {
		m.values[c.Key] = c.Value
		v, found = c.Value, true
	}
	return result{v, found, swapped}
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	raw, err := json.Marshal(m.values)
	return snapshot(raw), err
}

// Restore implements raft.FSM.
func (m *machine) Restore(r io.ReadCloser) error {
	defer r.Close()
	values := map[string]string{}
	if err := json.NewDecoder(r).Decode(&values); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values = values
	return nil
}

// snapshot is the state as JSON.
type snapshot []byte

// Persist implements raft.FSMSnapshot.
func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if _, err := sink.Write(s); err != nil {
		return errors.Join(err, sink.Cancel())
	}
	return sink.Close()
}

// Release implements raft.FSMSnapshot.
func (snapshot) Release() {}
