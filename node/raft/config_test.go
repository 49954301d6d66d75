package raft

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// slowQuorum is Config.Quorum by trying out every value.
func slowQuorum(c *Config, value func(ID) uint64) uint64 {
	best := uint64(0)
	for v := uint64(1); v <= 20; v++ {
		reached := func(ids []ID) bool {
			n := 0
			for _, id := range ids {
				if value(id) >= v {
					n++
				}
			}
			return n > len(ids)/2
		}
		if reached(c.Voters) && (len(c.Old) == 0 || reached(c.Old)) {
			best = v
		}
	}
	return best
}

func TestQuorumAgreesWithTheDumbOne(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	draw := func(limit int) (ids []ID) {
		for _, k := range rng.Perm(14)[:rng.IntN(limit)] {
			ids = append(ids, ID(k+1))
		}
		slices.Sort(ids)
		return ids
	}
	for range 20000 {
		c := Config{Voters: draw(12), Old: draw(12), Learners: draw(3)}
		values := make([]uint64, 15)
		for i := range values {
			values[i] = rng.Uint64N(20)
		}
		value := func(id ID) uint64 { return values[id] }
		if got, want := c.Quorum(value), slowQuorum(&c, value); got != want {
			t.Fatalf("%s with %v: quorum at %d, want %d", c, values, got, want)
		}
	}
}

// Any two quorums of one configuration meet, and so do those of a joint configuration and of each
// of its halves; this is what election and commit rest on.
func TestQuorumsMeet(t *testing.T) {
	configs := []Config{
		{Voters: []ID{1}}, {Voters: []ID{1, 2}}, {Voters: []ID{1, 2, 3}}, {Voters: []ID{1, 2, 3, 4}},
		{Voters: []ID{1, 2, 3, 4, 5}},
		{Voters: []ID{4, 5, 6}, Old: []ID{1, 2, 3}}, {Voters: []ID{3}, Old: []ID{1, 2, 3}},
		{Voters: []ID{1, 2, 3, 4}, Old: []ID{4, 5}},
	}
	has := func(c *Config, set uint) bool {
		return c.Quorum(func(id ID) uint64 { return uint64(set >> id & 1) }) > 0
	}
	meet := func(a, b *Config) {
		for s := range uint(1 << 7) {
			if u := ^s & (1<<7 - 1); has(a, s) && has(b, u) {
				t.Errorf("%b is a quorum of %s, and %b, disjoint from it, of %s", s, a, u, b)
			}
		}
	}
	for i := range configs {
		c := &configs[i]
		meet(c, c)
		if c.Joint() {
			meet(c, &Config{Voters: c.Old})
			meet(c, &Config{Voters: c.Voters})
		}
	}
}

func TestNobodyDecidesNothing(t *testing.T) {
	all := func(ID) uint64 { return 7 }
	for _, c := range []Config{{}, {Learners: []ID{1}}, {Old: []ID{1}}} {
		if got := c.Quorum(all); got != 0 {
			t.Errorf("%s: quorum %d without voters", c, got)
		}
	}
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add(Config{}.Encode())
	f.Add(Config{Voters: []ID{1, 2, 3}, Old: []ID{3, 400}, Learners: []ID{1 << 60}}.Encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := DecodeConfig(data)
		if err != nil {
			return
		}
		back, err := DecodeConfig(c.Encode())
		if err != nil || !back.Equal(&c) {
			t.Errorf("%s came back as %s, %v", c, back, err)
		}
	})
}
