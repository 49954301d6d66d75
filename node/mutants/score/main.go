// Command score runs the simulator on every planted bug, and tells how many seeds find it and
// what they find. With -write it keeps the result in the patches' headers.
//
//	go run ./node/mutants/score -seeds 200            all of them
//	go run ./node/mutants/score -seeds 200 B01 C02    these two
//	go run ./node/mutants/score -table                what the headers say, as Markdown
//
// It exits with 0 if every mutant is found or has a note that says why not, 1 if not.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/raftcheck/raftcheck/node/mutants"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "score:", err)
		os.Exit(255)
	case !ok:
		os.Exit(1)
	}
}

// scorer runs mutants.
type scorer struct {
	root  string
	seeds int
	write bool
	dir   string
}

func run(ctx context.Context, args []string, out io.Writer) (ok bool, err error) {
	flags := flag.NewFlagSet("score", flag.ContinueOnError)
	s := scorer{}
	flags.StringVar(&s.root, "root", ".", "the module's root directory")
	flags.IntVar(&s.seeds, "seeds", 200, "how many seeds to run on each mutant")
	flags.BoolVar(&s.write, "write", false, "keep the result in the patches' headers")
	table := flags.Bool("table", false, "print what the headers say, and run nothing")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	all, err := mutants.Load(filepath.Join(s.root, "node", "mutants"))
	if err != nil {
		return false, err
	}
	if *table {
		printTable(out, all)
		return true, nil
	}
	if s.dir, err = os.MkdirTemp("", "mutants"); err != nil {
		return false, err
	}
	defer func() { err = cmp.Or(err, os.RemoveAll(s.dir)) }()
	ok = true
	for _, m := range all {
		if flags.NArg() > 0 && !slices.Contains(flags.Args(), m.ID) {
			continue
		}
		r, err := s.score(ctx, m)
		if err != nil {
			return false, fmt.Errorf("%s: %w", m.ID, err)
		}
		fmt.Fprintf(out, "%s %-45.45s %s\n", m.ID, m.Title, r)
		if r.found == 0 && m.Note == "" && !strings.HasPrefix(m.Killed, "test ") {
			ok = false
		}
		if s.write && r.found > 0 {
			if err := keep(m.Path, r); err != nil {
				return false, err
			}
		}
	}
	return ok, nil
}

// printTable prints the score card.
func printTable(out io.Writer, all []*mutants.Mutant) {
	fmt.Fprint(out, "| id | the mistake | made or described | found by | how often, what fired |\n"+
		"|---|---|---|---|---|\n")
	for _, m := range all {
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", m.ID, m.Title, m.Source,
			cmp.Or(m.Killed, "–"), cmp.Or(m.Rate, m.Note, "–"))
	}
}

// result is what the simulator found.
type result struct {
	ran, found, first int
	invariant         string // that the first seed violated
	others            []string
}

func (r result) String() string {
	if r.found == 0 {
		return fmt.Sprintf("not found in %d seeds", r.ran)
	}
	return fmt.Sprintf("%d of %d seeds, first %d: %s; %s",
		r.found, r.ran, r.first, r.invariant, strings.Join(r.others, ", "))
}

var violated = regexp.MustCompile(`^VIOLATED seed (\d+): ([^,]+), at`)

// score builds the simulator with the mutant and runs the seeds.
func (s *scorer) score(ctx context.Context, m *mutants.Mutant) (result, error) {
	overlay, err := m.Overlay(s.root, s.dir)
	if err != nil {
		return result{}, err
	}
	bin := filepath.Join(s.dir, m.ID+".sim") // the overlay lies in a folder of the name
	build := exec.CommandContext(ctx, "go", "build", "-overlay", overlay, "-o", bin, "./node/sim")
	build.Dir = s.root
	if text, err := build.CombinedOutput(); err != nil {
		return result{}, fmt.Errorf("build: %w\n%s", err, text)
	}
	text, err := exec.CommandContext(ctx, bin, "-seeds", strconv.Itoa(s.seeds), "-all").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
			return result{}, fmt.Errorf("run: %w\n%s", err, text)
		}
	}
	return tally(text, s.seeds), os.Remove(bin)
}

func tally(text []byte, seeds int) result {
	r := result{ran: seeds}
	counts := map[string]int{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := violated.FindStringSubmatch(lines.Text())
		if f == nil {
			continue
		}
		if r.found++; r.found == 1 {
			r.first, _ = strconv.Atoi(f[1])
			r.invariant = f[2]
		}
		counts[f[2]]++
	}
	for name, n := range counts {
		r.others = append(r.others, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(r.others)
	return r
}

// keep writes what was found into a patch's header.
func keep(path string, r result) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	header, diff, _ := strings.Cut(string(text), "\ndiff ")
	var lines []string
	for line := range strings.Lines(header) {
		if l := strings.TrimSpace(line); l != "" && !strings.HasPrefix(l, "killed: ") &&
			!strings.HasPrefix(l, "rate: ") {
			lines = append(lines, l)
		}
	}
	lines = append(lines, fmt.Sprintf("killed: seed %d, %s", r.first, r.invariant),
		fmt.Sprintf("rate: %d of %d seeds (%s)", r.found, r.ran, strings.Join(r.others, ", ")))
	return os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n\ndiff "+diff), 0o644)
}
