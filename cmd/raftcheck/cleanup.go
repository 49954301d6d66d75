package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
)

// runCleanup removes what interrupted runs left on the engine, and says on w what it removed and
// what it left, and why. A run whose owner lives is never touched. With all it also removes what
// was asked to stay, runs of other machines, and images.
func runCleanup(ctx context.Context, w io.Writer, all bool, log *slog.Logger) error {
	if err := cleanLocal(w, all, log); err != nil {
		return err
	}
	e, err := docker.Connect(ctx, log)
	if err != nil {
		fmt.Fprintln(w, "no Docker engine answers, so nothing was looked for there")
		return nil
	}
	defer e.Close()
	runs, err := e.Runs(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range runs {
		if why := mustStay(r, all); why != "" {
			fmt.Fprintf(w, "left run %s of %s: %s\n", r.ID, r.Owner, why)
			continue
		}
		removed, err := e.Reap(ctx, r.ID)
		errs = append(errs, err)
		fmt.Fprintf(w, "removed run %s: %s\n", r.ID, listItems(removed))
	}
	if all {
		removed, err := e.RemoveImages(ctx)
		errs = append(errs, err)
		if len(removed) > 0 {
			fmt.Fprintf(w, "removed %s\n", listItems(removed))
		}
	}
	if len(runs) == 0 {
		fmt.Fprintln(w, "no run left anything")
	}
	return errors.Join(errs...)
}

// mustStay says why a run is not to be removed; empty if it is.
func mustStay(r docker.Run, all bool) string {
	switch {
	case r.Alive && r.Keep:
		return "its process still runs, and it is kept on purpose"
	case r.Alive:
		return "its process still runs"
	case all:
		return ""
	case r.Keep:
		return "it is kept on purpose; --all removes it"
	case !r.Dead:
		return "its process may run on another machine; --all removes it"
	}
	return ""
}

func listItems(items []docker.Item) string {
	if len(items) == 0 {
		return "nothing"
	}
	names := make([]string, 0, len(items))
	for _, i := range items {
		names = append(names, i.String())
	}
	return strings.Join(names, ", ")
}

// reapDead removes, at the start of a run, what former runs left whose owner is proven to be dead.
// What can not be removed does not stand in the way of a new run.
func reapDead(ctx context.Context, e *docker.Engine, log *slog.Logger) {
	reaped, err := e.ReapDead(ctx)
	for _, r := range reaped {
		log.Info("removed what a dead run left", "run", r.ID, "items", len(r.Items))
	}
	if err != nil {
		log.Warn("could not remove all that dead runs left", "error", err)
	}
}
