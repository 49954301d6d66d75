package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"golang.org/x/sync/errgroup"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/beside"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// downTimeout bounds a teardown, whatever the context of the caller says.
const downTimeout = 60 * time.Second

// bootGrace is how long every process must have lived before a cluster counts as up.
const bootGrace = 50 * time.Millisecond

// dockerCluster is a cluster of pods.
type dockerCluster struct {
	engine   *Engine
	provider *testcontainers.DockerProvider
	cfg      Config
	spec     cluster.Spec
	log      *slog.Logger
	guardian *guardian // nil if nobody guards

	network string
	subnet  netip.Prefix
	nodes   []sut.Node // those that are started
	spares  []sut.Node // those that are not
	pods    map[sut.NodeID]*pod
	hands   map[sut.NodeID]*beside.Hand
	exits   *exitWatch

	mu      sync.Mutex // guards the fields below
	drivers []*driver
	down    bool
}

var (
	_ cluster.Cluster    = (*dockerCluster)(nil)
	_ cluster.DriverHost = (*dockerCluster)(nil)
	_ cluster.Reserve    = (*dockerCluster)(nil)
)

func newCluster(r *Runtime, prov *testcontainers.DockerProvider, spec cluster.Spec) *dockerCluster {
	c := &dockerCluster{engine: r.engine, provider: prov, cfg: r.cfg, spec: spec,
		log: r.cfg.Log.With("run", spec.Run), network: "raftcheck-" + spec.Run,
		pods: map[sut.NodeID]*pod{}, hands: map[sut.NodeID]*beside.Hand{}}
	c.exits = newExitWatch(c)
	return c
}

// steady is for calls that make something. If they were broken off, the engine would go on with
// them, and what it makes would come to light only after everything was removed. So whoever is
// interrupted waits for them.
func steady(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
}

// up makes the network and then all pods at once.
func (c *dockerCluster) up(ctx context.Context) error {
	making, cancel := steady(ctx)
	defer cancel()
	var err error
	c.subnet, err = c.engine.createNetwork(making, c.network, c.spec.Run, c.spec.Keep)
	if err != nil {
		return err
	}
	for i := range c.spec.Nodes + c.spec.Spares {
		n := sut.Node{ID: sut.NodeID(fmt.Sprintf("n%d", i+1)), Addr: hostOf(c.subnet, firstNode+i)}
		list := &c.nodes
		if i >= c.spec.Nodes {
			list = &c.spares
		}
		*list = append(*list, n)
		p := &pod{c: c, node: n, spare: i >= c.spec.Nodes}
		p.Hand.Node, p.Clients, p.Peers = n, clientsOf(c.subnet), c.hands
		c.pods[n.ID], c.hands[n.ID] = p, &p.Hand
	}
	if err := c.exits.start(ctx); err != nil {
		return err
	}
	g, gctx := errgroup.WithContext(ctx)
	for _, p := range c.pods {
		g.Go(func() error {
			if err := p.up(gctx); err != nil {
				return fmt.Errorf("node %s: %w", p.node.ID, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// A process that can not start at all, for want of a flag say, needs a moment to find out. Told
	// here, with its last words, it spares its user the wait for a node that never becomes ready.
	if pause(ctx, bootGrace); ctx.Err() != nil {
		return context.Cause(ctx)
	}
	for _, n := range c.nodes {
		if err := c.pods[n.ID].mustRun(ctx); err != nil {
			return fmt.Errorf("node %s: %w", n.ID, err)
		}
	}
	return nil
}

// Nodes implements [cluster.Cluster].
func (c *dockerCluster) Nodes() []sut.Node { return slices.Clone(c.nodes) }

// Spares implements [cluster.Reserve].
func (c *dockerCluster) Spares() []sut.Node { return slices.Clone(c.spares) }

// Host implements [cluster.Cluster].
func (c *dockerCluster) Host(id sut.NodeID) cluster.Host {
	p, ok := c.pods[id]
	if !ok {
		return nil
	}
	return p
}

// Exits implements [cluster.Cluster].
func (c *dockerCluster) Exits() <-chan cluster.Exit { return c.exits.out }

// Collect implements [cluster.Cluster]. Beside the logs it leaves what the engine says of each
// node's container, <id>.inspect.json, and the last words of each agent, if there were any.
func (c *dockerCluster) Collect(ctx context.Context, dir string) error {
	var g errgroup.Group
	all := slices.Concat(c.nodes, c.spares)
	errs := make([]error, len(all))
	for i, n := range all {
		g.Go(func() error {
			errs[i] = c.pods[n.ID].collect(ctx, dir)
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

func (p *pod) collect(ctx context.Context, dir string) error {
	var errs []error
	if p.logs != nil {
		errs = append(errs, p.logs.drain(ctx))
	}
	if id := p.containerID(); id != "" {
		info, err := p.c.engine.cli.ContainerInspect(ctx, id)
		if err == nil {
			var text []byte
			if text, err = json.MarshalIndent(info, "", "  "); err == nil {
				err = os.WriteFile(filepath.Join(dir, string(p.node.ID)+".inspect.json"), text, 0o644)
			}
		}
		errs = append(errs, err)
	}
	if p.stream != nil && p.stream.errs.String() != "" {
		errs = append(errs, os.WriteFile(filepath.Join(dir, string(p.node.ID)+".agent.log"),
			[]byte(p.stream.errs.String()+"\n"), 0o644))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("collect from %s: %w", p.node.ID, err)
	}
	return nil
}

// Down implements [cluster.Cluster]. With Keep it only lets go: the pods stay as they are.
func (c *dockerCluster) Down(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), downTimeout)
	defer cancel()
	c.exits.stop()
	var errs []error
	for _, d := range c.drivers {
		errs = append(errs, d.Close())
	}
	for _, p := range c.pods {
		p.letGo()
	}
	if c.spec.Keep {
		c.down = true
		return errors.Join(errs...)
	}
	removed, err := c.engine.Reap(ctx, c.spec.Run)
	if errs = append(errs, err); err == nil {
		c.log.Debug("cluster is down", "removed", len(removed))
		c.down = true
	}
	if c.guardian != nil && c.down {
		errs = append(errs, c.guardian.dismiss())
	}
	return errors.Join(errs...)
}

// Driver implements [cluster.DriverHost].
func (c *dockerCluster) Driver(ctx context.Context) (io.ReadWriteCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errors.New("start the client driver: the cluster is down")
	}
	if len(c.drivers) == maxDrivers {
		return nil, fmt.Errorf("start the client driver: there are %d already", maxDrivers)
	}
	d, err := c.startDriver(ctx, len(c.drivers))
	if err != nil {
		return nil, fmt.Errorf("start the client driver: %w", err)
	}
	c.drivers = append(c.drivers, d)
	return d, nil
}
