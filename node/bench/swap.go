package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/raftcheck/raftcheck/node/client"
	"github.com/raftcheck/raftcheck/node/kv"
	"github.com/raftcheck/raftcheck/node/wire"
)

// swap measures puts while the whole membership is exchanged for three other nodes, once in a
// while, beside puts in peace. Clients follow the leader; what they wait for it counts.
func swap(ctx context.Context, binary string, clients int, length, every time.Duration,
	value string,
) error {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &swapCluster{}
	defer func() { _ = s.stop() }()
	if err := s.start(ctx, dir, binary); err != nil {
		return err
	}
	fmt.Printf("%-10s %7s %10s %9s %9s %9s  %s\n", "members", "clients", "ops/s", "p50", "p99", "max",
		"swaps")
	for _, swapping := range []time.Duration{0, every} {
		ctx, cancel := context.WithTimeout(ctx, length+30*time.Second)
		times, swaps, err := s.load(ctx, clients, length, value, swapping)
		cancel()
		if err != nil {
			return err
		}
		slices.Sort(times)
		name := "steady"
		if swapping > 0 {
			name = "swapping"
		}
		n := len(times)
		fmt.Printf("%-10s %7d %10.0f %9s %9s %9s  %d\n", name, clients,
			float64(n)/length.Seconds(), times[n/2].Round(time.Microsecond),
			times[n*99/100].Round(time.Microsecond), times[n-1].Round(time.Microsecond), swaps)
	}
	return nil
}

// swapCluster is six nodes of which three are members.
type swapCluster struct {
	processes
	addrs []string

	leader atomic.Int64 // index of who is thought to lead
	mu     sync.Mutex   // guards conns
	conns  map[string]*client.Conn
}

func (s *swapCluster) start(ctx context.Context, dir, binary string) error {
	ports, err := freePorts(12)
	if err != nil {
		return err
	}
	s.conns = map[string]*client.Conn{}
	var peers []string
	for i := range 6 {
		peers = append(peers, fmt.Sprintf("n%d=127.0.0.1:%d:%d", i+1, ports[i], ports[6+i]))
		s.addrs = append(s.addrs, fmt.Sprintf("127.0.0.1:%d", ports[6+i]))
	}
	for i := range 6 {
		id := fmt.Sprintf("n%d", i+1)
		err := s.spawn(dir, id, binary, "--id", id, "--peers", strings.Join(peers, ","),
			"--voters", "n1,n2,n3", "--data", filepath.Join(dir, id), "--listen", "127.0.0.1")
		if err != nil {
			return err
		}
	}
	return waitUntil(ctx, "a leader", func() bool {
		status, err := fetch("http://" + s.addrs[0] + "/v1/status")
		return err == nil && strings.Contains(status, `"leader":"n`)
	})
}

func (s *swapCluster) stop() error {
	for _, c := range s.conns {
		_ = c.Close()
	}
	return s.processes.stop()
}

// conn returns the connection to a node that several clients share.
func (s *swapCluster) conn(ctx context.Context, node, share int) (*client.Conn, error) {
	key := fmt.Sprint(node, "/", share%connections)
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.conns[key]; c != nil {
		return c, nil
	}
	c, err := client.Dial(ctx, s.addrs[node])
	if err == nil {
		s.conns[key] = c
	}
	return c, err
}

// put asks whoever leads until it is done. All puts of a client are to its own key, so that a
// repetition does no harm.
func (s *swapCluster) put(ctx context.Context, share int, command *kv.Command) error {
	for {
		at := s.leader.Load()
		conn, err := s.conn(ctx, int(at), share)
		if err == nil {
			_, err = conn.Do(ctx, command)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		next := (at + 1) % int64(len(s.addrs))
		if e, ok := errors.AsType[*wire.Error](err); ok && e.Leader > 0 {
			next = int64(e.Leader) - 1
		} else {
			time.Sleep(time.Millisecond)
		}
		s.leader.CompareAndSwap(at, next)
	}
}

func (s *swapCluster) load(ctx context.Context, clients int, length time.Duration, value string,
	every time.Duration,
) (all []time.Duration, swaps int, err error) {
	deadline := time.Now().Add(length)
	var wg sync.WaitGroup
	var mu sync.Mutex
	for i := range clients {
		wg.Go(func() {
			command := &kv.Command{Op: kv.OpPut, Key: fmt.Sprint("k", i), Value: value}
			var times []time.Duration
			var failed error
			for began := time.Now(); began.Before(deadline) && failed == nil; began = time.Now() {
				failed = s.put(ctx, i, command)
				times = append(times, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			all, err = append(all, times...), errors.Join(err, failed)
		})
	}
	for every > 0 && time.Now().Before(deadline) {
		to := `"n4","n5","n6"`
		if swaps%2 == 1 {
			to = `"n1","n2","n3"`
		}
		if e := s.changeTo(ctx, to); e != nil {
			mu.Lock()
			err = errors.Join(err, e)
			mu.Unlock()
			break
		}
		swaps++
		time.Sleep(every)
	}
	wg.Wait()
	return all, swaps, err
}

// changeTo asks for a membership until a node says that it is in force.
func (s *swapCluster) changeTo(ctx context.Context, voters string) error {
	body := `{"wait":true,"timeout_ms":5000,"voters":[` + voters + `]}`
	return waitUntil(ctx, "members "+voters, func() bool {
		for i := range s.addrs {
			at := (int(s.leader.Load()) + i) % len(s.addrs)
			resp, err := http.Post("http://"+s.addrs[at]+"/v1/admin/members", "application/json",
				strings.NewReader(body))
			if err != nil {
				continue
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		return false
	})
}
