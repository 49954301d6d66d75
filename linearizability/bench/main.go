// Command bench compares the linearizability checker with plain porcupine, on the same simulated
// histories: processor time and peak memory of each, as ratios.
//
//	go run ./linearizability/bench                 the histories that the project measures itself by
//	go run ./linearizability/bench -grid unique    216 histories of unique values, ours alone
//	go run ./linearizability/bench -grid cas       48 with refused compare-and-sets
//	go run ./linearizability/bench -grid small     108 with five values
//	go run ./linearizability/bench -porcupine …    porcupine on the same grid; takes hours
//
// Each measurement is a process of its own. Its time is that of the processor, user and system,
// its memory the growth of the resident set while it decides; neither holds the making of the
// history. Porcupine is stopped at -limit and -memory.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/raftcheck/raftcheck/linearizability/simulate"
)

func main() {
	var (
		grid      = flag.String("grid", "rows", "rows, unique, cas or small")
		porcupine = flag.Bool("porcupine", false, "run porcupine on grids too")
		limit     = flag.Duration("limit", 60*time.Second, "processor time for porcupine")
		memory    = flag.Int64("memory", 8<<10, "memory for porcupine, in MiB")
		child     = flag.String("child", "", "used by the program itself: who decides")
		params    = flag.String("params", "", "used by the program itself: the history")
	)
	flag.Parse()
	if *child != "" {
		if err := decide(*child, *params); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	rows, err := gridNamed(*grid)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	b := &bench{limit: *limit, memory: *memory << 20}
	if err := b.run(context.Background(), rows, *porcupine || *grid == "rows"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// row is a history to be measured.
type row struct {
	name string
	simulate.Params
}

func gridNamed(name string) ([]row, error) {
	switch name {
	case "rows":
		return namedRows(), nil
	case "unique":
		return cells([]int{1e3, 1e4, 1e5, 1e6}, []int{5, 20, 100}, []int{1, 10, 100},
			[]float64{0, .01, .05}, simulate.Params{Reads: .5}), nil
	case "cas":
		return cells([]int{1e3, 1e4, 1e5}, []int{5, 20}, []int{1, 10}, []float64{0, .01},
			simulate.Params{Reads: .5, CAS: .3}), nil
	case "small":
		return cells([]int{1e3, 1e4, 1e5}, []int{5, 10, 20}, []int{1, 4}, []float64{0, .01, .05},
			simulate.Params{Reads: .5, CAS: .25, Values: 5}), nil
	}
	return nil, fmt.Errorf("unknown grid %q: there is rows, unique, cas and small", name)
}

// cells is every combination, each legal and with a stale read.
func cells(ops, clients, keys []int, info []float64, base simulate.Params) (rows []row) {
	for _, c := range clients {
		for _, k := range keys {
			for _, i := range info {
				for _, stale := range []bool{false, true} {
					for _, n := range ops {
						p := base
						p.Ops, p.Clients, p.Keys, p.Indeterminate = n, c, k, i
						p.Stale, p.Seed = stale, 1
						rows = append(rows, row{label(p), p})
					}
				}
			}
		}
	}
	return rows
}

func label(p simulate.Params) string {
	s := fmt.Sprintf("%d ops, %d clients, %d keys, %g %%", p.Ops, p.Clients, p.Keys,
		100*p.Indeterminate)
	if p.CAS > 0 {
		s += fmt.Sprintf(", %g %% cas", 100*p.CAS)
	}
	if p.Values > 0 {
		s += fmt.Sprintf(", %d values", p.Values)
	}
	if p.Stale {
		return s + ", stale read"
	}
	return s
}

// namedRows are the histories by which the project measures itself.
func namedRows() (rows []row) {
	for _, p := range []simulate.Params{
		{Ops: 1e5, Clients: 5, Keys: 1, Indeterminate: .01},
		{Ops: 1e5, Clients: 20, Keys: 10, Indeterminate: .05},
		{Ops: 1e4, Clients: 100, Keys: 10, Indeterminate: .01, Stale: true},
		{Ops: 1e6, Clients: 20, Keys: 1, Indeterminate: .05},
		{Ops: 1e5, Clients: 20, Keys: 1, Indeterminate: .01, CAS: .3},
		{Ops: 1e5, Clients: 5, Keys: 1, Indeterminate: .01, CAS: .25, Values: 5},
		{Ops: 1e5, Clients: 20, Keys: 1, Indeterminate: .01, CAS: .25, Values: 5},
	} {
		p.Reads, p.Seed = .5, 1
		rows = append(rows, row{label(p), p})
	}
	return rows
}

// encode is a history's parameters as the child takes them.
func encode(p simulate.Params) (string, error) {
	raw, err := json.Marshal(p)
	return string(raw), err
}
