package raft

import (
	"math/rand/v2"
	"testing"
)

// BenchmarkReplicate measures what one command costs three nodes together, proposed alone or in
// batches, with disks that write at once and a network that delivers at once.
func BenchmarkReplicate(b *testing.B) {
	for name, batch := range map[string]int{"one": 1, "sixtyfour": 64} {
		b.Run(name, func(b *testing.B) {
			c := newCircle(b)
			cmds := make([][]byte, batch)
			for i := range cmds {
				cmds[i] = make([]byte, 256)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += batch {
				if _, _, err := c.nodes[0].Propose(c.now, cmds); err != nil {
					b.Fatal(err)
				}
				c.settle()
				if i%4096 < batch {
					c.compact()
				}
			}
			if want := c.nodes[0].log.last(); c.nodes[0].commit != want {
				b.Fatalf("commit %d of %d", c.nodes[0].commit, want)
			}
		})
	}
}

// circle is three nodes wired to each other.
type circle struct {
	nodes [3]*Node
	out   Output
	now   Time
	mail  []Message
}

func newCircle(b *testing.B) *circle {
	b.Helper()
	c := &circle{}
	for i := range c.nodes {
		opts := Options{ID: ID(i + 1), Rand: rand.New(rand.NewPCG(uint64(i), 1))}
		n, err := New(0, opts, Restored{Snapshot: SnapshotMeta{Config: Config{Voters: []ID{1, 2, 3}}}})
		if err != nil {
			b.Fatal(err)
		}
		c.nodes[i] = n
	}
	c.now = c.nodes[0].Deadline()
	c.nodes[0].Tick(c.now)
	c.settle()
	if c.nodes[0].role != Leader {
		b.Fatal("not elected")
	}
	return c
}

func (c *circle) settle() {
	for again := true; again; {
		again = false
		for _, n := range c.nodes {
			for n.Drain(&c.out) {
				again = true
				if c.out.Ticket != 0 {
					n.Persisted(c.out.Ticket)
				}
				for i := range c.out.Send {
					c.mail = append(c.mail, c.out.Send[i].Message)
				}
				n.Applied(c.out.Commit)
			}
		}
		for i := range c.mail {
			c.nodes[c.mail[i].To-1].Step(c.now, c.mail[i])
		}
		c.mail = c.mail[:0]
	}
}

func (c *circle) compact() {
	for _, n := range c.nodes {
		if meta, ok := n.MetaAt(n.applied); ok {
			n.Snapshotted(meta)
		}
	}
}
