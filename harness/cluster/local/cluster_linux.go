package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/beside"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// localCluster is a cluster of pods in one fabric.
type localCluster struct {
	cfg  Config
	spec cluster.Spec
	log  *slog.Logger

	home     *home     // its directory
	guardian *guardian // nil if nobody guards
	fabric   *remote   // nil before it was launched

	nodes  []sut.Node // those that are started
	spares []sut.Node // those that are not
	pods   map[sut.NodeID]*pod
	exits  exits

	mu      sync.Mutex // guards the fields below
	drivers []*streams
	down    bool
}

var (
	_ cluster.Cluster    = (*localCluster)(nil)
	_ cluster.DriverHost = (*localCluster)(nil)
	_ cluster.Reserve    = (*localCluster)(nil)
)

// newCluster makes the directories and control groups of a run; nothing runs yet.
func newCluster(cfg Config, spec cluster.Spec) (*localCluster, error) {
	c := &localCluster{cfg: cfg, spec: spec, log: cfg.Log.With("run", spec.Run),
		pods: map[sut.NodeID]*pod{}, exits: exits{out: make(chan cluster.Exit, exitBuffer)}}
	program, err := filepath.Abs(spec.Image)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(program)
	if err == nil && (info.IsDir() || info.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is not a program", program)
	}
	if err != nil {
		return nil, &Error{Problem: "the node's program", Err: err,
			Advice: "without Docker, --image takes the path of a program"}
	}
	if c.home, err = makeHome(cfg.Dir, spec.Run); err != nil {
		return nil, err
	}
	hands := map[sut.NodeID]*beside.Hand{}
	var clients = []int{1}
	for i := range maxDrivers {
		clients = append(clients, firstDriver+i)
	}
	for i := range spec.Nodes + spec.Spares {
		n := sut.Node{ID: sut.NodeID(fmt.Sprintf("n%d", i+1)), Addr: hostOf(firstNode + i)}
		list := &c.nodes
		if i >= spec.Nodes {
			list = &c.spares
		}
		*list = append(*list, n)
		p := &pod{c: c, node: n, program: program, dir: filepath.Join(c.home.dir, string(n.ID))}
		p.Hand.Node, p.Peers = n, hands
		for _, host := range clients {
			p.Clients = append(p.Clients, hostOf(host))
		}
		c.pods[n.ID], hands[n.ID] = p, &p.Hand
	}
	if err := c.prepare(); err != nil {
		return nil, errors.Join(err, c.home.remove())
	}
	return c, nil
}

// prepare makes what the pods need of the host.
func (c *localCluster) prepare() error {
	var groups []group
	for _, p := range c.pods {
		for _, dir := range []string{"root", filepath.Join("disk", dataName)} {
			if err := os.MkdirAll(filepath.Join(p.dir, dir), 0o755); err != nil {
				return err
			}
		}
	}
	for _, p := range c.pods {
		p.group = makeGroup(c.spec.Run, string(p.node.ID))
		groups = append(groups, p.group)
	}
	return c.home.note(groups)
}

// up launches the fabric and then all pods at once.
func (c *localCluster) up(ctx context.Context) error {
	var err error
	if len(c.cfg.Guardian) > 0 {
		if c.guardian, err = startGuardian(c.cfg.Guardian, c.spec.Run); err != nil {
			return err
		}
	}
	c.fabric, err = launch(ctx, append(slices.Clone(c.cfg.Fabric), c.spec.Run),
		environment(c.spec.Run))
	if err != nil {
		return &Error{Problem: "make namespaces", Err: err, Advice: advice()}
	}
	// No node begins before every peer can be reached, as far as networks go.
	if err := c.each(slices.Concat(c.nodes, c.spares), func(p *pod) error {
		return p.up(ctx)
	}); err != nil {
		return err
	}
	return c.each(c.nodes, func(p *pod) error { return p.start(ctx) })
}

