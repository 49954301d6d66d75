package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"
	"github.com/docker/docker/pkg/jsonmessage"
	"github.com/testcontainers/testcontainers-go"
	tclog "github.com/testcontainers/testcontainers-go/log"

	"github.com/containerd/errdefs"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

// Config says how the containers beside the nodes are made.
type Config struct {
	// ToolImage holds the agent and the client driver; see [Engine.BuildImage].
	ToolImage string
	// DriverImage holds the client driver and what it needs beside itself; empty means ToolImage.
	DriverImage string
	// AgentArgs and DriverArgs follow its entry point; nil means "agent" and "driver".
	AgentArgs, DriverArgs []string
	// Guardian is the command that reaps a run whose harness died; the run is added to it as last
	// argument, and [Guard] is what it should do. Empty means that nobody guards.
	Guardian []string
	// Log tells what is done; nil for nothing.
	Log *slog.Logger
}

// Runtime makes clusters of containers. It may be used concurrently.
type Runtime struct {
	engine *Engine
	cfg    Config

	mu       sync.Mutex // guards provider
	provider *testcontainers.DockerProvider
}

var _ cluster.Runtime = (*Runtime)(nil)

// New makes clusters on an engine, which stays the caller's to close.
func New(e *Engine, cfg Config) *Runtime {
	if cfg.AgentArgs == nil {
		cfg.AgentArgs = []string{"agent"}
	}
	if cfg.DriverArgs == nil {
		cfg.DriverArgs = []string{"driver"}
	}
	if cfg.DriverImage == "" {
		cfg.DriverImage = cfg.ToolImage
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Runtime{engine: e, cfg: cfg}
}

// Name implements [cluster.Runtime].
func (r *Runtime) Name() string { return "docker" }

// Check implements [cluster.Runtime]: the engine answers, and the tool image is there.
func (r *Runtime) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := r.engine.cli.Ping(ctx); err != nil {
		return &Error{Problem: "the Docker engine does not answer any more", Err: err,
			Advice: "see whether it still runs: docker version"}
	}
	if _, err := r.engine.cli.ImageInspect(ctx, r.cfg.ToolImage); err != nil {
		return fmt.Errorf("tool image %s: %w", r.cfg.ToolImage, err)
	}
	return nil
}

// runName is what the engine takes for a part of a name.
var runName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Up implements [cluster.Runtime].
func (r *Runtime) Up(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	if !runName.MatchString(spec.Run) {
		return nil, fmt.Errorf("run %q: want letters, digits, '.', '_' and '-'", spec.Run)
	}
	if n := spec.Nodes + spec.Spares; spec.Nodes < 1 || spec.Spares < 0 || n > maxNodes {
		return nil, fmt.Errorf("%d nodes and %d spares: want 1 to %d",
			spec.Nodes, spec.Spares, maxNodes)
	}
	prov, err := r.testcontainers(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.engine.haveImage(ctx, spec.Image); err != nil {
		return nil, err
	}
	c := newCluster(r, prov, spec)
	if len(r.cfg.Guardian) > 0 && !spec.Keep {
		if c.guardian, err = startGuardian(r.cfg.Guardian, spec.Run); err != nil {
			return nil, err
		}
	}
	begin := time.Now()
	if err := c.up(ctx); err != nil {
		c.spec.Keep = false // half a cluster is of no use to anyone
		return nil, errors.Join(fmt.Errorf("bring up run %s: %w", spec.Run, err), c.Down(ctx))
	}
	r.cfg.Log.Debug("cluster is up", "nodes", spec.Nodes, "took", time.Since(begin))
	return c, nil
}

// testcontainers gives the provider that creates containers. It is made at the first use, when it
// is settled what testcontainers may do.
func (r *Runtime) testcontainers(ctx context.Context) (*testcontainers.DockerProvider, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.provider != nil {
		return r.provider, nil
	}
	if err := r.engine.prepareTestcontainers(ctx); err != nil {
		return nil, err
	}
	silent := testcontainers.WithLogger(silence{})
	p, err := testcontainers.NewDockerProvider(silent,
		testcontainers.WithDefaultBridgeNetwork("bridge"))
	if err != nil {
		return nil, fmt.Errorf("set up testcontainers: %w", err)
	}
	// One client in the process, so that both always mean the same engine.
	p.SetClient(lasting{r.engine.cli})
	r.provider = p
	return p, nil
}

// lasting is a client that is not closed by those who borrow it. testcontainers closes its client
// after each call; that drops idle connections under the hands of other calls, which then fail.
type lasting struct{ client.APIClient }

// Close does nothing.
func (lasting) Close() error { return nil }

// silence keeps testcontainers from writing to standard error.
type silence struct{}

var _ tclog.Logger = silence{}

// Printf implements [tclog.Logger].
func (silence) Printf(string, ...any) {}

// haveImage makes sure that the engine has the image, and pulls it otherwise.
func (e *Engine) haveImage(ctx context.Context, ref string) error {
	_, err := e.cli.ImageInspect(ctx, ref)
	if err == nil || !errdefs.IsNotFound(err) {
		return err
	}
	e.log.Info("pulling the image", "image", ref)
	progress, err := e.cli.ImagePull(ctx, ref, image.PullOptions{})
	if err == nil {
		err = jsonmessage.DisplayJSONMessagesStream(progress, io.Discard, 0, false, nil)
		progress.Close()
	}
	if err != nil {
		return &Error{Problem: fmt.Sprintf("the engine has no image %s, and it can not be pulled", ref),
			Err: err, Advice: "build it, load it with `docker load`, or correct its name"}
	}
	return nil
}
