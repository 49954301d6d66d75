package server

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
)

func TestConfigMistakesAreNamed(t *testing.T) {
	valid := func() Config {
		return Config{ID: 1, Data: "d", Peers: []Peer{{1, "a", 1, 2}, {2, "b", 1, 2}}}
	}
	if err := valid().Validate(); err != nil {
		t.Fatal(err)
	}
	cases := map[string]func(*Config){
		"lack this node, n3":       func(c *Config) { c.ID = 3 },
		"n2 is named twice":        func(c *Config) { c.Peers = append(c.Peers, c.Peers[1]) },
		"same address a:1":         func(c *Config) { c.Peers[1].Host = "a" },
		"no data directory":        func(c *Config) { c.Data = "" },
		"less than two heartbeats": func(c *Config) { c.Heartbeat = time.Second },
		"voter n9 is none of the":  func(c *Config) { c.Voters = []raft.ID{9} },
		"a voter is named twice":   func(c *Config) { c.Voters = []raft.ID{1, 1} },
		"the node has no id":       func(c *Config) { c.ID = 0 },
	}
	for want, edit := range cases {
		cfg := valid()
		edit(&cfg)
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestParsePeers(t *testing.T) {
	got, err := ParsePeers("n1=10.0.0.1, n2=host:1:2,n3=[::1]:3:4,n4=[fe80::1]", 7100, 7000)
	want := []Peer{{1, "10.0.0.1", 7100, 7000}, {2, "host", 1, 2}, {3, "::1", 3, 4},
		{4, "fe80::1", 7100, 7000}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"n1", "x=h", "n0=h", "n1=", "n1=h:1", "n1=h:0:1", "n1=h:1:99999",
		"n01=h"} {
		if got, err := ParsePeers(bad, 1, 1); err == nil {
			t.Errorf("%s is taken as %v", bad, got)
		}
	}
}
