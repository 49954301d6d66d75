package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/driver"
	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/workloads"
)

// driverCmd is the client driver. The runtime starts it inside the cluster's network.
func driverCmd() *cobra.Command {
	return &cobra.Command{
		Use: "driver", Short: "carry out client operations for a raftcheck outside", Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := driver.Serve(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), lookup)
			if err != nil {
				return exit{exitFailure, fmt.Errorf("driver: %w", err)}
			}
			return nil
		},
	}
}

// lookup finds what the harness names.
func lookup(system sut.Ref, workload string) (sut.System, driver.Do, error) {
	s, err := openSystem(system)
	if err != nil {
		return nil, nil, err
	}
	w, err := workloads.Named(workload)
	if err != nil {
		return nil, nil, err
	}
	return s, w.Do, nil
}
