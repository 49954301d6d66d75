package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Op says what a command does.
type Op uint8

// The operations. The numbers are in the log: they are never given to something else.
const (
	OpPut Op = iota + 1
	OpCAS
	OpDelete
	OpAppend
	OpGet // a read through the log, to compare others with
)

// MaxKey and MaxValue bound what a key and a value may hold, in bytes. An append that would exceed
// MaxValue changes nothing.
const (
	MaxKey   = 4 << 10
	MaxValue = 1 << 20
)

// Command is one request to the state machine, as it stands in a log entry.
type Command struct {
	Op    Op
	Key   string
	Value string // put: the value; append: what is added; cas: the new value
	// CAS: Old must stand there, or nothing if OldAbsent.
	Old       string
	OldAbsent bool
}

// ErrBadCommand is what Validate and Decode say of something that no log should hold.
var ErrBadCommand = errors.New("bad command")

// ErrTooLarge says that a key or value exceeds its bound.
var ErrTooLarge = errors.New("too large")

// Validate tells whether the command may be proposed.
func (c *Command) Validate() error {
	switch {
	case c.Op < OpPut || c.Op > OpGet:
		return fmt.Errorf("%w: operation %d", ErrBadCommand, c.Op)
	case c.Key == "":
		return fmt.Errorf("%w: the key is empty", ErrBadCommand)
	case len(c.Key) > MaxKey:
		return fmt.Errorf("%w: a key of %d bytes exceeds %d", ErrTooLarge, len(c.Key), MaxKey)
	case len(c.Value) > MaxValue || len(c.Old) > MaxValue:
		return fmt.Errorf("%w: a value of %d bytes exceeds %d", ErrTooLarge,
			max(len(c.Value), len(c.Old)), MaxValue)
	}
	return nil
}

const flagOldAbsent = 1

// Append encodes the command behind dst.
func (c *Command) Append(dst []byte) []byte {
	var flags byte
	if c.OldAbsent {
		flags |= flagOldAbsent
	}
	dst = append(dst, byte(c.Op), flags)
	dst = appendString(dst, c.Key)
	switch c.Op {
	case OpPut, OpAppend:
		dst = appendString(dst, c.Value)
	case OpCAS:
		dst = appendString(dst, c.Value)
		dst = appendString(dst, c.Old)
	}
	return dst
}

// Encode is Append to nothing.
func (c *Command) Encode() []byte {
	return c.Append(make([]byte, 0, 2+3*binary.MaxVarintLen32+len(c.Key)+len(c.Value)+len(c.Old)))
}

// Decode reads what Encode wrote.
func Decode(data []byte) (Command, error) {
	d := decoder{data: data}
	c := Command{Op: Op(d.byte())}
	c.OldAbsent = d.byte()&flagOldAbsent != 0
	c.Key = d.string()
	switch c.Op {
	case OpPut, OpAppend:
		c.Value = d.string()
	case OpCAS:
		c.Value = d.string()
		c.Old = d.string()
	case OpDelete, OpGet:
	default:
		return Command{}, fmt.Errorf("%w: operation %d", ErrBadCommand, c.Op)
	}
	if d.bad || len(d.data) > 0 {
		return Command{}, fmt.Errorf("%w: malformed", ErrBadCommand)
	}
	return c, nil
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// decoder takes values off the front of data; after the first mistake it yields zeros.
type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) byte() byte {
	if len(d.data) == 0 {
		d.bad = true
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 {
		d.bad, d.data = true, nil
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) string() string {
	n := d.uvarint()
	if n > uint64(len(d.data)) {
		d.bad, d.data = true, nil
		return ""
	}
	s := string(d.data[:n])
	d.data = d.data[n:]
	return s
}
