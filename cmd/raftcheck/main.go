// Command raftcheck breaks a cluster of Raft nodes on purpose and says, with proof, whether it kept
// its promises.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitValid       = 0
	exitInvalid     = 1
	exitUnknown     = 2
	exitInterrupted = 130
	exitUsage       = 254
	exitFailure     = 255
)

const exitCodes = `Exit codes:
  0    valid: every promise was put to the test and kept
  1    invalid: a promise was broken, and there is proof
  2    unknown: it could not be decided, or the run did not test what it set out to
  130  interrupted
  254  a mistake in the arguments
  255  raftcheck's own failure; it says nothing about the system`

// exit is an error that ends the program with a code. An empty err says nothing.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// usage marks a mistake in the arguments, with what to do about it.
func usage(hint, format string, args ...any) error {
	return exit{exitUsage, hinted{fmt.Errorf(format, args...), hint}}
}

// hinted is an error that knows what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Hint() string  { return h.hint }
func (h hinted) Unwrap() error { return h.error }

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program, with its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(),
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// The first signal asks for an orderly end. From then on signals do what they always do, so
	// that a second one ends the program at once; the guardian cleans up after it.
	context.AfterFunc(ctx, stop)

	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return tell(root.ExecuteContext(ctx), stderr)
}

// tell tells an error to the person and returns its exit code. An error without a code comes from
// the parsing of the command line.
func tell(err error, stderr io.Writer) int {
	if err == nil {
		return exitValid
	}
	e, ok := errors.AsType[exit](err)
	if !ok {
		e = exit{exitUsage, hinted{err, "raftcheck --help"}}
	}
	if e.err == nil {
		return e.code
	}
	fmt.Fprintf(stderr, "raftcheck: %v\n", e.err)
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](e.err); ok && h.Hint() != "" {
		fmt.Fprintf(stderr, "hint: %s\n", h.Hint())
	}
	return e.code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "raftcheck",
		Short: "Break a Raft cluster on purpose and prove whether it kept its promises",
		Long: "raftcheck starts real nodes, lets clients work while it cuts, pauses and kills them, " +
			"and judges\nwhat the clients saw with a linearizability checker.\n\n" + exitCodes,
		Example:       "  raftcheck test\n  raftcheck check latest",
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.AddCommand(testCmd(), suiteCmd(), checkCmd(), convertCmd(), showCmd(), replayCmd(),
		serveCmd(), mutantsCmd(), listCmd(), doctorCmd(), cleanupCmd(), driverCmd(), agentCmd(),
		gateCmd(), guardianCmd(), fabricCmd(), podCmd())
	for _, c := range root.Commands() {
		if c.Args == nil {
			c.Args = noArgs
		}
	}
	return root
}

// noSuchCommand says which command was meant, perhaps.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "raftcheck --help lists the commands"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage(hint, "unknown command %q", args[0])
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd.CommandPath()+" --help", "%s takes no argument, but got %q", cmd.Name(), args[0])
	}
	return nil
}

// version is what the build knows of itself.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	if v == "" {
		v = "devel"
	}
	return v
}
