package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdmain"
)

// etcdArgument makes this program an etcd server: one binary is enough.
const etcdArgument = "etcd-server"

func runEtcd() {
	etcdmain.Main(append([]string{"etcd"}, os.Args[2:]...))
}

// etcd is a cluster of three, with the settings that it comes with.
type etcd struct {
	processes
	urls  []string
	conns []*clientv3.Client
	lead  int // the leader's place among the nodes
}

func (e *etcd) name() string { return "etcd" }

func (e *etcd) start(ctx context.Context, dir string) error {
	ports, err := freePorts(6)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	var cluster []string
	for i := range 3 {
		cluster = append(cluster, fmt.Sprintf("n%d=http://127.0.0.1:%d", i+1, ports[i]))
		e.urls = append(e.urls, fmt.Sprintf("http://127.0.0.1:%d", ports[3+i]))
	}
	for i := range 3 {
		id, peer := fmt.Sprintf("n%d", i+1), fmt.Sprintf("http://127.0.0.1:%d", ports[i])
		err := e.spawn(dir, id, self, etcdArgument, "--name", id,
			"--data-dir", filepath.Join(dir, id), "--log-level", "error",
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
			"--listen-client-urls", e.urls[i], "--advertise-client-urls", e.urls[i],
			"--initial-cluster", strings.Join(cluster, ","))
		if err != nil {
			return err
		}
	}
	return waitUntil(ctx, "a leader", func() bool {
		for i, url := range e.urls {
			leads, err := metric(url+"/metrics", "etcd_server_is_leader")
			if err == nil && leads == 1 {
				e.lead = i
				e.urls[0], e.urls[i] = e.urls[i], e.urls[0] // clients talk to the leader
				return true
			}
		}
		return false
	})
}

func (e *etcd) syncs() (sum uint64, err error) {
	for _, url := range e.urls {
		n, err := metric(url+"/metrics", "etcd_disk_wal_fsync_duration_seconds_count")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func (e *etcd) follower() int { return e.pids()[(e.lead+1)%3] }

func (e *etcd) stop() error {
	for _, c := range e.conns {
		_ = c.Close()
	}
	return e.processes.stop()
}

func (e *etcd) worker(i, _ int) (worker, error) {
	for len(e.conns) <= i%connections {
		c, err := clientv3.New(clientv3.Config{
			Endpoints: e.urls[:1], DialTimeout: 5 * time.Second,
		})
		if err != nil {
			return nil, err
		}
		e.conns = append(e.conns, c)
	}
	return &etcdWorker{e.conns[i%connections]}, nil
}

type etcdWorker struct{ client *clientv3.Client }

func (w *etcdWorker) put(ctx context.Context, key, value string) error {
	_, err := w.client.Put(ctx, key, value)
	return err
}

func (w *etcdWorker) get(ctx context.Context, key string) error {
	_, err := w.client.Get(ctx, key)
	return err
}
