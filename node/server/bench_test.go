package server

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/raftcheck/raftcheck/node/client"
	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/raft"
)

// BenchmarkCluster has three nodes and their clients in one process, on one disk, for profiles. The
// command in node/bench measures separate processes, and etcd beside them.
func BenchmarkCluster(b *testing.B) {
	var peers []Peer
	for i := range 3 {
		peers = append(peers, Peer{raft.ID(i + 1), "127.0.0.1", freePort(b), freePort(b)})
	}
	dir := b.TempDir()
	nodes := map[raft.ID]*Server{}
	for _, p := range peers {
		s, err := Start(Config{ID: p.ID, Peers: peers, Data: filepath.Join(dir, p.ID.String()),
			Listen: "127.0.0.1"})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Kill()
		nodes[p.ID] = s
	}
	var leader raft.ID
	for leader == 0 {
		if st, err := nodes[1].Status(); err == nil && st.Leader != "" {
			leader, _ = ParseID(st.Leader)
		}
	}
	value := strings.Repeat("v", 256)
	for _, clients := range []int{1, 64, 256} {
		for _, op := range []string{"put", "get"} {
			b.Run(fmt.Sprintf("%s-%d", op, clients), func(b *testing.B) {
				conns := make([]*client.Conn, min(clients, 8))
				for i := range conns {
					var err error
					if conns[i], err = client.Dial(b.Context(), peers[leader-1].ClientAddr()); err != nil {
						b.Fatal(err)
					}
					defer conns[i].Close()
				}
				b.ReportAllocs()
				var next atomic.Int64
				var wg sync.WaitGroup
				for c := range clients {
					wg.Go(func() {
						conn := conns[c%len(conns)]
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							key := fmt.Sprintf("%08d", i%10000)
							var err error
							if op == "put" {
								_, err = conn.Do(b.Context(), &kv.Command{Op: kv.OpPut, Key: key, Value: value})
							} else {
								_, err = conn.Get(b.Context(), key)
							}
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
			})
		}
	}
}
