package server

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

const (
	identityName   = "identity.json"
	identityFormat = 1
)

// ErrIdentity says that a data directory belongs to another node or cluster, or to a newer program.
var ErrIdentity = errors.New("data directory is not this node's")

// Identity says whose a data directory is. It is written once, at the first start. The incarnation
// is random: a node that lost its disk gets another one, and cannot pass for its former self.
type Identity struct {
	Format      int       `json:"format"`
	Cluster     string    `json:"cluster"`
	ID          string    `json:"id"`
	Incarnation string    `json:"incarnation"`
	Voters      []string  `json:"voters"` // the first membership
	Created     time.Time `json:"created"`
}

// loadIdentity reads the identity, or makes one at the first start.
func loadIdentity(fsys wal.FS, cfg Config) (Identity, error) {
	data, err := wal.ReadFile(fsys, identityName)
	if errors.Is(err, fs.ErrNotExist) {
		return createIdentity(fsys, cfg)
	}
	if err != nil {
		return Identity{}, fmt.Errorf("read %s: %w", identityName, err)
	}
	var id Identity
	if err := json.Unmarshal(data, &id); err != nil {
		return Identity{}, fmt.Errorf("%w: %s: %w", ErrIdentity, identityName, err)
	}
	switch {
	case id.Format != identityFormat:
		return id, fmt.Errorf("%w: format %d, this program reads %d", ErrIdentity, id.Format,
			identityFormat)
	case id.Cluster != cfg.Cluster:
		return id, fmt.Errorf("%w: it belongs to cluster %q, not %q", ErrIdentity, id.Cluster,
			cfg.Cluster)
	case id.ID != cfg.ID.String():
		return id, fmt.Errorf("%w: it belongs to node %s, not %s", ErrIdentity, id.ID, cfg.ID)
	}
	return id, nil
}

func createIdentity(fsys wal.FS, cfg Config) (Identity, error) {
	names, err := fsys.List()
	if err != nil {
		return Identity{}, err
	}
	for _, name := range names {
		if len(name) > 4 && name[:4] == "wal-" {
			return Identity{}, fmt.Errorf("%w: it has a log, but no %s", ErrIdentity, identityName)
		}
	}
	var inc [16]byte
	if _, err := rand.Read(inc[:]); err != nil {
		return Identity{}, err
	}
	id := Identity{
		Format: identityFormat, Cluster: cfg.Cluster, ID: cfg.ID.String(),
		Incarnation: hex.EncodeToString(inc[:]), Created: time.Now().UTC(),
	}
	for _, v := range cfg.Voters {
		id.Voters = append(id.Voters, v.String())
	}
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return Identity{}, err
	}
	if err := wal.WriteFile(fsys, identityName, append(data, '\n')); err != nil {
		return Identity{}, fmt.Errorf("write %s: %w", identityName, err)
	}
	return id, nil
}

func (id Identity) incarnation() (inc [16]byte, err error) {
	b, err := hex.DecodeString(id.Incarnation)
	if err != nil || len(b) != len(inc) {
		return inc, fmt.Errorf("%w: incarnation %q", ErrIdentity, id.Incarnation)
	}
	copy(inc[:], b)
	return inc, nil
}

func (id Identity) voters() ([]raft.ID, error) {
	var ids []raft.ID
	for _, v := range id.Voters {
		n, err := ParseID(v)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrIdentity, err)
		}
		ids = append(ids, n)
	}
	return ids, nil
}
