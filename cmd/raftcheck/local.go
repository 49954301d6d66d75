package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
	"github.com/raftcheck/raftcheck/harness/cluster/local"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// chooseRuntime settles where nodes run if nobody said so: in containers, or in namespaces where no
// Docker engine answers.
func (t *tested) chooseRuntime(ctx context.Context) {
	if t.cfg.Runtime != "" {
		return
	}
	t.cfg.Runtime = "docker"
	engine, err := docker.Connect(ctx, t.log)
	if err == nil {
		_ = engine.Close() // only connections
		return
	}
	t.log.Debug("no Docker engine", "err", err)
	if runtime.GOOS != "linux" {
		return // then it is told why Docker does not work
	}
	t.cfg.Runtime = "local"
	if !t.flags.quiet {
		fmt.Fprintln(t.cmd.ErrOrStderr(),
			"no Docker engine answers: the nodes run in Linux namespaces (--runtime local)")
	}
}

// openLocal makes the local runtime ready, and finds the node's program.
func (t *tested) openLocal(ctx context.Context, live *live) error {
	reaped, err := local.ReapDead("", t.log)
	for _, run := range reaped {
		t.log.Info("removed what a dead run left", "run", run)
	}
	if err != nil {
		t.log.Warn("could not remove all that dead runs left", "error", err)
	}
	rt := local.New(localConfig(t.log))
	if err := rt.Check(ctx); err != nil {
		return err
	}
	t.engine = "Linux namespaces"
	t.runtime = rt
	return t.localNode(ctx, live)
}

// localConfig says how this program becomes what there is beside nodes.
func localConfig(log *slog.Logger) local.Config {
	own := func(args ...string) []string { return append([]string{"raftcheck"}, args...) }
	return local.Config{
		Fabric: own("fabric"), Pod: own("pod"), Driver: own("driver"),
		Guardian: own("guardian", "--local"), Log: log,
	}
}

// localNode finds the node's program: the one that was named, or one from the checkout. It is
// copied, so that the run has one program from its beginning to its end.
func (t *tested) localNode(ctx context.Context, live *live) (err error) {
	src := t.nodeSource()
	path := src.Binary
	if path == "" {
		path = src.Image // a runtime without images takes it for a path
	}
	if src.Dockerfile != "" {
		return usage("--binary FILE", "a Dockerfile needs Docker, and the nodes are to run without")
	}
	if path != "" {
		t.image, err = local.KeepProgram(path)
		return err
	}
	builder, ok := t.system.(sut.Builder)
	if !ok {
		return usage("--binary FILE; examples/build.sh builds some real systems",
			"nothing says what a node of the system %s is", t.system.Name())
	}
	live.say("building the node from the checkout")
	t.image, err = buildLocalNode(ctx, builder.MainPackage(), "")
	return err
}

// buildLocalNode compiles a node's main package from the checkout for this machine, and names the
// program. overlay is as for [ensureNodeImage].
func buildLocalNode(ctx context.Context, mainPackage, overlay string) (kept string, err error) {
	build := docker.GoBuild{Package: mainPackage, Overlay: overlay}
	if build.Checkout, err = findCheckout(); err != nil {
		return "", err
	}
	err = build.Run(ctx, runtime.GOARCH, func(binary string) (err error) {
		kept, err = local.KeepProgram(binary)
		return err
	})
	return kept, err
}

// fabricCmd is process 1 of a run without Docker.
func fabricCmd() *cobra.Command {
	return &cobra.Command{
		Use: "fabric RUN", Short: "hold the namespaces of a run, for a raftcheck outside",
		Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return failure(local.Fabric(textLog(cmd.ErrOrStderr())))
		},
	}
}

// podCmd is the agent beside a node without Docker: it makes its namespaces fit first.
func podCmd() *cobra.Command {
	return &cobra.Command{
		Use: "pod SPEC", Short: "apply faults beside a node, for a raftcheck outside",
		Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := local.Pod(args[0]); err != nil {
				return failure(err)
			}
			return failure(runAgent(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(),
				cmd.ErrOrStderr()))
		},
	}
}

// textLog tells what is done in plain lines.
func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// cleanLocal removes what dead runs without Docker left, and says what it removed. With all it also
// removes the copies of the nodes' programs.
func cleanLocal(w io.Writer, all bool, log *slog.Logger) error {
	reaped, err := local.ReapDead("", log)
	for _, run := range reaped {
		fmt.Fprintf(w, "removed run %s: its directory and control groups\n", run)
	}
	if all && err == nil {
		err = local.RemovePrograms()
	}
	return err
}
