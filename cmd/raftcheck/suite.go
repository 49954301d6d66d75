package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/cluster/fake"
	"github.com/raftcheck/raftcheck/harness/config"
)

// suite is what a suite file says: every system with every workload, fault set and seed.
type suite struct {
	Systems   []string      `yaml:"systems"`
	Workloads []string      `yaml:"workloads"`
	Faults    []string      `yaml:"faults"` // each a set, as --faults takes it
	Seeds     []uint64      `yaml:"seeds"`
	Runtime   string        `yaml:"runtime"`
	Nodes     int           `yaml:"nodes"`
	TimeLimit time.Duration `yaml:"time_limit"`
	Rate      float64       `yaml:"rate"`

	FaultInterval time.Duration `yaml:"fault_interval"`
	FaultDuration time.Duration `yaml:"fault_duration"`
}

const suiteExample = `# raftcheck suite FILE: every system with every workload, fault set and seed.
systems: [raftkv]
workloads: [register]
# Each is a fault set: names or families with commas between, standard, all or none.
faults: ["standard", "partition,kill"]
# The first seed of everything comes before the second of anything.
seeds: [1, 2]
runtime: docker
nodes: 5
time_limit: 30s
rate: 200 # operations a second
fault_interval: 5s # from the beginning of one fault to that of the next
fault_duration: 3s
`

type suiteFlags struct {
	store, out, behaviour string
	budget                time.Duration
	init, stopFirst       bool
}

func suiteCmd() *cobra.Command {
	flags := suiteFlags{store: config.Default().Store}
	cmd := &cobra.Command{
		Use:   "suite FILE",
		Short: "Many runs from a YAML file: workloads, fault sets, seeds, systems",
		Long: "Every system with every workload, fault set and seed of a YAML file. A run for which " +
			"the\nbudget leaves no time is listed, and counts as unknown.\n\nExit code 1 if any run " +
			"was invalid, else 255 if raftcheck failed, else 2 if any run was\nunknown, else 0.",
		Example: "  raftcheck suite --init > nightly.yaml\n  raftcheck suite nightly.yaml --budget 2h",
		Args: func(_ *cobra.Command, args []string) error {
			if flags.init == (len(args) == 0) && len(args) <= 1 {
				return nil
			}
			return usage("raftcheck suite --init > nightly.yaml", "suite wants one file, or --init")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.init {
				_, err := fmt.Fprint(cmd.OutOrStdout(), suiteExample)
				return err
			}
			return runSuite(cmd, args[0], flags)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&flags.init, "init", false, "print a file to begin with")
	f.DurationVar(&flags.budget, "budget", 0, "begin no run that would end later (default: no limit)")
	f.BoolVar(&flags.stopFirst, "stop-on-first", false, "end after the first run that is invalid")
	f.StringVar(&flags.store, "store", flags.store, "directory of all runs")
	f.StringVar(&flags.out, "out", "suite", "directory for junit.xml and summary.md")
	f.StringVar(&flags.behaviour, "fake", "", "how the fake runtime's store behaves")
	_ = f.MarkHidden("fake") // it exists
	return cmd
}

// readSuite reads a suite file. An error says the line and the key.
func readSuite(path string) (suite, error) {
	d := config.Default()
	s := suite{
		Systems: []string{d.System}, Workloads: []string{d.Workload}, Faults: []string{"standard"},
		Seeds: []uint64{1}, Runtime: d.Runtime, Nodes: d.Nodes, TimeLimit: d.TimeLimit, Rate: d.Rate,
		FaultInterval: d.FaultInterval, FaultDuration: d.FaultDuration,
	}
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	if err := yaml.NewDecoder(f, yaml.Strict()).Decode(&s); err != nil {
		return s, fmt.Errorf("%s: %s", path, strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	return s, nil
}

// suiteRun is one run of a suite, and how it ended.
type suiteRun struct {
	name  string
	cfg   config.Config
	parts parts

	begun    bool
	code     int
	why, dir string
	took     time.Duration
}

// result is how the run is called in the table.
func (r *suiteRun) result() string {
	if !r.begun {
		return "NOT RUN"
	}
	return word(r.code)
}

// runs lists all runs, and finds what they name, so that a mistake shows before the first begins.
func (s suite) runs(storeDir string, b fake.Behaviour) ([]*suiteRun, error) {
	var all []*suiteRun
	for _, seed := range s.Seeds {
		for _, system := range s.Systems {
			for _, workload := range s.Workloads {
				for _, faults := range s.Faults {
					r := &suiteRun{cfg: config.Default()}
					c := &r.cfg
					c.Seed, c.System, c.Workload, c.Store = seed, system, workload, storeDir
					c.Faults = strings.Split(strings.ReplaceAll(faults, " ", ""), ",")
					c.Runtime, c.Nodes, c.TimeLimit, c.Rate = s.Runtime, s.Nodes, s.TimeLimit, s.Rate
					c.FaultInterval, c.FaultDuration = s.FaultInterval, s.FaultDuration
					r.name = fmt.Sprintf("%s %s %s seed %d", system, workload, faults, seed)
					err := c.Validate()
					if err == nil {
						r.parts, err = assemble(*c, b)
					}
					if err != nil {
						return nil, fmt.Errorf("%s: %w", r.name, err)
					}
					all = append(all, r)
				}
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no run: systems, workloads, faults and seeds need one entry each")
	}
	return all, nil
}

// runSuite is `raftcheck suite`, with its arguments parsed.
func runSuite(cmd *cobra.Command, path string, flags suiteFlags) error {
	s, err := readSuite(path)
	if err != nil {
		return usage("raftcheck suite --init prints one that is right", "%w", err)
	}
	b, err := behaviour(flags.behaviour)
	if err != nil {
		return usage("", "%w", err)
	}
	all, err := s.runs(flags.store, b)
	if err != nil {
		return exit{exitUsage, fmt.Errorf("%s: %w", path, err)}
	}
	sum, stopped := tally{}, error(nil)
	began := time.Now()
	for _, r := range all {
		over := flags.budget > 0 && time.Since(began)+r.cfg.TimeLimit > flags.budget
		if over || stopped != nil || flags.stopFirst && sum.invalid > 0 {
			r.why = "there was no time for it, or the suite was ended before"
			sum.add(exitUnknown)
			continue
		}
		stopped = r.run(cmd)
		sum.add(r.code)
		fmt.Fprintf(cmd.OutOrStdout(), "%-8s %-40s %s  %s\n", r.result(), r.name, r.dir, r.why)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\n%d valid, %d invalid, %d unknown or not run, %d failed\n",
		sum.valid, sum.invalid, sum.unknown, sum.failed)
	if err := writeSuite(flags.out, all); err != nil {
		return exit{exitFailure, err}
	}
	if stopped != nil {
		return stopped
	}
	return exit{sum.code(), nil}
}

// run carries one run out. The error is not nil if the suite must end here.
func (r *suiteRun) run(cmd *cobra.Command) error {
	t := &tested{cmd: cmd, cfg: r.cfg, flags: testFlags{quiet: true}, parts: r.parts,
		began: time.Now(), image: r.cfg.Image}
	rep, err := t.do(cmd.Context())
	r.begun, r.took = true, time.Since(t.began)
	if t.run != nil {
		r.dir = t.run.Dir()
	}
	e, ok := errors.AsType[exit](err)
	if !ok {
		e = exit{exitFailure, err}
	}
	r.code, r.why = e.code, fmt.Sprint(e.err)
	if rep != nil {
		r.why = rep.Why
	}
	if e.code == exitInterrupted {
		return e
	}
	return nil
}
