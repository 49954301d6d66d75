// Package wire is the binary protocol between clients and nodes: many requests at a time on one
// connection, answered in whatever order they are decided. It shares the port of the HTTP API; a
// connection that begins with [Magic] speaks it.
//
//	client: Magic, then requests     frame = length u32 | id u64 | kind u8 | body
//	node:   responses                frame = length u32 | id u64 | status u8 | body
//
// Length counts what follows it. All numbers are little-endian. What a request means, what the
// errors are and what "definite" promises is the same as over HTTP.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/raftcheck/raftcheck/node/kv"
)

// Magic opens a connection. It ends with the version of the protocol.
const Magic = "RAFTKV1\n"

// MaxFrame bounds a frame, in bytes.
const MaxFrame = kv.MaxCommand + 1<<20

const (
	lengthSize = 4
	headerSize = lengthSize + 8 + 1
)

// ErrFrame says that what came is no valid frame; the connection is of no use then.
var ErrFrame = errors.New("bad frame")

// Kind says what a request is.
type Kind uint8

// The kinds of request.
const (
	KindWrite Kind = iota + 1 // body: a command, as in package kv
	KindGet                   // body: the key; linearizable
	KindStale                 // body: the key; whatever the node has applied
)

// Status says what a response is.
type Status uint8

// The statuses.
const (
	StatusOK    Status = iota // body: a result, as in package kv
	StatusError               // body: an [Error]
)

// Error is an error answer.
type Error struct {
	HTTP     int // the status that the same request would have over HTTP
	Code     string
	Message  string
	Definite bool   // the request has had and will have no effect
	Leader   uint64 // number of the node to ask instead; zero if not known
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Request is one request.
type Request struct {
	ID   uint64
	Kind Kind
	Body []byte
}

// AppendRequest encodes a request behind dst.
func AppendRequest(dst []byte, id uint64, kind Kind, body []byte) []byte {
	return append(begin(dst, id, byte(kind), len(body)), body...)
}

func begin(dst []byte, id uint64, tag byte, size int) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(headerSize-lengthSize+size))
	dst = binary.LittleEndian.AppendUint64(dst, id)
	return append(dst, tag)
}

// AppendResult encodes the answer to a request that was carried out.
func AppendResult(dst []byte, id uint64, r *kv.Result) []byte {
	start := len(dst)
	dst = r.Append(begin(dst, id, byte(StatusOK), 0))
	return finish(dst, start)
}

// AppendError encodes the answer to one that was not.
func AppendError(dst []byte, id uint64, e *Error) []byte {
	start := len(dst)
	dst = begin(dst, id, byte(StatusError), 0)
	dst = binary.AppendUvarint(dst, uint64(e.HTTP))
	var definite byte
	if e.Definite {
		definite = 1
	}
	dst = append(dst, definite)
	dst = binary.AppendUvarint(dst, e.Leader)
	for _, s := range [...]string{e.Code, e.Message} {
		dst = binary.AppendUvarint(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	return finish(dst, start)
}

func finish(dst []byte, start int) []byte {
	binary.LittleEndian.PutUint32(dst[start:], uint32(len(dst)-start-lengthSize))
	return dst
}

// ReadFrame reads a frame: its id, its kind or status, and its body, which is the caller's.
func ReadFrame(r io.Reader) (id uint64, tag byte, body []byte, err error) {
	var head [headerSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, 0, nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n < headerSize-lengthSize || n > MaxFrame {
		return 0, 0, nil, fmt.Errorf("%w: length %d", ErrFrame, n)
	}
	body = make([]byte, n-(headerSize-lengthSize))
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, 0, nil, fmt.Errorf("%w: %w", ErrFrame, err)
	}
	return binary.LittleEndian.Uint64(head[lengthSize:]), head[headerSize-1], body, nil
}

// Peeker is a reader that knows what it has read ahead.
type Peeker interface {
	Buffered() int
	Peek(n int) ([]byte, error)
}

// FrameBuffered says that ReadFrame will not wait.
func FrameBuffered(r Peeker) bool {
	if r.Buffered() < lengthSize {
		return false
	}
	head, err := r.Peek(lengthSize)
	return err == nil && r.Buffered() >= lengthSize+int(binary.LittleEndian.Uint32(head))
}

// DecodeResponse reads the body of a response: a result, or an error of type [Error].
func DecodeResponse(tag byte, body []byte) (kv.Result, error) {
	if Status(tag) == StatusOK {
		return kv.DecodeResult(body)
	}
	if Status(tag) != StatusError {
		return kv.Result{}, fmt.Errorf("%w: status %d", ErrFrame, tag)
	}
	e := &Error{}
	ok := true
	number := func() uint64 {
		v, n := binary.Uvarint(body)
		if n <= 0 {
			ok = false
			return 0
		}
		body = body[n:]
		return v
	}
	e.HTTP = int(number())
	if len(body) > 0 {
		e.Definite, body = body[0] == 1, body[1:]
	}
	e.Leader = number()
	for _, s := range []*string{&e.Code, &e.Message} {
		n := number()
		if n > uint64(len(body)) {
			ok = false
			break
		}
		*s, body = string(body[:n]), body[n:]
	}
	if !ok || len(body) > 0 {
		return kv.Result{}, fmt.Errorf("%w: malformed error", ErrFrame)
	}
	return kv.Result{}, e
}
