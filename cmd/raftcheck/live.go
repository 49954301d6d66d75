package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/raftcheck/raftcheck/harness"
	"github.com/raftcheck/raftcheck/harness/check"
)

// live tells the person at the terminal how a run goes: one line that changes where there is a
// terminal, a plain line now and then where there is none.
type live struct {
	out      io.Writer
	quiet    bool
	terminal bool
	limit    time.Duration

	mu    sync.Mutex // guards all below
	drawn bool       // a line that changes stands there
	last  time.Duration
	prev  harness.Progress
}

func newLive(out io.Writer, quiet bool, limit time.Duration) *live {
	f, ok := out.(*os.File)
	return &live{
		out: out, quiet: quiet, limit: limit,
		terminal: ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb",
	}
}

// say prints a line for good.
func (l *live) say(format string, args ...any) {
	if l.quiet {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
	fmt.Fprintf(l.out, format+"\n", args...)
}

// anomaly tells of the first violation, at once.
func (l *live) anomaly(f *check.Finding) {
	l.say("first anomaly, %s of %s: %s", f.Class, f.Key, f.Text)
}

func (l *live) erase() {
	if l.drawn {
		fmt.Fprint(l.out, "\r\x1b[K")
		l.drawn = false
	}
}

// plainEvery is how often a line comes where there is no terminal.
const plainEvery = 5 * time.Second

// progress shows how the run stands.
func (l *live) progress(p harness.Progress) {
	if l.quiet {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.terminal && p.At-l.last < plainEvery {
		return
	}
	rate := 0.0
	if dt := p.At - l.prev.At; dt > 0 {
		rate = float64(p.Ok-l.prev.Ok) / dt.Seconds()
	}
	l.last, l.prev = p.At, p
	line := fmt.Sprintf("%4.0fs/%.0fs %-5s %5.0f ok/s  ok %d fail %d info %d  %s",
		p.At.Seconds(), l.limit.Seconds(), p.Phase, rate, p.Ok, p.Fail, p.Info, leaderOf(p))
	if len(p.Broken) > 0 {
		line += "  broken: " + strings.Join(p.Broken, ", ")
	}
	if !l.terminal {
		fmt.Fprintln(l.out, line)
		return
	}
	if width, _, err := term.GetSize(int(l.out.(*os.File).Fd())); err == nil && len(line) >= width {
		line = line[:max(width-1, 0)]
	}
	l.erase()
	fmt.Fprint(l.out, line)
	l.drawn = true
}

func leaderOf(p harness.Progress) string {
	if p.Leader == "" {
		return "no leader"
	}
	return fmt.Sprintf("%s leads term %d", p.Leader, p.Term)
}

// stop leaves the terminal tidy.
func (l *live) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
}
