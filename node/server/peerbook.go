package server

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"github.com/raftcheck/raftcheck/node/raft"
	"github.com/raftcheck/raftcheck/node/wal"
)

const peerbookName = "peers.json"

// peerbook remembers the incarnation under which each peer was met first. A node whose disk was
// wiped comes back with another one: it has forgotten its votes and what it acknowledged, so a
// majority that counts on its memory could be fooled. It is refused, and has to be added under a
// new id.
type peerbook struct {
	fs wal.FS

	mu    sync.Mutex // guards known
	known map[string]string
}

func loadPeerbook(fsys wal.FS) (*peerbook, error) {
	b := &peerbook{fs: fsys, known: map[string]string{}}
	data, err := wal.ReadFile(fsys, peerbookName)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &b.known)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", peerbookName, err)
	}
	return b, nil
}

// check refuses a peer that was met under another incarnation before.
func (b *peerbook) check(id raft.ID, incarnation [16]byte) error {
	inc := hex.EncodeToString(incarnation[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	switch was := b.known[id.String()]; was {
	case inc:
		return nil
	case "":
	default:
		return fmt.Errorf("%s was %s and is %s now: it lost its disk, and must not come back under "+
			"its old id", id, was, inc)
	}
	b.known[id.String()] = inc
	data, err := json.MarshalIndent(b.known, "", "  ")
	if err != nil {
		return err
	}
	if err := wal.WriteFile(b.fs, peerbookName, append(data, '\n')); err != nil {
		return fmt.Errorf("write %s: %w", peerbookName, err)
	}
	return nil
}
