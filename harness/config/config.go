// Package config says what was asked for: one [Config] for a run, its defaults, and what is wrong
// with it.
package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Config is what a run was asked to do. [Default] fills it in, [Config.Validate] says what is
// wrong. As JSON it is config.json, and the header of the history holds it.
type Config struct {
	// Nodes is the size of the cluster, from 1 to MaxNodes.
	Nodes int `json:"nodes"`
	// System, Workload and Runtime are names that `raftcheck list` shows. An empty Runtime means
	// Docker, or local where no engine answers; it is settled when the run begins.
	System   string `json:"system"`
	Workload string `json:"workload"`
	Runtime  string `json:"runtime"`
	// SystemOptions are options of the system, by name. SystemSpec is the text of the file that
	// System names, if it names one; it is filled in when the run begins.
	SystemOptions map[string]string `json:"system_options,omitempty"`
	SystemSpec    string            `json:"system_spec,omitempty"`
	// Image is the node image, by reference; Binary the path of a static executable, and
	// Dockerfile that of a Dockerfile, to make one from. At most one of them is given. None means
	// what the system says, or to build it from the checkout.
	Image      string `json:"image,omitempty"`
	Binary     string `json:"binary,omitempty"`
	Dockerfile string `json:"dockerfile,omitempty"`
	// Faults are names and families of faults, or "standard", "all" or "none".
	Faults []string `json:"faults"`
	// Plan is a file with a fault plan; empty means to draw one. What it says stands in for Faults.
	Plan string `json:"plan,omitempty"`
	// TimeLimit is how long clients work.
	TimeLimit time.Duration `json:"time_limit_ns"`
	// Rate is how many operations a second all clients together begin, on average.
	Rate float64 `json:"rate_hz"`
	// Load shapes what clients do.
	Load Load `json:"load,omitzero"`
	// Concurrency is how many clients work at once: a number, or a number and "n" for so many
	// for each node.
	Concurrency string `json:"concurrency"`
	// Seed draws the workload's choices and the fault plan.
	Seed uint64 `json:"seed"`
	// Quiet is how long nothing is broken at the beginning and at the end of TimeLimit, but no
	// more than an eighth of it.
	Quiet time.Duration `json:"quiet_ns"`
	// FaultInterval lies between the beginnings of two faults, FaultDuration is how long each
	// stays; both are shortened when there would not be time for every fault.
	FaultInterval time.Duration `json:"fault_interval_ns"`
	FaultDuration time.Duration `json:"fault_duration_ns"`
	// Overlap is how many faults may be in force at once; 0 means 1. KeepMajority skips what would
	// leave no majority of the nodes whole.
	Overlap      int  `json:"overlap,omitempty"`
	KeepMajority bool `json:"keep_majority,omitempty"`
	// OpTimeout is what an operation may take until nobody waits for its answer any more.
	OpTimeout time.Duration `json:"op_timeout_ns"`
	// BootLimit bounds the time until every node knows a leader.
	BootLimit time.Duration `json:"boot_limit_ns"`
	// RecoveryLimit bounds the time from the last heal to the first success on each node and key,
	// AvailabilityLimit the time without any success while a majority could talk. Zero leaves it
	// open.
	RecoveryLimit     time.Duration `json:"recovery_limit_ns"`
	AvailabilityLimit time.Duration `json:"availability_limit_ns"`
	// CheckLimit bounds the judging. What it does not get to is Unknown.
	CheckLimit time.Duration `json:"check_limit_ns"`
	// Keep leaves the cluster up.
	Keep bool `json:"keep,omitempty"`
	// Store is the directory that holds all runs.
	Store string `json:"store"`
}

// MaxNodes is the largest cluster.
const MaxNodes = 15

// Default is what `raftcheck test` does without flags. The seed is left to the caller.
func Default() Config {
	return Config{
		Nodes: 5, System: "raftkv", Workload: "register",
		Faults: []string{"standard"}, TimeLimit: 30 * time.Second,
		Rate: 200, Concurrency: "2n",
		Quiet: 1500 * time.Millisecond, FaultInterval: 5 * time.Second,
		FaultDuration: 3 * time.Second, OpTimeout: 3 * time.Second, BootLimit: 30 * time.Second,
		RecoveryLimit: 15 * time.Second, AvailabilityLimit: 10 * time.Second,
		CheckLimit: time.Minute, Store: "store",
	}
}

// Clients is how many clients Concurrency means.
func (c Config) Clients() (int, error) {
	digits, each := strings.CutSuffix(c.Concurrency, "n")
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > maxClients {
		return 0, fmt.Errorf(`concurrency %q: want a number from 1 to %d, or a number and "n" `+
			"for so many for each node", c.Concurrency, maxClients)
	}
	if each {
		n *= c.Nodes
	}
	return n, nil
}

const maxClients = 10000

// Validate reports all that is wrong, joined.
func (c Config) Validate() error {
	var errs []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(c.Nodes < 1 || c.Nodes > MaxNodes, "nodes %d: want 1 to %d", c.Nodes, MaxNodes)
	wrong(c.TimeLimit <= 0, "time limit %v: want more than nothing", c.TimeLimit)
	wrong(!(c.Rate > 0) || c.Rate > maxRate,
		"rate %v: want more than 0 and at most %d operations a second", c.Rate, maxRate)
	if _, err := c.Clients(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.Load.validate())
	wrong(c.Quiet < 0, "quiet %v: want 0 or more", c.Quiet)
	wrong(c.FaultInterval <= 0, "fault interval %v: want more than nothing", c.FaultInterval)
	wrong(c.FaultDuration <= 0, "fault duration %v: want more than nothing", c.FaultDuration)
	wrong(c.FaultDuration >= c.FaultInterval && c.FaultInterval > 0,
		"fault duration %v: want less than the fault interval of %v", c.FaultDuration, c.FaultInterval)
	wrong(c.Overlap < 0 || c.Overlap > MaxNodes, "overlap %d: want 1 to %d", c.Overlap, MaxNodes)
	wrong(c.OpTimeout <= 0, "operation timeout %v: want more than nothing", c.OpTimeout)
	wrong(c.BootLimit <= 0, "boot limit %v: want more than nothing", c.BootLimit)
	wrong(c.RecoveryLimit <= 0, "recovery limit %v: want more than nothing", c.RecoveryLimit)
	wrong(c.CheckLimit <= 0, "check limit %v: want more than nothing", c.CheckLimit)
	given := 0
	for _, s := range []string{c.Image, c.Binary, c.Dockerfile} {
		if s != "" {
			given++
		}
	}
	wrong(given > 1, "image, binary and dockerfile contradict each other: want one of them")
	wrong(c.Store == "", "store: want a directory")
	return errors.Join(errs...)
}

const maxRate = 10_000_000
