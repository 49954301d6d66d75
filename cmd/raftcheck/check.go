package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/report"
	"github.com/raftcheck/raftcheck/harness/store"
	"github.com/raftcheck/raftcheck/linearizability/edn"
)

// judged is a run with its verdict.
type judged struct {
	run         *store.Run
	history     *history.History
	verdict     *check.Verdict
	interrupted bool
	failure     string
}

// asked says how a history is to be judged. The zero value, but for limit, is as after the run.
type asked struct {
	limit time.Duration
	// model judges instead of the workload's checkers.
	model string
	// refused: a cas of Jepsen's that failed without an error found another value.
	refused bool
}

// judgeRun reads a run back from disk and judges it.
func judgeRun(ctx context.Context, run *store.Run, how asked) (*judged, error) {
	h, err := readHistory(run.HistoryPath(), how.refused)
	if err != nil {
		return nil, err
	}
	v, err := judge(ctx, h, how.model, run.FS(), how.limit)
	if err != nil {
		return nil, err
	}
	return &judged{run: run, history: h, verdict: v}, nil
}

// report makes the report. What desc leaves open is taken from the history.
func (j *judged) report(desc report.Run) *report.Report {
	desc.ID, desc.Dir = j.run.ID(), j.run.Dir()
	return report.Build(report.Input{
		Run: desc, History: j.history,
		Verdict: j.verdict.Validity, Why: j.verdict.Reason, Results: j.verdict.Results,
		Interrupted: j.interrupted, Failure: j.failure, Dir: j.run.FS(),
	})
}

// readHistory reads a history: ours, or one of Jepsen's, which is known by how it begins.
func readHistory(path string, refused bool) (*history.History, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	head, err := in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !edn.Is(head) {
		return history.ReadFile(path)
	}
	h, err := edn.Read(in, edn.Options{Refused: refused})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return h, nil
}

// exitOf is the exit code of a verdict.
func exitOf(v check.Validity) int {
	switch v {
	case check.Valid:
		return exitValid
	case check.Invalid:
		return exitInvalid
	}
	return exitUnknown
}

// writeReports writes every rendering into the run directory.
func writeReports(run *store.Run, rep *report.Report) error {
	text := func(w io.Writer) error {
		return rep.WriteText(w, report.Options{All: true, Timeline: true})
	}
	for _, r := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"report.json", rep.WriteJSON}, {"report.txt", text},
		{"report.html", rep.WriteHTML}, {"junit.xml", rep.WriteJUnit},
	} {
		if err := run.Write(r.name, r.write); err != nil {
			return err
		}
	}
	return nil
}

// show prints a report on stdout.
func show(w io.Writer, rep *report.Report, asJSON bool, how report.Options) error {
	if asJSON {
		return rep.WriteJSON(w)
	}
	how.Color = colour(w)
	return rep.WriteText(w, how)
}

// verdictOf reads the verdict that a run was given when it ended; nil if there is none.
func verdictOf(run *store.Run) []byte {
	dir := run.FS()
	if dir == nil {
		return nil
	}
	f, err := dir.Open("verdict.json")
	if err != nil {
		return nil
	}
	defer f.Close()
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil
	}
	return raw
}

// withRun judges a saved run, or a history alone, and hands it on.
func withRun(
	ctx context.Context, storeDir, ref string, how asked, do func(*judged) error,
) error {
	run, err := store.Open(storeDir, ref)
	if err != nil {
		return exit{exitUsage, err}
	}
	defer run.Close()
	j, err := judgeRun(ctx, run, how)
	if err != nil {
		return exit{exitUsage, err}
	}
	return do(j)
}

func checkCmd() *cobra.Command {
	var asJSON bool
	storeDir, how := config.Default().Store, asked{limit: config.Default().CheckLimit}
	cmd := &cobra.Command{
		Use:   "check RUN|FILE|latest",
		Short: "Judge a saved history again: any machine, no cluster",
		Long: "Judge a saved history again. The verdict is that of the run, byte for byte, unless " +
			"raftcheck\nhas changed; then it says so. Nothing is overwritten.\n\nA history of " +
			"Jepsen's, EDN or text, is judged too, by the model that --model names.\n\n" + exitCodes,
		Example: "  raftcheck check latest\n  raftcheck check history.jsonl --json\n" +
			"  raftcheck check history.edn --model cas-register",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("raftcheck check latest", "check wants one run, file or \"latest\"")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withRun(cmd.Context(), storeDir, args[0], how, func(j *judged) error {
				return recheck(cmd, j, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the verdict as JSON, on stdout")
	cmd.Flags().StringVar(&storeDir, "store", storeDir, "directory of all runs")
	cmd.Flags().DurationVar(&how.limit, "limit", how.limit, "what judging may take")
	cmd.Flags().StringVar(&how.model, "model", "", "judge by this model alone")
	cmd.Flags().BoolVar(&how.refused, "refused", false,
		"a cas of Jepsen's that failed without an error found another value")
	return cmd
}

// recheck prints the verdict of today and says if it is another than that of the run.
func recheck(cmd *cobra.Command, j *judged, asJSON bool) error {
	var doc bytes.Buffer
	if err := j.verdict.WriteJSON(&doc); err != nil {
		return exit{exitFailure, err}
	}
	var err error
	if asJSON {
		_, err = cmd.OutOrStdout().Write(doc.Bytes())
	} else {
		err = show(cmd.OutOrStdout(), j.report(describe(j)), false, report.Options{})
	}
	if err != nil {
		return exit{exitFailure, err}
	}
	if old := verdictOf(j.run); old != nil && !bytes.Equal(old, doc.Bytes()) {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: this is not the verdict that the run was given, "+
			j.run.Path("verdict.json"))
	}
	return exit{exitOf(j.verdict.Validity), nil}
}

func showCmd() *cobra.Command {
	var asJSON, all bool
	storeDir := config.Default().Store
	cmd := &cobra.Command{
		Use: "show RUN|FILE|latest", Short: "The report of a run, in the terminal",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("raftcheck show latest", "show wants one run, file or \"latest\"")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			as := asked{limit: config.Default().CheckLimit}
			return withRun(cmd.Context(), storeDir, args[0], as, func(j *judged) error {
				how := report.Options{Timeline: true, All: all}
				return failure(show(cmd.OutOrStdout(), j.report(describe(j)), asJSON, how))
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all findings, not only the first")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON, on stdout")
	cmd.Flags().StringVar(&storeDir, "store", storeDir, "directory of all runs")
	return cmd
}
