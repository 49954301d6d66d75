package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/cluster/docker"
	"github.com/raftcheck/raftcheck/harness/cluster/local"
)

func doctorCmd() *cobra.Command {
	var (
		times    int
		budget   time.Duration
		markdown bool
		runtimes []string
	)
	cmd := &cobra.Command{
		Use: "doctor", Short: "What this machine can do",
		Long: "Say, for each runtime, what works here and why something does not.\nWith --measure " +
			"every " +
			"fault is tried on a cluster of our own store, which takes minutes.",
		Example: "  raftcheck doctor\n  raftcheck doctor --measure 20 --markdown > docs/FAULTS.md",
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := slog.New(slog.DiscardHandler)
			if times < 0 || times > maxReplays {
				return usage("--measure 20", "--measure %d: want 1 to %d", times, maxReplays)
			}
			if times == 0 {
				return failure(runDoctor(cmd.Context(), cmd.OutOrStdout(), log))
			}
			return failure(measureAll(cmd, runtimes, times, budget, markdown, log))
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.IntVar(&times, "measure", 0, "try every fault so many times")
	f.DurationVar(&budget, "budget", 5*time.Second,
		"what each fault may take of that, on each runtime")
	f.StringSliceVar(&runtimes, "runtime", []string{"docker", "local"}, "where to measure")
	f.BoolVar(&markdown, "markdown", false, "as the page docs/FAULTS.md, with its text")
	return cmd
}

// measureAll tries every fault on every runtime.
func measureAll(
	cmd *cobra.Command, runtimes []string, times int, budget time.Duration, markdown bool,
	log *slog.Logger,
) error {
	var all []measurement
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil && len(strings.Fields(string(text))) > 0 {
		load = strings.Fields(string(text))[0]
	}
	for _, name := range runtimes {
		m := &measurer{runtime: name, times: times, budget: budget, cmd: cmd, log: log}
		res, err := m.run(cmd.Context())
		if err != nil {
			return fmt.Errorf("measure on %s: %w", name, err)
		}
		all = append(all, res)
	}
	if markdown {
		kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
		if err != nil {
			return err
		}
		writeTables(cmd.OutOrStdout(), all, times, budget, oneLine(string(kernel)), load)
		return nil
	}
	writeSteps(cmd.OutOrStdout(), all)
	writeFaults(cmd.OutOrStdout(), all)
	return nil
}

// runDoctor says on w what this machine can do on each runtime, a line for each thing that a run is
// made of. The error says that no run is possible, or is nil.
func runDoctor(ctx context.Context, w io.Writer, log *slog.Logger) error {
	fmt.Fprintln(w, "runtime docker")
	onDocker := tellFindings(w, dockerFindings(ctx, log))
	fmt.Fprintln(w, "\nruntime local")
	onLocal := tellFindings(w, localFindings(ctx, log))
	switch {
	case onDocker && onLocal:
		return nil
	case onDocker:
		fmt.Fprintln(w, "\nruns are possible on docker")
	case onLocal:
		fmt.Fprintln(w, "\nruns are possible on local")
	default:
		return errors.New("no run is possible here; see what is marked no")
	}
	return nil
}

func dockerFindings(ctx context.Context, log *slog.Logger) []docker.Finding {
	e, err := docker.Connect(ctx, log)
	if err != nil {
		f := docker.Finding{Name: "Docker engine", Detail: err.Error()}
		if own, ok := errors.AsType[*docker.Error](err); ok {
			f.Hint = own.Advice
		}
		return []docker.Finding{f}
	}
	defer e.Close()
	return e.Examine(ctx, func(ctx context.Context) (string, error) {
		return ensureToolImage(ctx, e)
	})
}

func localFindings(ctx context.Context, log *slog.Logger) []docker.Finding {
	cfg := localConfig(log)
	cfg.Guardian = nil
	abilities, err := local.New(cfg).Probe(ctx)
	f := docker.Finding{Name: "namespaces", OK: err == nil, Detail: "of our own, as root"}
	if os.Geteuid() != 0 {
		f.Detail = "of our own, in a user namespace"
	}
	if err != nil {
		f.Detail = err.Error()
		if own, ok := errors.AsType[*local.Error](err); ok {
			f.Hint = own.Advice
		}
	}
	all := []docker.Finding{f}
	for _, a := range abilities {
		f := docker.Finding{Name: a.Name, OK: a.Missing == "", Optional: true, Detail: "by " + a.Needs}
		if !f.OK {
			f.Detail = a.Missing
			f.Hint = "this fault is skipped here; it is made of " + a.Needs
		}
		all = append(all, f)
	}
	return all
}

// tellFindings says on w what was found, and whether runs are possible.
func tellFindings(w io.Writer, findings []docker.Finding) (possible bool) {
	possible = true
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
	return possible
}
