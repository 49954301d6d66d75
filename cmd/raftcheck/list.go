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
	// Params are what can be set of a fault.
	Params []nemesis.Param `json:"params,omitempty"`
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
		all = append(all, item{Kind: "faults", Name: f.Name(), Family: f.Family(), Doc: f.Doc(),
			Params: nemesis.ParamsOf(f)})
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

// settable names what can be set of a fault, but for what can be set of all.
func (it item) settable() string {
	var keys []string
	for _, p := range it.Params {
		if p.Key != "target" && p.Key != "for" {
			keys = append(keys, p.Key)
		}
	}
	if keys == nil {
		return ""
	}
	return " [" + strings.Join(keys, ", ") + "]"
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
				fmt.Fprintf(w, "  %s\t%s%s%s\n", it.Name, it.Doc, needing(it.Needs), it.settable())
			}
			fmt.Fprint(w, "\n--faults also takes a family (partition), standard, all or none, and behind "+
				"any of these\nwhat is set of it, name:key=value:key=value (target, for, and what stands in "+
				"[ ]);\nor external: lines on stdin drive them. See docs/PLANS.md.\n")
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "machine-readable, on stdout")
	return cmd
}
