package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
)

// runDoctor says on w what this machine can do, a line for each thing that a run is made of. The
// error says that no run is possible, or is nil.
func runDoctor(ctx context.Context, w io.Writer, log *slog.Logger) error {
	var findings []docker.Finding
	e, err := docker.Connect(ctx, log)
	if err != nil {
		f := docker.Finding{Name: "Docker engine", Detail: err.Error()}
		if own, ok := errors.AsType[*docker.Error](err); ok {
			f.Hint = own.Advice
		}
		findings = append(findings, f)
	} else {
		defer e.Close()
		findings = e.Examine(ctx, func(ctx context.Context) (string, error) {
			return ensureToolImage(ctx, e)
		})
	}
	possible := true
	for _, f := range findings {
		verdict := "ok"
		if !f.OK {
			verdict = "no"
			if !f.Optional {
				possible = false
			}
		}
		fmt.Fprintf(w, "%-3s %-26s %s\n", verdict, f.Name, f.Detail)
		if f.Hint != "" {
			fmt.Fprintf(w, "    hint: %s\n", f.Hint)
		}
	}
	if !possible {
		return errors.New("no run is possible here; see what is marked no")
	}
	return nil
}
