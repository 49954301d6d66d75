package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	pingEvery = 5 * time.Millisecond
	lookEvery = 20 * time.Millisecond
)

// look is one line of a node's output: what it has seen since it started. The suite reads it as
// clustertest.Look.
type look struct {
	ID    string            `json:"id"`
	Boot  int               `json:"boot"`  // how often the node has started on this disk
	Line  int               `json:"line"`  // from 1 at each start
	Wall  int64             `json:"wall"`  // its wall clock, ns since 1970
	Mono  int64             `json:"mono"`  // its monotonic clock, ns since it started
	CPU   int64             `json:"cpu"`   // ns that it has computed
	Recv  map[string]uint64 `json:"recv"`  // pings that arrived, by sender
	Acked map[string]uint64 `json:"acked"` // own pings that were answered, by receiver
	Dials map[string]uint64 `json:"dials"` // connections made, by receiver
	RTT   map[string]int64  `json:"rtt"`   // of the last answered ping, in µs, by receiver
}

type node struct {
	id string

	mu   sync.Mutex // guards seen
	seen look
}

func runNode(ctx context.Context, args []string) error {
	fs := flag.NewFlagSet("node", flag.ContinueOnError)
	id := fs.String("id", "", "name of the node")
	listen := fs.String("listen", "", "address to listen on")
	data := fs.String("data", "", "directory that survives")
	die := fs.String("die", "", "last words, to be said at once")
	spin := fs.Bool("spin", false, "compute without end")
	peers := map[string]string{}
	fs.Func("peer", "name=address of a peer", func(s string) error {
		name, addr, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want name=address")
		}
		peers[name] = addr
		return nil
	})
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *die != "" {
		return errors.New(*die)
	}
	boot, err := countBoot(*data)
	if err != nil {
		return err
	}
	n := &node{id: *id, seen: look{ID: *id, Boot: boot, Recv: map[string]uint64{},
		Acked: map[string]uint64{}, Dials: map[string]uint64{}, RTT: map[string]int64{}}}
	if *spin {
		go func() {
			for {
				runtime.Gosched()
			}
		}()
	}
	lis, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	defer lis.Close()
	go n.accept(lis)
	for name, addr := range peers {
		go n.ping(ctx, name, addr)
	}
	return n.print(ctx)
}

// countBoot counts the starts in a file, synced, so that a lost disk shows.
func countBoot(dir string) (int, error) {
	path := filepath.Join(dir, "boots")
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	boots := 0
	if len(old) > 0 {
		if boots, err = strconv.Atoi(string(old)); err != nil {
			return 0, err
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if _, err := fmt.Fprint(f, boots+1); err != nil {
		return 0, err
	}
	return boots + 1, f.Sync()
}

// print writes a line at each beat, until ctx ends.
func (n *node) print(ctx context.Context) error {
	begin := time.Now()
	enc := json.NewEncoder(os.Stdout)
	t := time.NewTicker(lookEvery)
	defer t.Stop()
	for {
		n.mu.Lock()
		n.seen.Line++
		n.seen.Wall, n.seen.Mono = time.Now().UnixNano(), int64(time.Since(begin))
		n.seen.CPU = cpuTime()
		err := enc.Encode(n.seen)
		n.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}

// ping keeps one connection to a peer and pings along it.
func (n *node) ping(ctx context.Context, name, addr string) {
	for ctx.Err() == nil {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			n.count(n.seen.Dials, name)
			n.talk(ctx, conn, name)
			conn.Close()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pingEvery):
		}
	}
}

// talk pings until the connection breaks.
func (n *node) talk(ctx context.Context, conn net.Conn, name string) {
	if _, err := fmt.Fprintln(conn, n.id); err != nil {
		return
	}
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		in := bufio.NewScanner(conn)
		for in.Scan() {
			sent, err := strconv.ParseInt(in.Text(), 10, 64)
			if err != nil {
				return
			}
			n.mu.Lock()
			n.seen.Acked[name]++
			n.seen.RTT[name] = time.Since(time.Unix(0, sent)).Microseconds()
			n.mu.Unlock()
		}
	}()
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		if _, err := fmt.Fprintln(conn, time.Now().UnixNano()); err != nil {
			return
		}
		select {
		case <-broken:
			return
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (n *node) accept(lis net.Listener) {
	for {
		conn, err := lis.Accept()
		if err != nil {
			return
		}
		go n.serve(conn)
	}
}

// use writes to so many bytes of memory.
func use(size int) {
	b := make([]byte, size)
	for i := 0; i < len(b); i += os.Getpagesize() {
		b[i] = 1
	}
	runtime.KeepAlive(b)
}

// serve answers a peer's pings with their own text. The first line says who it is; "exit N", "print
// TEXT" and "use MIB" are what the suite itself sends.
func (n *node) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewScanner(conn)
	if !in.Scan() {
		return
	}
	who := in.Text()
	if code, ok := strings.CutPrefix(who, "exit "); ok {
		c, _ := strconv.Atoi(code)
		os.Exit(c) //nolint:revive // to end at once is what it was told to do
	}
	if text, ok := strings.CutPrefix(who, "print "); ok {
		fmt.Fprintln(os.Stderr, text)
		_, _ = io.WriteString(conn, "printed\n")
		return
	}
	if size, ok := strings.CutPrefix(who, "use "); ok {
		mib, _ := strconv.Atoi(size)
		use(mib << 20)
		_, _ = io.WriteString(conn, "used\n")
		return
	}
	for in.Scan() {
		n.count(n.seen.Recv, who)
		if _, err := fmt.Fprintln(conn, in.Text()); err != nil {
			return
		}
	}
}

func (n *node) count(m map[string]uint64, name string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	m[name]++
}
