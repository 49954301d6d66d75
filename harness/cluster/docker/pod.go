package docker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	"golang.org/x/sync/errgroup"

	"github.com/raftcheck/raftcheck/harness/cluster/beside"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// pod is one node: the agent's container, and the node's own that joins it.
type pod struct {
	c     *dockerCluster
	node  sut.Node
	spare bool // it has no node's container until it joins

	stream  *attachment // to the agent
	agent   *wire.Client
	agentID string
	logs    *follower

	process sync.Mutex // one change of the node's process at a time

	// mu guards the next three, and is held while a kill is under way.
	mu        sync.Mutex
	container testcontainers.Container // the node's; nil if there is none
	kills     int                      // ours, whose exits the engine has not yet told
	frozen    bool

	disk disk // if it can be broken

	beside.Hand
}

// name is that of one of the pod's objects; the node itself has no suffix.
func (p *pod) name(suffix string) string {
	return p.c.network + "-" + string(p.node.ID) + suffix
}

func (p *pod) labels(role string) map[string]string {
	return labels(p.c.spec.Run, string(p.node.ID), role, p.c.spec.Keep)
}

// up makes the pod and starts the node. The node's container is made while the agent comes up.
func (p *pod) up(ctx context.Context) error {
	agent, err := p.createAgent(ctx)
	if err != nil {
		return fmt.Errorf("create the agent: %w", err)
	}
	p.agentID = agent.GetContainerID()
	if p.spare {
		return p.startAgent(ctx, agent)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := p.startAgent(gctx, agent); err != nil {
			return fmt.Errorf("start the agent: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		cmd := p.c.spec.System.Command(p.node, p.c.Nodes())
		if err := p.createNode(gctx, cmd); err != nil {
			return fmt.Errorf("create the container: %w", err)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return err
	}
	if err := p.openDisk(ctx, false); err != nil {
		return err
	}
	if err := p.openLog(); err != nil {
		return err
	}
	return p.startNode(ctx)
}

// openLog gets ready to follow what the node's container will write.
func (p *pod) openLog() (err error) {
	p.logs, err = newFollower(p.c.engine, p.containerID(), p.c.spec.LogDir, p.node.ID)
	if lines := p.c.spec.Lines; err == nil && lines != nil {
		p.logs.tell = func(line []byte) { lines(p.node.ID, line) }
	}
	return err
}

// createAgent makes the container that owns the pod's namespaces.
func (p *pod) createAgent(ctx context.Context) (testcontainers.Container, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	ctx, cancel := steady(ctx)
	defer cancel()
	if p.c.spec.Disk {
		if err := p.createVolume(ctx); err != nil {
			return nil, err
		}
	}
	return p.c.provider.CreateContainer(ctx, testcontainers.ContainerRequest{
		Image:  p.c.cfg.ToolImage,
		Name:   p.name("-agent"),
		Cmd:    p.c.cfg.AgentArgs,
		Labels: p.labels("agent"),
		ConfigModifier: func(cfg *container.Config) {
			cfg.Hostname = string(p.node.ID)
			cfg.OpenStdin = true // and not StdinOnce: detaching must not end the agent's input
			cfg.AttachStdin, cfg.AttachStdout, cfg.AttachStderr = true, true, true
		},
		HostConfigModifier: func(h *container.HostConfig) {
			restrict(h)
			p.c.engine.agentRights(h)
			if p.c.spec.Disk {
				p.c.engine.diskRights(h)
				h.Mounts = []mount.Mount{{Type: mount.TypeVolume, Source: p.name(""),
					Target: backingDir}}
			}
			h.NetworkMode = container.NetworkMode(p.c.network)
			h.Sysctls = p.c.engine.sysctls()
		},
		EndpointSettingsModifier: p.c.endpoint(p.node),
	})
}

// endpoint gives a container its fixed address and name on the run's network.
func (c *dockerCluster) endpoint(n sut.Node) func(map[string]*network.EndpointSettings) {
	return func(settings map[string]*network.EndpointSettings) {
		settings[c.network] = &network.EndpointSettings{
			Aliases:    []string{string(n.ID)},
			IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: n.Addr.String()},
		}
	}
}

// restrict takes every right from a container that it does not need.
func restrict(h *container.HostConfig) {
	h.CapDrop = []string{"ALL"}
	h.SecurityOpt = []string{"no-new-privileges"}
	h.ReadonlyRootfs = true
	h.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
}

// agentRights gives an agent what faults need. Its streams are attached, so nobody needs its log.
func (e *Engine) agentRights(h *container.HostConfig) {
	h.CapAdd = []string{"NET_ADMIN", "NET_RAW", "KILL", "SYS_PTRACE"}
	h.LogConfig = container.LogConfig{Type: "none"}
	if _, err := os.Stat(tunPath); err == nil && e.isLocal() {
		h.Devices = []container.DeviceMapping{{PathOnHost: tunPath, PathInContainer: tunPath,
			CgroupPermissions: "rwm"}}
		return
	}
	// A device that is not there would keep the container from starting; so the agent is allowed
	// to make it, and finds out for itself.
	h.CapAdd = append(h.CapAdd, "MKNOD")
	h.DeviceCgroupRules = []string{"c 10:200 rwm"}
}

// tunPath is the device that slow links are made of.
const tunPath = "/dev/net/tun"

// isLocal says whether the engine shares this machine's devices, as far as one can see.
func (e *Engine) isLocal() bool {
	mine, err := os.ReadFile("/proc/sys/kernel/osrelease")
	return err == nil && strings.HasPrefix(e.Host, "unix://") &&
		strings.TrimSpace(string(mine)) == e.Kernel
}

// sysctls are those of the pod's network namespace.
func (e *Engine) sysctls() map[string]string {
	s := map[string]string{
		// Answers may come back over another device than the request left by: the one that slows
		// links down.
		"net.ipv4.conf.all.rp_filter": "2",
	}
	if k := versionNumbers(e.Kernel); k[0] > 6 || k[0] == 6 && k[1] >= 15 {
		// Without it TCP tries again only after as long as the link was cut, up to two minutes.
		s["net.ipv4.tcp_rto_max_ms"] = "1000"
	}
	return s
}

// agentBudget bounds how long an agent may take to answer for the first time.
const agentBudget = 20 * time.Second

func (p *pod) startAgent(ctx context.Context, agent testcontainers.Container) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	making, cancel := steady(ctx)
	defer cancel()
	var err error
	if p.stream, err = p.c.engine.attach(making, agent.GetContainerID()); err != nil {
		return err
	}
	p.agent = wire.NewClient(p.stream, p.stream)
	p.Agent, p.LastWords = p.agent, p.stream.errs.String
	if err := start(ctx, agent); err != nil {
		return err
	}
	ctx, cancel = context.WithTimeout(ctx, agentBudget)
	defer cancel()
	if _, err := p.agent.Ping(ctx); err != nil {
		return beside.WithLastWords(err, p.stream.errs.String())
	}
	return nil
}

// createNode makes the node's container, and before it the volume that outlives its process.
func (p *pod) createNode(ctx context.Context, cmd sut.Command) error {
	ctx, cancel := steady(ctx)
	defer cancel()
	var mounts []mount.Mount
	if cmd.DataDir != "" {
		if err := p.createVolume(ctx); err != nil {
			return err
		}
		mounts = append(mounts, mount.Mount{Type: mount.TypeVolume, Source: p.name(""),
			Target: cmd.DataDir})
	}
	cmd, err := p.gated(ctx, cmd)
	if err != nil {
		return err
	}
	ctr, err := p.c.provider.CreateContainer(ctx, testcontainers.ContainerRequest{
		Image:      p.c.spec.Image,
		Name:       p.name(""),
		Cmd:        cmd.Args,
		Env:        cmd.Env,
		Labels:     p.labels("node"),
		Entrypoint: cmd.Entrypoint,
		ConfigModifier: func(cfg *container.Config) {
			if cmd.WorkDir != "" {
				cfg.WorkingDir = cmd.WorkDir
			}
		},
		HostConfigModifier: func(h *container.HostConfig) {
			restrict(h)
			h.NetworkMode = container.NetworkMode("container:" + p.agentID)
			h.PidMode = container.PidMode("container:" + p.agentID)
			h.Mounts = mounts
			h.Tmpfs = map[string]string{"/tmp": ""}
			h.LogConfig = container.LogConfig{Type: "json-file"} // one that can be read back
		},
	})
	if err == nil {
		p.setContainer(ctr)
	}
	return err
}

// start starts a container that was created.
func start(ctx context.Context, ctr testcontainers.Container) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	ctx, cancel := steady(ctx)
	defer cancel()
	return ctr.Start(ctx)
}

