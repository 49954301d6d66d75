package config

import (
	"strings"
	"testing"
	"time"
)

func TestTheDefaultIsValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryMistakeIsNamedWithWhatWouldBeRight(t *testing.T) {
	for _, c := range []struct {
		spoil func(*Config)
		want  string
	}{
		{func(c *Config) { c.Nodes = 0 }, "nodes 0: want 1 to 15"},
		{func(c *Config) { c.Nodes = 16 }, "nodes 16"},
		{func(c *Config) { c.TimeLimit = 0 }, "time limit 0s"},
		{func(c *Config) { c.Rate = 0 }, "rate 0"},
		{func(c *Config) { c.Rate = -1 }, "rate -1"},
		{func(c *Config) { c.Concurrency = "n" }, `concurrency "n"`},
		{func(c *Config) { c.Concurrency = "0n" }, `concurrency "0n"`},
		{func(c *Config) { c.Quiet = -1 }, "quiet -1ns"},
		{func(c *Config) { c.FaultInterval = 0 }, "fault interval 0s"},
		{func(c *Config) { c.FaultDuration = 0 }, "fault duration 0s"},
		{func(c *Config) { c.FaultDuration = time.Hour }, "less than the fault interval"},
		{func(c *Config) { c.OpTimeout = 0 }, "operation timeout 0s"},
		{func(c *Config) { c.BootLimit = 0 }, "boot limit 0s"},
		{func(c *Config) { c.RecoveryLimit = 0 }, "recovery limit 0s"},
		{func(c *Config) { c.CheckLimit = 0 }, "check limit 0s"},
		{func(c *Config) { c.Store = "" }, "store: want a directory"},
	} {
		cfg := Default()
		c.spoil(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want %q, got %v", c.want, err)
		}
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	cfg := Default()
	cfg.Nodes, cfg.Rate = 0, 0
	err := cfg.Validate()
	if err == nil || len(strings.Split(err.Error(), "\n")) != 2 {
		t.Errorf("got %v, want two lines", err)
	}
}

func TestConcurrencyCountsClientsOrClientsForEachNode(t *testing.T) {
	for text, want := range map[string]int{"1": 1, "7": 7, "1n": 5, "3n": 15} {
		cfg := Default()
		cfg.Concurrency = text
		if got, err := cfg.Clients(); err != nil || got != want {
			t.Errorf("%s of 5 nodes: %d, %v, want %d", text, got, err, want)
		}
	}
}
