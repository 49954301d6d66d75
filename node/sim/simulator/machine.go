package simulator

import (
	"encoding/binary"

	"github.com/raftcheck/raftcheck/node/raft"
)

const (
	maxKeys    = 4
	maxClients = 16
)

// command is what clients propose: write value to key. Each client has one command at a time and
// numbers them, so that a command which was retried is applied once.
type command struct {
	client uint32
	seq    uint32
	key    uint32
}

const commandSize = 12

func (c command) encode() []byte {
	b := make([]byte, commandSize)
	binary.LittleEndian.PutUint32(b, c.client)
	binary.LittleEndian.PutUint32(b[4:], c.seq)
	binary.LittleEndian.PutUint32(b[8:], c.key)
	return b
}

func decodeCommand(b []byte) command {
	return command{
		binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]),
		binary.LittleEndian.Uint32(b[8:]),
	}
}

// machine is the replicated state: per key the command that wrote it last, and per client the
// last command and where it was applied. A value is the (client, seq) that wrote it, and so never
// occurs twice; its version is the log index.
type machine struct {
	applied raft.Index
	digest  uint64 // over the whole history
	keys    [maxKeys]cell
	clients [maxClients]session
}

type cell struct {
	client, seq uint32
	version     raft.Index
}

type session struct {
	seq     uint32
	version raft.Index // where it was applied first
}

// apply applies one entry and returns the version of the command's effect.
func (m *machine) apply(e *raft.Entry) raft.Index {
	m.skip(e)
	if e.Kind != raft.EntryCommand {
		return 0
	}
	c := decodeCommand(e.Data)
	s := &m.clients[c.client]
	if c.seq > s.seq {
		*s = session{c.seq, e.Index}
		m.keys[c.key] = cell{c.client, c.seq, e.Index}
		m.digest = mix(m.digest, uint64(c.client)<<40|uint64(c.seq)<<8|uint64(c.key))
	}
	if s.seq == c.seq {
		return s.version
	}
	return 0 // an old duplicate: nobody waits for it
}

// skip takes in an entry that changes no key.
func (m *machine) skip(e *raft.Entry) {
	m.applied = e.Index
	m.digest = mix(m.digest, uint64(e.Index)<<8|uint64(e.Kind))
}

// mix folds v into a running hash.
func mix(h, v uint64) uint64 {
	h ^= v
	h *= 0x9e3779b97f4a7c15
	return h ^ h>>29
}
