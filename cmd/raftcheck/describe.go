package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"github.com/raftcheck/raftcheck/harness/config"
	"github.com/raftcheck/raftcheck/harness/report"
)

// describe says how a run was made, from what it saved.
func describe(j *judged) report.Run {
	cfg := config.Config{}
	if json.Unmarshal(j.history.Header.Config, &cfg) != nil {
		return report.Run{}
	}
	n, _ := cfg.Clients()
	desc := report.Run{
		Runtime: cfg.Runtime, Image: cfg.Image, TimeLimit: cfg.TimeLimit, Rate: cfg.Rate,
		Concurrency: n, Repeat: repeat(cfg),
		Versions: map[string]string{"raftcheck": j.history.Header.Raftcheck},
	}
	if dir := j.run.FS(); dir != nil {
		desc.Recheck = "raftcheck check " + j.run.Dir()
		if plan, err := fs.ReadFile(dir, "schedule.json"); err == nil {
			desc.Plan = plan
		}
	} else {
		desc.Recheck = "raftcheck check " + j.run.HistoryPath()
	}
	return desc
}

// describe says how this run was made.
func (t *tested) describe(j *judged) report.Run {
	desc := describe(j)
	desc.Versions["go"] = runtime.Version()
	if t.engine != "" {
		desc.Versions["engine"] = t.engine
	}
	return desc
}

// repeat is the command that draws the same plan again.
func repeat(cfg config.Config) string {
	def := config.Default()
	words := []string{"raftcheck test", "--seed", strconv.FormatUint(cfg.Seed, 10)}
	add := func(differs bool, flag string, value any) {
		if differs {
			words = append(words, flag, fmt.Sprint(value))
		}
	}
	add(cfg.Nodes != def.Nodes, "--nodes", cfg.Nodes)
	add(cfg.System != def.System, "--system", cfg.System)
	add(cfg.Workload != def.Workload, "--workload", cfg.Workload)
	add(cfg.Runtime != def.Runtime && cfg.Runtime != "docker", "--runtime", cfg.Runtime)
	for _, name := range slices.Sorted(maps.Keys(cfg.SystemOptions)) {
		add(true, "--system-option", shellWord(name+"="+cfg.SystemOptions[name]))
	}
	add(cfg.Image != "", "--image", cfg.Image)
	add(cfg.Binary != "", "--binary", cfg.Binary)
	add(cfg.Dockerfile != "", "--dockerfile", cfg.Dockerfile)
	faults := strings.Join(cfg.Faults, ",")
	add(cfg.Plan == "" && faults != strings.Join(def.Faults, ","), "--faults", faults)
	add(cfg.Plan != "", "--plan", cfg.Plan)
	add(cfg.TimeLimit != def.TimeLimit, "--time-limit", cfg.TimeLimit)
	add(cfg.Rate != def.Rate, "--rate", cfg.Rate)
	add(cfg.Load != def.Load, "--load", cfg.Load)
	add(cfg.Concurrency != def.Concurrency, "--concurrency", cfg.Concurrency)
	add(cfg.FaultInterval != def.FaultInterval, "--fault-interval", cfg.FaultInterval)
	add(cfg.Overlap > 1, "--overlap", cfg.Overlap)
	if cfg.KeepMajority {
		words = append(words, "--keep-majority")
	}
	add(cfg.FaultDuration != def.FaultDuration, "--fault-duration", cfg.FaultDuration)
	return strings.Join(words, " ")
}

// shellWord is s as a shell takes it for one word.
func shellWord(s string) string {
	if !strings.ContainsAny(s, " \t\n'\"\\$`&|;<>()*?[]#~!{}") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// colour says whether w takes colours.
func colour(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" &&
		os.Getenv("TERM") != "dumb"
}
