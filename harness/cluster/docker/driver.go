package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"github.com/raftcheck/raftcheck/harness/cluster/beside"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// driver is the client driver: a container on the run's network whose standard streams are ours.
type driver struct {
	*attachment
	engine *Engine
	id     string

	once sync.Once
	err  error
}

func (c *dockerCluster) startDriver(ctx context.Context, i int) (*driver, error) {
	making, cancel := steady(ctx)
	defer cancel()
	self := sut.Node{ID: sut.NodeID(fmt.Sprintf("driver%d", i+1)),
		Addr: hostOf(c.subnet, firstDriver+i)}
	ctr, err := c.provider.CreateContainer(making, testcontainers.ContainerRequest{
		Image:  c.cfg.DriverImage,
		Name:   c.network + "-" + string(self.ID),
		Cmd:    c.cfg.DriverArgs,
		Labels: labels(c.spec.Run, "", "driver", c.spec.Keep),
		ConfigModifier: func(cfg *container.Config) {
			cfg.Hostname = string(self.ID)
			cfg.OpenStdin, cfg.StdinOnce = true, true // it ends when the harness lets go
			cfg.AttachStdin, cfg.AttachStdout, cfg.AttachStderr = true, true, true
		},
		HostConfigModifier: func(h *container.HostConfig) {
			restrict(h)
			h.NetworkMode = container.NetworkMode(c.network)
			h.Tmpfs = map[string]string{"/tmp": ""}
			h.LogConfig = container.LogConfig{Type: "none"}
			h.Sysctls = c.engine.sysctls()
		},
		EndpointSettingsModifier: c.endpoint(self),
	})
	if err != nil {
		return nil, err // Down finds by its label what was made in spite of it
	}
	d := &driver{engine: c.engine, id: ctr.GetContainerID()}
	if d.attachment, err = c.engine.attach(ctx, d.id); err != nil {
		return nil, err
	}
	if err := start(ctx, ctr); err != nil {
		d.attachment.Close()
		return nil, err
	}
	return d, nil
}

// Read reads the driver's answers. An end that nobody asked for is an error that tells its last
// words.
func (d *driver) Read(p []byte) (int, error) {
	n, err := d.attachment.Read(p)
	if errors.Is(err, io.EOF) && d.errs.String() != "" {
		err = beside.WithLastWords(fmt.Errorf("the client driver ended: %w", io.ErrUnexpectedEOF),
			d.errs.String())
	}
	return n, err
}

// Close ends the driver. It is idempotent.
func (d *driver) Close() error {
	d.once.Do(func() {
		d.err = d.attachment.Close()
		ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
		defer cancel()
		d.err = errors.Join(d.err, ignoreGone(d.engine.cli.ContainerRemove(ctx, d.id,
			container.RemoveOptions{Force: true, RemoveVolumes: true})))
	})
	return d.err
}
