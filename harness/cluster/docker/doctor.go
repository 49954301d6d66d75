package docker

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"github.com/docker/docker/api/types/container"

	"github.com/raftcheck/raftcheck/harness/cluster/beside"
	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// Finding is what a doctor says about one thing.
type Finding struct {
	// Name is what was looked at.
	Name string `json:"name"`
	// OK says that it works.
	OK bool `json:"ok"`
	// Optional says that runs are possible without it.
	Optional bool `json:"optional,omitempty"`
	// Detail is what was found: a version, or why it does not work.
	Detail string `json:"detail"`
	// Hint is what to do about it; empty if it works.
	Hint string `json:"hint,omitempty"`
}

// Examine says what the engine can do for us. toolImage makes the image of the agent, which is run
// to see what its kernel allows; it is removed again.
func (e *Engine) Examine(ctx context.Context, toolImage func(context.Context) (string, error),
) []Finding {
	fs := []Finding{{Name: "Docker engine", OK: true,
		Detail: fmt.Sprintf("%s at %s, API %s (we speak %s), %s/%s, kernel %s", e.Version, e.Host,
			e.API, e.Speaks, e.OS, e.Arch, e.Kernel)}}
	fs = append(fs, e.examineHost(ctx)...)
	image, err := toolImage(ctx)
	if err != nil {
		return append(fs, failed("tool image", err, "without it neither faults nor clients work"))
	}
	fs = append(fs, Finding{Name: "tool image", OK: true, Detail: image})
	abilities, err := e.probe(ctx, image)
	if err != nil {
		return append(fs, failed("fault agent", err,
			"its container needs the capabilities NET_ADMIN, NET_RAW, KILL and SYS_PTRACE"))
	}
	for _, a := range abilities {
		f := Finding{Name: a.Name, OK: a.Missing == "", Optional: true, Detail: "by " + a.Needs}
		if !f.OK {
			f.Detail = a.Missing
			f.Hint = "this fault is skipped here; it is made of " + a.Needs
		}
		fs = append(fs, f)
	}
	return fs
}

// failed is a finding from an error; an error that knows a hint gives it.
func failed(name string, err error, hint string) Finding {
	if own, ok := errors.AsType[*Error](err); ok && own.Advice != "" {
		hint = own.Advice
	}
	return Finding{Name: name, Detail: err.Error(), Hint: hint}
}

func (e *Engine) examineHost(ctx context.Context) []Finding {
	var fs []Finding
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := e.cli.Info(ctx)
	if err != nil {
		fs = append(fs, failed("engine info", err, "see what `docker info` says"))
	} else {
		fs = append(fs, Finding{Name: "cgroups", OK: info.CgroupVersion != "", Optional: true,
			Detail: fmt.Sprintf("version %s, driver %s", info.CgroupVersion, info.CgroupDriver)})
		fs = append(fs, Finding{Name: "size", OK: true,
			Detail: fmt.Sprintf("%d processors, %d MiB", info.NCPU, info.MemTotal>>20)})
	}
	fs = append(fs, examineGo(ctx))
	ryuk := Finding{Name: "Ryuk image", Optional: true, Detail: ryukImage(), OK: e.hasRyuk(ctx)}
	if !ryuk.OK {
		ryuk.Detail += " can not be had; the guardian and labels do its work"
	}
	fs = append(fs, ryuk)
	runs, err := e.Runs(ctx)
	if err != nil {
		return append(fs, failed("runs left behind", err, "see what `docker ps -a` says"))
	}
	return append(fs, leftBehind(runs))
}

func examineGo(ctx context.Context) Finding {
	out, err := exec.CommandContext(ctx, "go", "version").Output()
	if err != nil {
		return Finding{Name: "Go toolchain", Optional: true, Detail: err.Error(),
			Hint: "install Go to test the node of a checkout, or name an image with --image"}
	}
	return Finding{Name: "Go toolchain", OK: true, Optional: true,
		Detail: strings.TrimSpace(string(out))}
}

func leftBehind(runs []Run) Finding {
	var dead, kept, living int
	for _, r := range runs {
		switch {
		case r.Keep:
			kept++
		case r.Alive:
			living++
		default:
			dead++
		}
	}
	f := Finding{Name: "runs on the engine", OK: dead == 0, Optional: true,
		Detail: fmt.Sprintf("%d running, %d kept, %d left behind", living, kept, dead)}
	if dead > 0 {
		f.Hint = "raftcheck cleanup"
	}
	return f
}

// probe starts an agent without a network, with the rights that it has beside a node, and asks it
// what it can do.
func (e *Engine) probe(ctx context.Context, image string) ([]wire.Ability, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	h := &container.HostConfig{NetworkMode: "none"}
	restrict(h)
	e.agentRights(h)
	e.diskRights(h)
	created, err := e.cli.ContainerCreate(ctx, &container.Config{Image: image,
		Cmd: []string{"agent"}, Labels: labels("doctor", "", "agent", false),
		OpenStdin: true, AttachStdin: true, AttachStdout: true, AttachStderr: true},
		h, nil, nil, "")
	if err != nil {
		return nil, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		_ = e.cli.ContainerRemove(ctx, created.ID, container.RemoveOptions{Force: true})
	}()
	stream, err := e.attach(ctx, created.ID)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	if err := e.cli.ContainerStart(ctx, created.ID, container.StartOptions{}); err != nil {
		return nil, err
	}
	abilities, err := wire.NewClient(stream, stream).Probe(ctx)
	if err != nil {
		return nil, beside.WithLastWords(err, stream.errs.String())
	}
	return abilities, nil
}
