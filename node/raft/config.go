package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Joint reports whether this is a joint configuration.
func (c *Config) Joint() bool { return len(c.Old) > 0 }

// IsVoter reports whether id votes, in either half.
func (c *Config) IsVoter(id ID) bool {
	return slices.Contains(c.Voters, id) || slices.Contains(c.Old, id)
}

// IsMember reports whether id votes or learns.
func (c *Config) IsMember(id ID) bool { return c.IsVoter(id) || slices.Contains(c.Learners, id) }

// Members are all voters of both halves and all learners, sorted.
func (c *Config) Members() []ID {
	all := slices.Concat(c.Voters, c.Old, c.Learners)
	slices.Sort(all)
	return slices.Compact(all)
}

// Equal reports whether both say the same.
func (c *Config) Equal(o *Config) bool {
	return slices.Equal(c.Voters, o.Voters) && slices.Equal(c.Old, o.Old) &&
		slices.Equal(c.Learners, o.Learners)
}

// String is "n1 n2 n3", joint "n4 n5 (old n1 n2 n3)", with learners "n1 n2 (learning n3)".
func (c Config) String() string {
	var b strings.Builder
	list := func(open string, ids []ID, end string) {
		for i, id := range ids {
			if i == 0 {
				b.WriteString(open)
			} else {
				b.WriteByte(' ')
			}
			b.WriteString(id.String())
		}
		if len(ids) > 0 {
			b.WriteString(end)
		}
	}
	list("", c.Voters, "")
	list(" (old ", c.Old, ")")
	list(" (learning ", c.Learners, ")")
	return b.String()
}

// Quorum is the highest value that a quorum has reached: the largest v such that a majority of
// the voters, and while joint also a majority of the old voters, have a value of at least v. All
// decisions are made with it: what is committed (value: match index), who is elected (value: 1
// for a granted vote), which reads are confirmed (value: read round), and when a leader last had
// a quorum behind it (value: time). Without voters it is 0: nobody decides nothing (§4.3).
func (c *Config) Quorum(value func(ID) uint64) uint64 {
	q := majority(c.Voters, value)
	if c.Joint() {
		q = min(q, majority(c.Old, value))
	}
	return q
}

// majority is the highest value that more than half of ids have reached.
func majority(ids []ID, value func(ID) uint64) uint64 {
	if len(ids) == 0 {
		return 0
	}
	var buf [9]uint64
	sorted := buf[:0]
	for _, id := range ids {
		sorted = append(sorted, value(id))
	}
	slices.Sort(sorted)
	return sorted[(len(sorted)-1)/2]
}

// normal returns a copy with sorted slices without duplicates.
func (c *Config) normal() Config {
	tidy := func(ids []ID) []ID {
		ids = slices.Clone(ids)
		slices.Sort(ids)
		return slices.Compact(ids)
	}
	return Config{Voters: tidy(c.Voters), Old: tidy(c.Old), Learners: tidy(c.Learners)}
}

// validTarget reports what is wrong with c as the target of a change.
func (c *Config) validTarget() error {
	switch {
	case len(c.Voters) == 0:
		return fmt.Errorf("%w: no voters", ErrBadConfig)
	case c.Joint():
		return fmt.Errorf("%w: a target has no old voters", ErrBadConfig)
	case slices.Contains(c.Voters, 0) || slices.Contains(c.Learners, 0):
		return fmt.Errorf("%w: member 0", ErrBadConfig)
	}
	for _, id := range c.Learners {
		if slices.Contains(c.Voters, id) {
			return fmt.Errorf("%w: %s is voter and learner", ErrBadConfig, id)
		}
	}
	return nil
}

// Encode is the membership as the Data of an EntryConfig: the three lists, each a uvarint count
// and that many uvarint ids.
func (c Config) Encode() []byte {
	var b []byte
	for _, ids := range [][]ID{c.Voters, c.Old, c.Learners} {
		b = binary.AppendUvarint(b, uint64(len(ids)))
		for _, id := range ids {
			b = binary.AppendUvarint(b, uint64(id))
		}
	}
	return b
}

var errConfigData = errors.New("malformed membership")

// DecodeConfig reads what Encode wrote. Anything else is an error.
func DecodeConfig(data []byte) (Config, error) {
	next := func() (uint64, error) {
		v, n := binary.Uvarint(data)
		if n <= 0 {
			return 0, errConfigData
		}
		data = data[n:]
		return v, nil
	}
	var c Config
	for _, list := range []*[]ID{&c.Voters, &c.Old, &c.Learners} {
		count, err := next()
		if err != nil || count > uint64(len(data)) {
			return Config{}, errConfigData
		}
		for range count {
			id, err := next()
			if err != nil || len(*list) > 0 && ID(id) <= (*list)[len(*list)-1] {
				return Config{}, errConfigData
			}
			*list = append(*list, ID(id))
		}
	}
	if len(data) > 0 {
		return Config{}, errConfigData
	}
	return c, nil
}

// membership is the history of configurations in the log: the newest is in force, committed or
// not (§4.1). Because they are looked up by index, truncating the log rolls the membership back.
type membership struct {
	history []configAt // by index, ascending; never empty
}

type configAt struct {
	index  Index
	config Config
}

// latest is the configuration in force, and where it stands in the log.
func (m *membership) latest() (*Config, Index) {
	e := &m.history[len(m.history)-1]
	return &e.config, e.index
}

// at is the configuration that was in force at index i.
func (m *membership) at(i Index) *configAt {
	k := len(m.history) - 1
	for k > 0 && m.history[k].index > i {
		k--
	}
	return &m.history[k]
}

func (m *membership) add(i Index, c Config) { m.history = append(m.history, configAt{i, c}) }

// truncate forgets the configurations from i on and reports whether there were any.
func (m *membership) truncate(i Index) bool {
	k := len(m.history)
	for k > 1 && m.history[k-1].index >= i {
		k--
	}
	changed := k < len(m.history)
	m.history = m.history[:k]
	return changed
}

// compact forgets what was replaced at or before i.
func (m *membership) compact(i Index) {
	k := 0
	for k+1 < len(m.history) && m.history[k+1].index <= i {
		k++
	}
	m.history = slices.Delete(m.history, 0, k)
}

func (m *membership) reset(i Index, c Config) { m.history = []configAt{{i, c}} }
