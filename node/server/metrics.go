package server

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/raftcheck/raftcheck/node/raft"
)

// metrics counts what nothing else counts.
type metrics struct {
	events  counters // protocol events by kind
	refused counters // error answers by code

	writes, reads atomic.Uint64 // answered by the state machine
}

// counters are a few named ones.
type counters struct {
	mu sync.Mutex
	n  map[string]uint64
}

func (c *counters) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]uint64{}
	}
	c.n[name]++
}

func (c *counters) copy() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.n)
}

// exposition builds text in the format that Prometheus reads.
type exposition struct{ strings.Builder }

func (x *exposition) metric(name, kind, help string) {
	fmt.Fprintf(x, "# HELP raftnode_%s %s\n# TYPE raftnode_%s %s\n", name, help, name, kind)
}

func (x *exposition) single(name, kind, help string, value any) {
	x.metric(name, kind, help)
	fmt.Fprintf(x, "raftnode_%s %v\n", name, value)
}

func (x *exposition) labelled(name, help, label string, values map[string]uint64) {
	x.metric(name, "counter", help)
	for _, k := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(x, "raftnode_%s{%s=%q} %d\n", name, label, k, values[k])
	}
}

func (s *Server) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	st, err := s.Status()
	if err != nil {
		s.writeError(w, errStopping())
		return
	}
	var x exposition
	leads := 0
	if st.Role == raft.Leader.String() {
		leads = 1
	}
	x.single("is_leader", "gauge", "1 while this node leads.", leads)
	x.single("term", "gauge", "Current term.", st.Term)
	x.single("commit_index", "gauge", "Highest index known to be committed.", st.Commit)
	x.single("applied_index", "gauge", "Highest index applied to the state machine.", st.Applied)
	x.single("last_index", "gauge", "Last entry of the log.", st.LastIndex)
	x.single("durable_index", "gauge", "Last entry that is on this node's disk.", st.Durable)
	x.single("snapshot_index", "gauge", "Last entry of the newest snapshot.", st.Snapshot)
	x.single("log_memory_bytes", "gauge", "Payload of the log in memory.", st.LogBytes)
	x.single("keys", "gauge", "Keys in the state machine.", st.Keys)
	x.single("sessions", "gauge", "Open client sessions.", st.Sessions)
	x.single("pending_writes", "gauge", "Writes appended and not decided.", st.Pending)
	disk := s.wal.Stats()
	x.single("wal_frames_total", "counter", "Frames written to the log.", disk.Frames)
	x.single("wal_syncs_total", "counter", "Calls of fdatasync for the log.", disk.Syncs)
	x.single("wal_bytes_total", "counter", "Bytes written to the log.", disk.Bytes)
	net := s.transport.Stats()
	x.single("peer_received_total", "counter", "Messages from peers.", net.Received)
	x.single("peer_dropped_total", "counter", "Messages dropped before they were sent.", net.Dropped)
	x.single("writes_total", "counter", "Client writes applied.", s.metrics.writes.Load())
	x.single("reads_total", "counter", "Client reads served.", s.metrics.reads.Load())
	x.labelled("events_total", "Protocol events by kind.", "event", s.metrics.events.copy())
	x.labelled("refused_total", "Error answers by code.", "code", s.metrics.refused.copy())
	x.metric("peer_match_index", "gauge", "Highest entry known to be on a follower's disk.")
	for _, p := range st.Peers {
		fmt.Fprintf(&x, "raftnode_peer_match_index{peer=%q} %d\n", p.ID, p.Match)
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(x.String()))
}
