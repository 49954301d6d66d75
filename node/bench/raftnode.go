package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/node/client"
	"github.com/raftcheck/raftcheck/node/kv"
)

// raftnodes is a cluster of ours, spoken to in binary or in HTTP and JSON.
type raftnodes struct {
	processes
	binary    string
	pipelined bool

	urls   []string
	leader string // host:port
	lead   int    // its place among the nodes
	conns  []*client.Conn
	http   *http.Client
}

func (r *raftnodes) name() string {
	if r.pipelined {
		return "raftnode-binary"
	}
	return "raftnode-http"
}

func (r *raftnodes) start(ctx context.Context, dir string) error {
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	var peers []string
	for i := range 3 {
		peers = append(peers, fmt.Sprintf("n%d=127.0.0.1:%d:%d", i+1, ports[i], ports[3+i]))
		r.urls = append(r.urls, fmt.Sprintf("http://127.0.0.1:%d", ports[3+i]))
	}
	for i := range 3 {
		id := fmt.Sprintf("n%d", i+1)
		err := r.spawn(dir, id, r.binary, "--id", id, "--peers", strings.Join(peers, ","),
			"--data", filepath.Join(dir, id), "--listen", "127.0.0.1")
		if err != nil {
			return err
		}
	}
	return waitUntil(ctx, "a leader", func() bool {
		for i, url := range r.urls {
			if status, err := fetch(url + "/v1/status"); err == nil &&
				strings.Contains(status, `"role":"leader"`) {
				r.lead = i
				r.leader = strings.TrimPrefix(url, "http://")
				return true
			}
		}
		return false
	})
}

func (r *raftnodes) syncs() (sum uint64, err error) {
	for _, url := range r.urls {
		n, err := metric(url+"/metrics", "raftnode_wal_syncs_total")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (r *raftnodes) stop() error {
	for _, c := range r.conns {
		_ = c.Close()
	}
	if r.http != nil {
		r.http.CloseIdleConnections()
	}
	return r.processes.stop()
}

func (r *raftnodes) follower() int { return r.pids()[(r.lead+1)%3] }

// connections is how many connections the clients of a pipelined protocol share.
const connections = 8

func (r *raftnodes) worker(i, _ int) (worker, error) {
	if !r.pipelined {
		if r.http == nil {
			r.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4096}}
		}
		return &httpWorker{r.http, "http://" + r.leader + "/v1/"}, nil
	}
	for len(r.conns) <= i%connections {
		c, err := client.Dial(context.Background(), r.leader)
		if err != nil {
			return nil, err
		}
		r.conns = append(r.conns, c)
	}
	return &pipeWorker{r.conns[i%connections]}, nil
}

type pipeWorker struct{ conn *client.Conn }

func (w *pipeWorker) put(ctx context.Context, key, value string) error {
	_, err := w.conn.Do(ctx, &kv.Command{Op: kv.OpPut, Key: key, Value: value})
	return err
}

func (w *pipeWorker) get(ctx context.Context, key string) error {
	_, err := w.conn.Get(ctx, key)
	return err
}

type httpWorker struct {
	client *http.Client
	base   string
}

func (w *httpWorker) put(ctx context.Context, key, value string) error {
	return w.post(ctx, "put", `{"key":"`+key+`","value":"`+value+`"}`)
}

func (w *httpWorker) get(ctx context.Context, key string) error {
	return w.post(ctx, "get", `{"key":"`+key+`"}`)
}

func (w *httpWorker) post(ctx context.Context, op, body string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.base+op, strings.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(string(bytes.TrimSpace(data)))
	}
	return err
}
