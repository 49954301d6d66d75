package main

import (
	"github.com/spf13/cobra"

	"github.com/raftcheck/raftcheck/harness/cluster/local"
	"github.com/raftcheck/raftcheck/nemesis/agent"
)

// agentCmd is the agent that stands beside a node. The runtime starts it in the node's pod.
func agentCmd() *cobra.Command {
	return &cobra.Command{
		Use: "agent", Short: "apply faults beside a node, for a raftcheck outside", Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := runAgent(cmd.Context(), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
			return failure(err)
		},
	}
}

// gateCmd is what a node's container starts first if its disk can be broken.
func gateCmd() *cobra.Command {
	return &cobra.Command{
		Use: "gate PROGRAM ARG...", Short: "start a node once its disk is mounted", Hidden: true,
		DisableFlagParsing: true, // they are the program's
		Args:               cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return failure(agent.Gate(args))
		},
	}
}

// guardianCmd waits beside a run and removes what it made if its harness dies.
func guardianCmd() *cobra.Command {
	var inNamespaces bool
	cmd := &cobra.Command{
		Use: "guardian RUN", Short: "clean up after a raftcheck that died", Hidden: true,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			log := textLog(cmd.ErrOrStderr())
			if inNamespaces {
				return failure(local.Guard("", args[0], cmd.InOrStdin()))
			}
			return failure(runGuardian(cmd.Context(), args, cmd.InOrStdin(), log))
		},
	}
	cmd.Flags().BoolVar(&inNamespaces, "local", false, "the run is one without Docker")
	return cmd
}

// failure marks err as raftcheck's own.
func failure(err error) error {
	if err == nil {
		return nil
	}
	return exit{exitFailure, err}
}

func cleanupCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "cleanup", Short: "Remove what an interrupted run left",
		Long: "Remove what runs left behind whose raftcheck is dead. Whatever raftcheck did not make " +
			"is never touched.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := textLog(cmd.ErrOrStderr())
			return failure(runCleanup(cmd.Context(), cmd.OutOrStdout(), all, log))
		},
	}
	cmd.Flags().BoolVar(&all, "all", false,
		"also clusters that were left up with --keep, and images")
	return cmd
}