// each does something for several nodes at once.
func (c *localCluster) each(nodes []sut.Node, do func(*pod) error) error {
	var g errgroup.Group
	for _, n := range nodes {
		g.Go(func() error {
			if err := do(c.pods[n.ID]); err != nil {
				return fmt.Errorf("node %s: %w", n.ID, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// hosts is the text of /etc/hosts.
func (c *localCluster) hosts() string {
	var b strings.Builder
	b.WriteString("127.0.0.1 localhost\n")
	for _, n := range slices.Concat(c.nodes, c.spares) {
		fmt.Fprintf(&b, "%s %s\n", n.Addr, n.ID)
	}
	return b.String()
}

// Nodes implements [cluster.Cluster].
func (c *localCluster) Nodes() []sut.Node { return slices.Clone(c.nodes) }

// Spares implements [cluster.Reserve].
func (c *localCluster) Spares() []sut.Node { return slices.Clone(c.spares) }

// Host implements [cluster.Cluster].
func (c *localCluster) Host(id sut.NodeID) cluster.Host {
	p, ok := c.pods[id]
	if !ok {
		return nil
	}
	return p
}

// Exits implements [cluster.Cluster].
func (c *localCluster) Exits() <-chan cluster.Exit { return c.exits.out }

// Collect implements [cluster.Cluster]. Beside the logs it leaves the last words of each agent, if
// there were any.
func (c *localCluster) Collect(_ context.Context, dir string) error {
	var errs []error
	for _, p := range c.pods {
		if p.logs != nil {
			p.logs.drain()
		}
		if p.stream != nil && p.stream.errs.String() != "" {
			errs = append(errs, os.WriteFile(filepath.Join(dir, string(p.node.ID)+".agent.log"),
				[]byte(p.stream.errs.String()+"\n"), 0o644))
		}
	}
	return errors.Join(errs...)
}

// downTimeout bounds a teardown, whatever the context of the caller says.
const downTimeout = 60 * time.Second

// Down implements [cluster.Cluster].
func (c *localCluster) Down(context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil
	}
	c.exits.stop()
	done := make(chan error, 1)
	go func() { done <- c.tearDown() }()
	select {
	case err := <-done:
		c.down = err == nil
		return err
	case <-time.After(downTimeout):
		return fmt.Errorf("take run %s down: it is not gone after %v", c.spec.Run, downTimeout)
	}
}

// tearDown kills the fabric, with which everything goes that is the kernel's, and removes the rest.
func (c *localCluster) tearDown() error {
	var errs []error
	for _, s := range c.drivers {
		errs = append(errs, s.Close())
	}
	for _, p := range slices.Collect(maps.Values(c.pods)) {
		// What is frozen could not even be killed.
		errs = append(errs, p.group.freeze(context.Background(), false))
		if p.stream != nil {
			errs = append(errs, p.stream.Close())
		}
	}
	if c.fabric != nil {
		c.fabric.end()
	}
	for _, p := range c.pods {
		if p.logs != nil {
			errs = append(errs, p.logs.stop())
		}
	}
	errs = append(errs, c.home.remove())
	if c.guardian != nil {
		errs = append(errs, c.guardian.dismiss())
	}
	return errors.Join(errs...)
}

// Driver implements [cluster.DriverHost].
func (c *localCluster) Driver(ctx context.Context) (io.ReadWriteCloser, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.down {
		return nil, errors.New("start the client driver: the cluster is down")
	}
	i := len(c.drivers)
	if i == maxDrivers {
		return nil, fmt.Errorf("start the client driver: there are %d already", maxDrivers)
	}
	s, theirs, err := newStreams()
	if err != nil {
		return nil, fmt.Errorf("start the client driver: %w", err)
	}
	defer closeAll(theirs)
	err = c.fabric.ask(ctx, request{Op: opDriver, Name: fmt.Sprintf("driver%d", i+1),
		Addr: hostOf(firstDriver + i), Argv: c.cfg.Driver, Nodes: len(c.pods),
		Program: c.cfg.DriverProgram, Env: environment(c.spec.Run),
	}, func(event) {}, theirs...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the client driver: %w", err), s.Close())
	}
	c.drivers = append(c.drivers, s)
	return s, nil
}
