package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/store"
	"github.com/raftcheck/raftcheck/linearizability"
	"github.com/raftcheck/raftcheck/linearizability/edn"
)

func convertCmd() *cobra.Command {
	var model, to string
	var refused bool
	storeDir := config.Default().Store
	cmd := &cobra.Command{
		Use:   "convert RUN|FILE|latest OUT",
		Short: "Write a history in another format: ours, or Jepsen's",
		Long: "Write a history in another format. What is read is known by its content; what is " +
			"written, by the end\nof OUT or by --to:\n\n" +
			"  .jsonl, .jsonl.zst  ours, plain or compressed\n" +
			"  .edn                Jepsen's EDN, a map on each line\n" +
			"  .log                Jepsen's text log of 2014\n\n" +
			"OUT must not exist; \"-\" is stdout. What a format has no place for is lost: to Jepsen, " +
			"what a refused\ncas found, and what was observed of the nodes.",
		Example: "  raftcheck convert latest history.edn\n" +
			"  raftcheck convert etcd_007.log history.jsonl.zst --model cas-register --refused",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage("raftcheck convert latest history.edn",
					"convert wants a run or a file, and where to write it")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			format, err := formatOf(args[1], to)
			if err == nil && args[1] != "-" {
				err = free(args[1])
			}
			if err != nil {
				return exit{exitUsage, err}
			}
			if model != "" {
				if _, err := linearizability.ModelNamed(model); err != nil {
					return exit{exitUsage, hinted{err, "raftcheck check --help"}}
				}
			}
			run, err := store.Open(storeDir, args[0])
			if err != nil {
				return exit{exitUsage, err}
			}
			defer run.Close()
			h, err := readHistory(run.HistoryPath(), refused)
			if err != nil {
				return exit{exitUsage, err}
			}
			h.Header.Model = cmp.Or(model, h.Header.Model)
			return failure(convert(cmd.OutOrStdout(), h, args[1], format))
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "the format of OUT: jsonl, jsonl.zst, edn or log")
	cmd.Flags().StringVar(&model, "model", "", "the model that judges it, for a history without one")
	cmd.Flags().StringVar(&storeDir, "store", storeDir, "directory of all runs")
	cmd.Flags().BoolVar(&refused, "refused", false,
		"a cas of Jepsen's that failed without an error found another value")
	return cmd
}

// formatOf is the format of a file: the one that was asked for, or that of its name.
func formatOf(path, asked string) (string, error) {
	if path == "-" && (asked == "" || asked == "jsonl.zst") {
		return "", hinted{errors.New("the format of stdout must be named"),
			"--to jsonl, edn or log"}
	}
	formats := []string{"jsonl.zst", "jsonl", "edn", "log"}
	for _, f := range formats {
		if asked == f || asked == "" && strings.HasSuffix(path, "."+f) {
			return f, nil
		}
	}
	if asked != "" {
		return "", hinted{fmt.Errorf("unknown format %q: there is %s", asked,
			strings.Join(formats, ", ")), "raftcheck convert --help"}
	}
	return "", hinted{fmt.Errorf("the name %q says no format", filepath.Base(path)),
		"end it in ." + strings.Join(formats, ", .") + ", or name one with --to"}
}

// free says what stands in the way of a new file.
func free(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return hinted{fmt.Errorf("%s exists already", path), "name another file; nothing is overwritten"}
	}
	return nil
}

// convert writes h to the file path. After an error there is no such file.
func convert(stdout io.Writer, h *history.History, path, format string) (err error) {
	if path == "-" {
		return writeAs(stdout, h, format)
	}
	// The name keeps its end, by which the recorder knows whether to compress.
	part := filepath.Join(filepath.Dir(path), ".part."+filepath.Base(path))
	if format == "jsonl.zst" && !strings.HasSuffix(part, ".zst") {
		part += ".zst"
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	if format == "jsonl" || format == "jsonl.zst" {
		rec, err := history.Create(part, h.Header)
		if err != nil {
			return err
		}
		if err := record(rec, h); err != nil {
			return err
		}
		return os.Rename(part, path)
	}
	f, err := os.OpenFile(part, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := errors.Join(writeAs(f, h, format), f.Close()); err != nil {
		return err
	}
	return os.Rename(part, path)
}

// writeAs writes h as plain text.
func writeAs(w io.Writer, h *history.History, format string) error {
	switch format {
	case "edn":
		return edn.Write(w, h)
	case "log":
		return edn.WriteText(w, h)
	}
	rec, err := history.NewRecorder(w, h.Header)
	if err != nil {
		return err
	}
	return record(rec, h)
}

// record writes the operations of h, and closes rec.
func record(rec *history.Recorder, h *history.History) (err error) {
	for _, op := range h.Ops {
		if err = rec.Append(op); err != nil {
			break
		}
	}
	if err != nil || !h.Complete {
		return errors.Join(err, rec.Abandon())
	}
	return rec.Close()
}
