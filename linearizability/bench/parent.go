package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/linearizability/simulate"
)

// bench runs children and prints what they took.
type bench struct {
	limit  time.Duration
	memory int64
}

func (b *bench) run(ctx context.Context, rows []row, both bool) error {
	fmt.Printf("| %-62s | %-9s | %9s | %7s | %-9s | %9s | %7s | %8s | %8s |\n", "history", "ours",
		"ms", "MiB", "porcupine", "ms", "MiB", "time x", "memory x")
	fmt.Printf("|%s|\n", strings.Join([]string{"---", "---", "--:", "--:", "---", "--:", "--:", "--:",
		"--:"}, "|"))
	var worst measured
	decided := 0
	for _, r := range rows {
		ours, err := b.child(ctx, "ours", r.Params)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		worst.Time, worst.Memory = max(worst.Time, ours.Time), max(worst.Memory, ours.Memory)
		if ours.Answer == "legal" || ours.Answer == "illegal" {
			decided++
		}
		var theirs *measured
		if both {
			if theirs, err = b.child(ctx, "porcupine", r.Params); err != nil {
				return fmt.Errorf("%s: %w", r.name, err)
			}
		}
		printRow(r.name, ours, theirs)
	}
	fmt.Printf("\n%d of %d decided; the slowest took %.1f ms, the largest %.1f MiB.\n", decided,
		len(rows), ms(worst.Time), mib(worst.Memory))
	if !both {
		return nil
	}
	m, err := b.child(ctx, "online", simulate.Params{
		Ops: 1e7, Clients: 20, Keys: 1, Reads: .5, Seed: 1})
	if err != nil {
		return err
	}
	fmt.Printf("On line, 10,000,000 operations on one register: %s, %.0f ms.\n", m.Answer, ms(m.Time))
	return nil
}

func printRow(name string, ours, theirs *measured) {
	fmt.Printf("| %-62s | %-9s | %9.2f | %7.1f |", name, ours.Answer, ms(ours.Time), mib(ours.Memory))
	if theirs == nil {
		fmt.Printf(" %-9s | %9s | %7s | %8s | %8s |\n", "", "", "", "", "")
		return
	}
	over := ""
	if theirs.Answer != "legal" && theirs.Answer != "illegal" {
		over = "> "
	}
	fmt.Printf(" %-9s | %9.1f | %7.0f | %8s | %8s |\n", theirs.Answer, ms(theirs.Time),
		mib(theirs.Memory), over+ratio(float64(theirs.Time), float64(ours.Time)),
		over+ratio(float64(theirs.Memory), float64(max(ours.Memory, 1<<16))))
}

func ratio(a, b float64) string { return strconv.FormatFloat(a/max(b, 1), 'f', 1, 64) }

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// child measures in a process of its own. One that takes too much is ended, and what it had taken
// by then is told.
func (b *bench) child(ctx context.Context, who string, p simulate.Params) (*measured, error) {
	raw, err := encode(p)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-child", who, "-params", raw)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if err != nil {
				return nil, fmt.Errorf("%s: %w", who, err)
			}
			m := &measured{}
			return m, json.Unmarshal(out.Bytes(), m)
		case <-tick.C:
			took, used := usage(cmd.Process.Pid)
			if who != "porcupine" || took <= b.limit && used <= b.memory {
				continue
			}
			m := &measured{Answer: "timeout", Time: took, Memory: used}
			if used > b.memory {
				m.Answer = "memory"
			}
			if err := cmd.Process.Kill(); err != nil {
				return nil, err
			}
			if err := <-ended; err == nil {
				m.Answer += ", just ended" // between the look and the kill
			}
			return m, nil
		}
	}
}

// usage is the processor time and the resident set of a process; zero if it has ended.
func usage(pid int) (took time.Duration, used int64) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0
	}
	// The name, which may hold anything, stands in parentheses.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	if len(fields) < 22 {
		return 0, 0
	}
	number := func(i int) int64 {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	const perTick = 10 * time.Millisecond // USER_HZ is 100 on all that Go runs on
	return time.Duration(number(11)+number(12)) * perTick, number(21) * int64(os.Getpagesize())
}
