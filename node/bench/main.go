// Command bench measures raftnode beside etcd and hashicorp/raft: three nodes each on this machine,
// fsync on, the same closed loop of clients with the same keys and values, in alternating rounds.
// It is a module of its own, so that etcd and what it needs stay out of raftcheck's.
//
//	go build -o /tmp/raftnode ../../cmd/raftnode
//	go run . -raftnode /tmp/raftnode -rounds 5 -clients 1,8,64,256
//
// For each system, operation and number of clients it prints operations per second, the median and
// the
// 99th percentile of the time an operation takes, and processor time and syncs of the log per
// operation, of all three nodes together.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// system is something to measure.
type system interface {
	name() string
	// start brings three nodes up, empty, and waits for a leader.
	start(ctx context.Context, dir string) error
	stop() error
	// worker returns a client that shares connections with others.
	worker(i, clients int) (worker, error)
	pids() []int
	follower() int // the pid of a node that does not lead
	syncs() (uint64, error)
}

// worker carries out one operation at a time.
type worker interface {
	put(ctx context.Context, key, value string) error
	get(ctx context.Context, key string) error
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == etcdArgument {
		runEtcd()
		return
	}
	if len(os.Args) == 7 && os.Args[1] == hashicorpArgument {
		fmt.Fprintln(os.Stderr, runHashicorp(os.Args[2:]))
		os.Exit(1)
	}
	raftnode := flag.String("raftnode", "", "path of the raftnode binary")
	rounds := flag.Int("rounds", 5, "alternating rounds; the medians are printed")
	counts := flag.String("clients", "1,8,64,256", "numbers of clients")
	length := flag.Duration("time", 3*time.Second, "length of each measurement")
	size := flag.Int("size", 256, "size of a value, in bytes")
	systems := flag.String("systems", "raftnode-binary,raftnode-http,etcd,hashicorp", "what to measure")
	paused := flag.Bool("paused", false, "also measure puts while a follower is stopped")
	swaps := flag.Bool("swap", false, "instead, measure puts while the whole membership is exchanged")
	every := flag.Duration("swap-every", 500*time.Millisecond, "pause between two exchanges")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ops := []string{"put", "get"}
	if *paused {
		ops = append(ops, pausedPut)
	}
	b := bench{raftnode: *raftnode, ops: ops, length: *length, value: strings.Repeat("v", *size),
		results: map[string][]result{}}
	for _, field := range strings.Split(*counts, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "bench: clients %q\n", field)
			os.Exit(2)
		}
		b.clients = append(b.clients, n)
	}
	for i := 0; *swaps && i < len(b.clients); i++ {
		if err := swap(ctx, *raftnode, b.clients[i], *length, *every, b.value); err != nil {
			fmt.Fprintln(os.Stderr, "bench: swap:", err)
			os.Exit(1)
		}
	}
	if *swaps {
		return
	}
	for round := range *rounds {
		for _, name := range strings.Split(*systems, ",") {
			if err := b.round(ctx, name); err != nil {
				fmt.Fprintf(os.Stderr, "bench: round %d of %s: %v\n", round+1, name, err)
				os.Exit(1)
			}
		}
	}
	b.print(os.Stdout)
}

// bench is one run.
type bench struct {
	raftnode string
	length   time.Duration
	value    string
	clients  []int
	ops      []string
	results  map[string][]result // by system, operation and clients, one for each round
	order    []string
}

func (b *bench) system(name string) (system, error) {
	switch name {
	case "raftnode-binary":
		return &raftnodes{binary: b.raftnode, pipelined: true}, nil
	case "raftnode-http":
		return &raftnodes{binary: b.raftnode}, nil
	case "etcd":
		return &etcd{}, nil
	case "hashicorp":
		return &hashicorp{}, nil
	}
	return nil, fmt.Errorf("no system %q", name)
}

// round measures one system once, from an empty directory.
func (b *bench) round(ctx context.Context, name string) error {
	s, err := b.system(name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := s.start(ctx, dir); err != nil {
		return cmp.Or(s.stop(), err)
	}
	defer func() { _ = s.stop() }()
	for _, n := range b.clients {
		for _, op := range b.ops {
			r, err := b.measurePaused(ctx, s, op, n)
			if err != nil {
				return fmt.Errorf("%s with %d clients: %w", op, n, err)
			}
			key := fmt.Sprintf("%-16s %-10s %5d", name, op, n)
			if !slices.Contains(b.order, key) {
				b.order = append(b.order, key)
			}
			b.results[key] = append(b.results[key], r)
			fmt.Fprintf(os.Stderr, "%s  %s\n", key, r)
		}
	}
	return nil
}

// pausedPut is a put while a follower is stopped.
const pausedPut = "put-paused"

// measurePaused stops a follower for the measurement if the operation says so. Nobody can ask a
// stopped node for its count of syncs, so there is none then.
func (b *bench) measurePaused(ctx context.Context, s system, op string, n int) (result, error) {
	if op != pausedPut {
		return b.measure(ctx, s, op, n, true)
	}
	pid := s.follower()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return result{}, err
	}
	r, err := b.measure(ctx, s, "put", n, false)
	return r, errors.Join(err, syscall.Kill(pid, syscall.SIGCONT))
}

func (b *bench) print(w *os.File) {
	fmt.Fprintf(w, "%-16s %-10s %7s  %s\n", "system", "op", "clients", header)
	for _, key := range b.order {
		fmt.Fprintf(w, "%s    %s\n", key, median(b.results[key]))
	}
}
