package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
)

// Item is one thing on the engine that a run made.
type Item struct {
	// Kind is "container", "network", "volume" or "image".
	Kind string
	// Name is how a person would call it.
	Name string

	id string
}

func (i Item) String() string { return i.Kind + " " + i.Name }

// Run is what one run left on the engine.
type Run struct {
	// ID is that of the run.
	ID string
	// Owner is the process that made it, <host>:<pid>:<start time>.
	Owner string
	// Created is when the first of its items was made.
	Created time.Time
	// Alive is proven, and so is Dead; both are false for an owner on another machine.
	Alive, Dead bool
	// Keep says that it was asked to stay.
	Keep bool
	// Items are all that there is.
	Items []Item
}

// Runs lists what any run left on the engine, the oldest first.
func (e *Engine) Runs(ctx context.Context) ([]Run, error) {
	found, err := e.list(ctx, "")
	if err != nil {
		return nil, err
	}
	byID := map[string]*Run{}
	for _, f := range found {
		id := f.labels[LabelRun]
		r := byID[id]
		if r == nil {
			r = &Run{ID: id, Owner: f.labels[LabelOwner]}
			if o, ok := parseOwner(r.Owner, f.labels[LabelBoot]); ok {
				l := o.life()
				r.Alive, r.Dead = l == alive, l == dead
			}
			byID[id] = r
		}
		if sec, err := strconv.ParseInt(f.labels[LabelCreated], 10, 64); err == nil {
			if at := time.Unix(sec, 0); r.Created.IsZero() || at.Before(r.Created) {
				r.Created = at
			}
		}
		r.Keep = r.Keep || f.labels[LabelKeep] == "true"
		r.Items = append(r.Items, f.Item)
	}
	runs := make([]Run, 0, len(byID))
	for _, r := range byID {
		runs = append(runs, *r)
	}
	slices.SortFunc(runs, func(a, b Run) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return runs, nil
}

// ReapDead removes the runs whose owner is proven to be dead and that were not asked to stay. It
// returns those that it removed.
func (e *Engine) ReapDead(ctx context.Context) ([]Run, error) {
	runs, err := e.Runs(ctx)
	if err != nil {
		return nil, err
	}
	var reaped []Run
	var errs []error
	for _, r := range runs {
		if !r.Dead || r.Keep {
			continue
		}
		if r.Items, err = e.Reap(ctx, r.ID); err != nil {
			errs = append(errs, err)
		}
		reaped = append(reaped, r)
	}
	return reaped, errors.Join(errs...)
}

// Reap removes everything that a run made, and returns what it removed. What somebody else removes
// meanwhile is no error.
func (e *Engine) Reap(ctx context.Context, run string) ([]Item, error) {
	if run == "" {
		return nil, errors.New("reap: which run?")
	}
	found, err := e.list(ctx, run)
	if err != nil {
		return nil, err
	}
	var removed []Item
	// Networks and volumes are in use as long as there are containers.
	for _, kind := range []string{"container", "network", "volume"} {
		done, err := e.removeAll(ctx, found, kind)
		removed = append(removed, done...)
		if err != nil {
			return removed, fmt.Errorf("reap run %s: %w", run, err)
		}
	}
	return removed, nil
}

// removeAll removes the items of a kind, all at once.
func (e *Engine) removeAll(ctx context.Context, found []labelled, kind string) ([]Item, error) {
	var mu sync.Mutex // guards removed and errs
	var removed []Item
	var errs []error
	var wg sync.WaitGroup
	for _, f := range found {
		if f.Kind != kind {
			continue
		}
		wg.Go(func() {
			err := e.remove(ctx, f.Item)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("remove %s: %w", f.Item, err))
				return
			}
			removed = append(removed, f.Item)
		})
	}
	wg.Wait()
	return removed, errors.Join(errs...)
}

func (e *Engine) remove(ctx context.Context, i Item) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var err error
	switch i.Kind {
	case "container":
		err = e.removeContainer(ctx, i.id)
	case "network":
		err = e.cli.NetworkRemove(ctx, i.id)
	case "volume":
		err = e.cli.VolumeRemove(ctx, i.id, true)
	case "image":
		_, err = e.cli.ImageRemove(ctx, i.id, image.RemoveOptions{PruneChildren: true})
	}
	return ignoreGone(err)
}

// removeContainer ends and removes a container. If somebody else is at it already, it waits until
// it is gone: its network can not be removed before.
func (e *Engine) removeContainer(ctx context.Context, id string) error {
	err := e.cli.ContainerRemove(ctx, id, container.RemoveOptions{Force: true, RemoveVolumes: true})
	if !errdefs.IsConflict(err) {
		return err
	}
	gone, failed := e.cli.ContainerWait(ctx, id, container.WaitConditionRemoved)
	select {
	case <-gone:
		return nil
	case err := <-failed:
		return err
	}
}

func ignoreGone(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// labelled is an item with its labels.
type labelled struct {
	Item
	labels map[string]string
}

// list finds what a run made, or any run if that is empty.
func (e *Engine) list(ctx context.Context, run string) ([]labelled, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var found []labelled
	containers, err := e.cli.ContainerList(ctx, container.ListOptions{All: true, Filters: ofRun(run)})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	for _, c := range containers {
		name := c.ID[:12]
		if len(c.Names) > 0 {
			name = c.Names[0][1:] // they begin with a slash
		}
		found = append(found, labelled{Item{"container", name, c.ID}, c.Labels})
	}
	networks, err := e.cli.NetworkList(ctx, network.ListOptions{Filters: ofRun(run)})
	if err != nil {
		return nil, fmt.Errorf("list networks: %w", err)
	}
	for _, n := range networks {
		found = append(found, labelled{Item{"network", n.Name, n.ID}, n.Labels})
	}
	volumes, err := e.cli.VolumeList(ctx, volume.ListOptions{Filters: ofRun(run)})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	for _, v := range volumes.Volumes {
		found = append(found, labelled{Item{"volume", v.Name, v.Name}, v.Labels})
	}
	return found, nil
}

// RemoveImages removes the images that were built by raftcheck and that no container uses.
func (e *Engine) RemoveImages(ctx context.Context) ([]Item, error) {
	images, err := e.cli.ImageList(ctx, image.ListOptions{
		Filters: filters.NewArgs(filters.Arg("label", LabelOurs+"=true"))})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var removed []Item
	for _, i := range images {
		for _, tag := range i.RepoTags {
			item := Item{"image", tag, tag}
			switch err := e.remove(ctx, item); {
			case errdefs.IsConflict(err): // in use
			case err != nil:
				return removed, fmt.Errorf("remove %s: %w", item, err)
			default:
				removed = append(removed, item)
			}
		}
	}
	return removed, nil
}
