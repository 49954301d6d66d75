package peer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/raftcheck/raftcheck/node/raft"
)

// Protocol is the version of what nodes say to each other; nodes of different versions do not talk.
const Protocol = 1

const helloMagic = "RAFTPEER"

// purpose says what a connection is for.
type purpose byte

const (
	purposeMessages purpose = 1 + iota // frames from the dialer, nothing back
	purposeSnapshot                    // the dialer fetches a snapshot
)

// hello opens each connection, from the side that dialed. The other answers with status 0 and its
// incarnation, or status 1 and the reason why it refuses.
type hello struct {
	purpose     purpose
	from, to    raft.ID
	incarnation [16]byte
	cluster     string
	addr        string // where the dialer itself listens
}

const maxHelloString = 255

func (h hello) encode() []byte {
	buf := append([]byte(helloMagic), Protocol, byte(h.purpose))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(h.from))
	buf = binary.LittleEndian.AppendUint64(buf, uint64(h.to))
	buf = append(buf, h.incarnation[:]...)
	for _, s := range []string{h.cluster, h.addr} {
		s = s[:min(len(s), maxHelloString)]
		buf = append(append(buf, byte(len(s))), s...)
	}
	return buf
}

func readHello(r io.Reader) (hello, error) {
	const fixed = len(helloMagic) + 2 + 8 + 8 + 16
	var buf [fixed]byte
	if _, err := io.ReadFull(r, buf[:]); err != nil {
		return hello{}, fmt.Errorf("read hello: %w", err)
	}
	if string(buf[:len(helloMagic)]) != helloMagic {
		return hello{}, errors.New("not a node: no hello")
	}
	rest := buf[len(helloMagic):]
	if rest[0] != Protocol {
		return hello{}, fmt.Errorf("peer protocol %d, this node speaks %d", rest[0], Protocol)
	}
	h := hello{
		purpose: purpose(rest[1]),
		from:    raft.ID(binary.LittleEndian.Uint64(rest[2:])),
		to:      raft.ID(binary.LittleEndian.Uint64(rest[10:])),
	}
	copy(h.incarnation[:], rest[18:])
	for _, s := range []*string{&h.cluster, &h.addr} {
		var err error
		if *s, err = readShortString(r); err != nil {
			return hello{}, fmt.Errorf("read hello: %w", err)
		}
	}
	return h, nil
}

func readShortString(r io.Reader) (string, error) {
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return "", err
	}
	s := make([]byte, n[0])
	_, err := io.ReadFull(r, s)
	return string(s), err
}

const (
	helloAccepted = 0
	helloRefused  = 1
)

func acceptHello(w io.Writer, incarnation [16]byte) error {
	_, err := w.Write(slices.Concat([]byte{helloAccepted}, incarnation[:]))
	return err
}

func refuseHello(w io.Writer, reason string) error {
	reason = reason[:min(len(reason), maxHelloString)]
	_, err := w.Write(slices.Concat([]byte{helloRefused, byte(len(reason))}, []byte(reason)))
	return err
}

// RefusedError says that a peer answered, but one of the two does not want to talk to the other.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "refused: " + e.Reason }

// known asks whether the peer may take part.
func (t *Transport) known(id raft.ID, incarnation [16]byte) error {
	if err := t.opts.Known(id, incarnation); err != nil {
		return &RefusedError{err.Error()}
	}
	return nil
}

func readAnswer(r io.Reader) (incarnation [16]byte, err error) {
	var status [1]byte
	if _, err = io.ReadFull(r, status[:]); err != nil {
		return incarnation, fmt.Errorf("read answer: %w", err)
	}
	if status[0] == helloAccepted {
		_, err = io.ReadFull(r, incarnation[:])
		return incarnation, err
	}
	reason, err := readShortString(r)
	if err != nil {
		return incarnation, fmt.Errorf("read answer: %w", err)
	}
	return incarnation, &RefusedError{reason}
}
