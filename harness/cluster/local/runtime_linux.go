package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/cluster"
)

// Runtime makes clusters of namespaces. It may be used concurrently.
type Runtime struct{ cfg Config }

var _ cluster.Runtime = (*Runtime)(nil)

// New makes a Runtime.
func New(cfg Config) *Runtime {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Runtime{cfg: cfg}
}

// Name implements [cluster.Runtime].
func (r *Runtime) Name() string { return "local" }

// Check implements [cluster.Runtime]: namespaces like those of a run can be made, with a network in
// them. They are gone again when it returns.
func (r *Runtime) Check(ctx context.Context) error {
	f, err := launch(ctx, append(r.cfg.Fabric, "check"), environment("check"))
	if err != nil {
		return &Error{Problem: "namespaces for a cluster can not be made here", Err: err,
			Advice: advice()}
	}
	f.end()
	return nil
}

// advice says what keeps those who are not root from namespaces, as far as it can be seen.
func advice() string {
	if os.Geteuid() == 0 {
		return "this may be a container without CAP_SYS_ADMIN; use Docker, or a plain machine"
	}
	for _, s := range []struct{ path, bad, to string }{
		{"kernel/apparmor_restrict_unprivileged_userns", "1", "0"},
		{"kernel/unprivileged_userns_clone", "0", "1"},
		{"user/max_user_namespaces", "0", "10000"},
	} {
		now, err := os.ReadFile("/proc/sys/" + s.path)
		if err == nil && strings.TrimSpace(string(now)) == s.bad {
			return "run it as root, or allow user namespaces: sysctl " +
				strings.ReplaceAll(s.path, "/", ".") + "=" + s.to
		}
	}
	return "run it as root; user namespaces for others seem to be forbidden here"
}

// runName is what may be the name of a directory.
var runName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

// Up implements [cluster.Runtime]. spec.Image is the path of a program for this machine.
func (r *Runtime) Up(ctx context.Context, spec cluster.Spec) (cluster.Cluster, error) {
	switch {
	case !runName.MatchString(spec.Run):
		return nil, fmt.Errorf("run %q: want letters, digits, '.', '_' and '-'", spec.Run)
	case spec.Nodes < 1 || spec.Spares < 0 || spec.Nodes+spec.Spares > maxNodes:
		return nil, fmt.Errorf("%d nodes and %d spares: want 1 to %d together", spec.Nodes,
			spec.Spares, maxNodes)
	case spec.Keep:
		return nil, &Error{Problem: "a local cluster can not be kept: it ends with raftcheck",
			Advice: "leave out --keep, or use --runtime docker"}
	}
	begin := time.Now()
	c, err := newCluster(r.cfg, spec)
	if err != nil {
		return nil, fmt.Errorf("bring up run %s: %w", spec.Run, err)
	}
	if err := c.up(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bring up run %s: %w", spec.Run, err), c.Down(ctx))
	}
	r.cfg.Log.Debug("cluster is up", "nodes", spec.Nodes, "took", time.Since(begin))
	return c, nil
}

// environment is that of everything that belongs to a run: a program needs little, and who looks at
// a process shall see to which run it belongs.
func environment(run string) []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/",
		"RAFTCHECK_RUN=" + run}
}
