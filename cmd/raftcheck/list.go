package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/nemesis"
	"github.com/raftcheck/raftcheck/workloads"
)

// item is a thing that a flag can name.
type item struct {
	Kind   string `json:"kind"` // the flag that takes it
	Name   string `json:"name"`
	Family string `json:"family,omitempty"`
	Doc    string `json:"doc"`
}

func items() []item {
	var all []item
	for _, s := range systems() {
		all = append(all, item{"system", s.name, "", s.doc})
	}
	for _, w := range workloads.All() {
		all = append(all, item{"workload", w.Name(), "", w.Doc()})
	}
	for _, f := range nemesis.Faults() {
		all = append(all, item{"faults", f.Name(), f.Family(), f.Doc()})
	}
	for _, r := range runtimeNames() {
		all = append(all, item{"runtime", r.name, "", r.doc})
	}
	return all
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
				fmt.Fprintf(w, "  %s\t%s\n", it.Name, it.Doc)
			}
			fmt.Fprint(w, "\n--faults also takes a family (partition), standard, all or none, and behind any of these\n"+
				"what is set of it, name:key=value:key=value; or external: lines on stdin drive them.\n")
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "machine-readable, on stdout")
	return cmd
}
