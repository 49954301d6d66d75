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
	OpIncrement
	OpTxn
	OpOpenSession // the session's id is the index of this entry
	OpCloseSession
	OpKeepSession // does nothing but count as a use
)

// The bounds, in bytes and in number. What would exceed MaxValue by an append changes nothing.
const (
	MaxKey      = 4 << 10
	MaxValue    = 1 << 20
	MaxTxnSteps = 128
	MaxCommand  = 4 << 20
)

// Command is one request to the state machine, as it stands in a log entry.
type Command struct {
	Op    Op
	Key   string
	Value string // put: the value; append: what is added; cas: the new value
	// CAS: Old must stand there, or nothing if OldAbsent.
	Old       string
	OldAbsent bool
	Delta     int64 // increment: what is added
	Txn       *Txn

	Session Session // zero for none
}

// Session says which request of which session a command is. Every command with the same ID and Seq
// is carried out once, however often it is in the log; the others get the first one's answer.
type Session struct {
	ID  uint64 // the answer to OpOpenSession
	Seq uint64 // numbers the session's requests, from 1
	// Ack promises that no request below it will come again, so that answers can be forgotten.
	Ack uint64
}

// Txn is carried out as one: Then if all of Compare hold, Else otherwise. If any step cannot be
// carried out, none is.
type Txn struct {
	Compare []Compare
	Then    []Step
	Else    []Step
}

// Target says what of an item a Compare looks at.
type Target uint8

// The targets.
const (
	TargetValue   Target = iota + 1 // the value is Value; false if there is none
	TargetVersion                   // the version is Version
	TargetExists                    // something stands there
	TargetAbsent                    // nothing stands there
)

// Compare is one condition.
type Compare struct {
	Key     string
	Target  Target
	Value   string
	Version uint64
}

// Step is one operation in a Txn: put, delete, append, increment or get.
type Step struct {
	Op    Op
	Key   string
	Value string
	Delta int64
}

// ErrBadCommand is what Validate and Decode say of something that no log should hold.
var ErrBadCommand = errors.New("bad command")

// ErrTooLarge says that a command, a key or a value exceeds its bound.
var ErrTooLarge = errors.New("too large")

// Validate tells whether the command may be proposed.
func (c *Command) Validate() error {
	if c.Op < OpOpenSession && (c.Session.ID == 0) != (c.Session.Seq == 0) {
		return fmt.Errorf("%w: session and seq go together", ErrBadCommand)
	}
	switch c.Op {
	case OpTxn:
		return c.Txn.validate()
	case OpOpenSession:
		if c.Session != (Session{}) {
			return fmt.Errorf("%w: a session is opened outside of any", ErrBadCommand)
		}
		return nil
	case OpCloseSession, OpKeepSession:
		if c.Session.ID == 0 {
			return fmt.Errorf("%w: no session", ErrBadCommand)
		}
		return nil
	case OpPut, OpCAS, OpDelete, OpAppend, OpGet, OpIncrement:
		return validPair(c.Key, max(len(c.Value), len(c.Old)))
	}
	return fmt.Errorf("%w: operation %d", ErrBadCommand, c.Op)
}

func validPair(key string, value int) error {
	switch {
	case key == "":
		return fmt.Errorf("%w: the key is empty", ErrBadCommand)
	case len(key) > MaxKey:
		return fmt.Errorf("%w: a key of %d bytes exceeds %d", ErrTooLarge, len(key), MaxKey)
	case value > MaxValue:
		return fmt.Errorf("%w: a value of %d bytes exceeds %d", ErrTooLarge, value, MaxValue)
	}
	return nil
}

func (t *Txn) validate() error {
	if t == nil {
		return fmt.Errorf("%w: an empty transaction", ErrBadCommand)
	}
	if n := len(t.Compare) + len(t.Then) + len(t.Else); n > MaxTxnSteps {
		return fmt.Errorf("%w: a transaction of %d parts exceeds %d", ErrTooLarge, n, MaxTxnSteps)
	}
	size := 0
	for _, c := range t.Compare {
		if c.Target < TargetValue || c.Target > TargetAbsent {
			return fmt.Errorf("%w: compare with target %d", ErrBadCommand, c.Target)
		}
		if err := validPair(c.Key, len(c.Value)); err != nil {
			return err
		}
		size += len(c.Key) + len(c.Value)
	}
	for _, steps := range [][]Step{t.Then, t.Else} {
		for _, s := range steps {
			switch s.Op {
			case OpPut, OpDelete, OpAppend, OpIncrement, OpGet:
			default:
				return fmt.Errorf("%w: operation %d in a transaction", ErrBadCommand, s.Op)
			}
			if err := validPair(s.Key, len(s.Value)); err != nil {
				return err
			}
			size += len(s.Key) + len(s.Value)
		}
	}
	if size > MaxCommand {
		return fmt.Errorf("%w: a transaction of %d bytes exceeds %d", ErrTooLarge, size, MaxCommand)
	}
	return nil
}

