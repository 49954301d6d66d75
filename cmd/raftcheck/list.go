package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/nemesis"
	"github.com/raftcheck/raftcheck/workloads"
)

// item is a thing that a flag can name.
type item struct {
	Kind   string `json:"kind"` // the flag that takes it
	Name   string `json:"name"`
	Family string `json:"family,omitempty"`
	Doc    string `json:"doc"`
	// Needs is what a workload asks of a system.
	Needs []sut.Ability `json:"needs,omitempty"`
}

func items() []item {
	var all []item
	for _, s := range systems() {
		all = append(all, item{Kind: "system", Name: s.name, Doc: s.doc})
	}
	for _, w := range workloads.All() {
		all = append(all, item{Kind: "workload", Name: w.Name(), Doc: w.Doc(), Needs: w.Needs()})
	}
	for _, f := range nemesis.Faults() {
		all = append(all, item{Kind: "faults", Name: f.Name(), Family: f.Family(), Doc: f.Doc()})
	}
	for _, r := range runtimeNames() {
		all = append(all, item{Kind: "runtime", Name: r.name, Doc: r.doc})
	}
	return all
}

// needing is what a workload needs, behind what it is.
func needing(all []sut.Ability) string {
	if len(all) == 0 {
		return ""
	}
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = string(a)
	}
	return " (needs " + strings.Join(names, ", ") + ")"
}

func listCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List systems, workloads, faults and runtimes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(items())
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			kind := ""
			for _, it := range items() {
				if it.Kind != kind {
					if kind != "" {
						fmt.Fprintln(w)
					}
					kind = it.Kind
					fmt.Fprintf(w, "--%s\n", kind)
				}
				fmt.Fprintf(w, "  %s\t%s%s\n", it.Name, it.Doc, needing(it.Needs))
			}
			fmt.Fprint(w, "\n--faults also takes a family (partition), standard, all or none.\n")
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "machine-readable, on stdout")
	return cmd
}