// startNode starts the node's container and follows its output. The process has been executed when
// it returns.
func (p *pod) startNode(ctx context.Context) error {
	mounted := p.mountDisk(ctx)
	err := start(ctx, p.nodeContainer())
	if err := errors.Join(err, mounted(err == nil)); err != nil {
		return beside.WithLastWords(err, p.lastWords(ctx))
	}
	p.logs.follow()
	return nil
}

// mustRun says why the node does not run, if it does not.
func (p *pod) mustRun(ctx context.Context) error {
	n, err := p.agent.State(ctx)
	if err != nil {
		return beside.WithLastWords(err, p.stream.errs.String())
	}
	if n.State != wire.Gone {
		return nil
	}
	code := "with an unknown code"
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := p.c.engine.cli.ContainerInspect(ctx, p.containerID())
	if err == nil {
		code = fmt.Sprintf("with code %d", info.State.ExitCode)
	}
	ended := fmt.Errorf("its process ended %s as soon as it was started", code)
	return &Error{Problem: beside.WithLastWords(ended, p.lastWords(ctx)).Error(),
		Advice: "see why the image " + p.c.spec.Image + " does not stay up; its last words are above"}
}

// lastWords are the last lines that the node wrote.
func (p *pod) lastWords(ctx context.Context) string {
	lines, err := p.c.engine.lastLines(ctx, p.containerID(), 10)
	if err != nil {
		return ""
	}
	return lines
}

// letGo ends what the harness holds of the pod, and leaves the pod as it is.
func (p *pod) letGo() {
	if p.logs != nil {
		p.logs.stop()
	}
	if p.stream != nil {
		p.stream.Close()
	}
}