const (
	flagOldAbsent = 1 << iota
	flagSession
)

// Append encodes the command behind dst.
func (c *Command) Append(dst []byte) []byte {
	var flags byte
	if c.OldAbsent {
		flags |= flagOldAbsent
	}
	if c.Session != (Session{}) {
		flags |= flagSession
	}
	dst = append(dst, byte(c.Op), flags)
	if flags&flagSession != 0 {
		dst = binary.AppendUvarint(dst, c.Session.ID)
		dst = binary.AppendUvarint(dst, c.Session.Seq)
		dst = binary.AppendUvarint(dst, c.Session.Ack)
	}
	switch c.Op {
	case OpTxn:
		return c.Txn.append(dst)
	case OpOpenSession, OpCloseSession, OpKeepSession:
		return dst
	}
	dst = appendString(dst, c.Key)
	switch c.Op {
	case OpPut, OpAppend:
		dst = appendString(dst, c.Value)
	case OpCAS:
		dst = appendString(dst, c.Value)
		dst = appendString(dst, c.Old)
	case OpIncrement:
		dst = binary.AppendVarint(dst, c.Delta)
	}
	return dst
}

func (t *Txn) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(t.Compare)))
	for _, c := range t.Compare {
		dst = append(dst, byte(c.Target))
		dst = appendString(dst, c.Key)
		dst = appendString(dst, c.Value)
		dst = binary.AppendUvarint(dst, c.Version)
	}
	for _, steps := range [][]Step{t.Then, t.Else} {
		dst = binary.AppendUvarint(dst, uint64(len(steps)))
		for _, s := range steps {
			dst = append(dst, byte(s.Op))
			dst = appendString(dst, s.Key)
			dst = appendString(dst, s.Value)
			dst = binary.AppendVarint(dst, s.Delta)
		}
	}
	return dst
}

// Encode is Append to nothing.
func (c *Command) Encode() []byte {
	const overhead = 2 + 6*binary.MaxVarintLen64
	return c.Append(make([]byte, 0, overhead+len(c.Key)+len(c.Value)+len(c.Old)))
}

// Check decodes and validates a command that comes from outside, without keeping anything of it.
func Check(data []byte) error {
	c, err := decode(decoder{data: data, borrow: true})
	if err != nil {
		return err
	}
	return c.Validate()
}

// Decode reads what Encode wrote.
func Decode(data []byte) (Command, error) { return decode(decoder{data: data}) }

func decode(d decoder) (Command, error) {
	c := Command{Op: Op(d.byte())}
	flags := d.byte()
	c.OldAbsent = flags&flagOldAbsent != 0
	if flags&flagSession != 0 {
		c.Session = Session{ID: d.uvarint(), Seq: d.uvarint(), Ack: d.uvarint()}
	}
	switch c.Op {
	case OpPut, OpAppend:
		c.Key, c.Value = d.string(), d.string()
	case OpCAS:
		c.Key, c.Value, c.Old = d.string(), d.string(), d.string()
	case OpDelete, OpGet:
		c.Key = d.string()
	case OpIncrement:
		c.Key, c.Delta = d.string(), d.varint()
	case OpTxn:
		c.Txn = d.txn()
	case OpOpenSession, OpCloseSession, OpKeepSession:
	default:
		return Command{}, fmt.Errorf("%w: operation %d", ErrBadCommand, c.Op)
	}
	if d.bad || len(d.data) > 0 {
		return Command{}, fmt.Errorf("%w: malformed", ErrBadCommand)
	}
	return c, nil
}

func (d *decoder) txn() *Txn {
	t := &Txn{}
	for range d.count(4) {
		t.Compare = append(t.Compare, Compare{
			Target: Target(d.byte()), Key: d.string(), Value: d.string(), Version: d.uvarint(),
		})
	}
	for _, steps := range []*[]Step{&t.Then, &t.Else} {
		for range d.count(4) {
			*steps = append(*steps, Step{
				Op: Op(d.byte()), Key: d.string(), Value: d.string(), Delta: d.varint(),
			})
		}
	}
	return t
}
