package docker

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"time"
)

// The harness holds a pipe to its guardian. A line "done" dismisses the guardian; an end of the
// pipe without one means that the harness died, and how does not matter.
const dismissal = "done"

// What a dying harness asked of the engine may show up late, so the guardian looks several times.
const (
	guardPasses   = 5
	guardInterval = time.Second
)

// guardian is the harness's end of the pipe.
type guardian struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// startGuardian runs a command in a session of its own, so that no Ctrl-C reaches it.
func startGuardian(argv []string, run string) (*guardian, error) {
	cmd := exec.Command(argv[0], append(argv[1:len(argv):len(argv)], run)...)
	cmd.SysProcAttr = ownSession()
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guardian: %w", err)
	}
	return &guardian{cmd: cmd, pipe: pipe}, nil
}

// dismiss sends the guardian home, once nothing is left to guard.
func (g *guardian) dismiss() error {
	_, werr := fmt.Fprintln(g.pipe, dismissal)
	g.pipe.Close()
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("dismiss the guardian: %w", err)
	}
	if werr != nil {
		return fmt.Errorf("dismiss the guardian: %w", werr)
	}
	return nil
}

// Guard is the guardian's life: it reads in until it is dismissed, or else, when in ends without
// that, removes everything that the run made.
func Guard(ctx context.Context, run string, in io.Reader, log *slog.Logger) error {
	sc := bufio.NewScanner(in)
	for sc.Scan() {
		if strings.TrimSpace(sc.Text()) == dismissal {
			return nil
		}
	}
	e, err := Connect(ctx, log)
	if err != nil {
		return fmt.Errorf("guard run %s: %w", run, err)
	}
	defer e.Close()
	for pass := range guardPasses {
		if pass > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(guardInterval):
			}
		}
		if _, err = e.Reap(ctx, run); err != nil {
			e.log.Warn("the guardian could not reap", "run", run, "err", err)
		}
	}
	return err
}
