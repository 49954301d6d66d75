package history

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
	"unicode/utf8"
)

// field is a field of an operation's line.
type field uint

const (
	fieldUnknown field = iota
	fieldIndex
	fieldProcess
	fieldType
	fieldF
	fieldKey
	fieldValue
	fieldTime
	fieldStart
	fieldNode
	fieldError
)

// required are the fields without which a line is no operation.
const required = 1<<fieldIndex | 1<<fieldProcess | 1<<fieldType | 1<<fieldF | 1<<fieldTime

func fieldOf(name []byte) field {
	switch string(name) {
	case "index":
		return fieldIndex
	case "process":
		return fieldProcess
	case "type":
		return fieldType
	case "f":
		return fieldF
	case "key":
		return fieldKey
	case "value":
		return fieldValue
	case "time_ns":
		return fieldTime
	case "start_ns":
		return fieldStart
	case "node":
		return fieldNode
	case "error":
		return fieldError
	}
	return fieldUnknown
}

const (
	// internMax bounds how many different strings a decoder remembers, and internLen their length:
	// functions, keys and nodes repeat all the time, and share their memory.
	internMax, internLen = 1 << 16, 64
	// arenaSize is how much memory the values of many operations are taken from at once.
	arenaSize = 1 << 16
)

// decoder turns lines into operations.
type decoder struct {
	b       []byte // what is left of the line
	strings map[string]string
	arena   []byte
}

// op decodes a line, without its end. What it returns shares no memory with line.
func (d *decoder) op(line []byte) (op Op, err error) {
	d.b = line
	if !d.skip('{') {
		return op, errors.New("it does not begin an object")
	}
	var seen uint
	for first := true; ; first = false {
		if first && d.skip('}') {
			break
		}
		name, err := d.name()
		if err != nil {
			return op, err
		}
		f := fieldOf(name)
		if f != fieldUnknown && seen&(1<<f) != 0 {
			return op, fmt.Errorf("it has the field %q twice", name)
		}
		seen |= 1 << f
		if err := d.value(&op, f, name); err != nil {
			return op, err
		}
		if d.skip(',') {
			continue
		}
		if !d.skip('}') {
			return op, fmt.Errorf("there is no comma and no end after %q", name)
		}
		break
	}
	if d.space(); len(d.b) > 0 {
		return op, errors.New("there is more after its end")
	}
	if missing := required &^ seen; missing != 0 {
		return op, errors.New("it has no index, process, type, f or time_ns")
	}
	return op, nil
}

// name reads the name of a field and the colon.
func (d *decoder) name() ([]byte, error) {
	raw, err := d.raw()
	if err != nil {
		return nil, err
	}
	if raw[0] != '"' {
		return nil, errors.New("the name of a field is missing")
	}
	name := raw[1 : len(raw)-1]
	if !isPlainText(name) {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, err
		}
		name = []byte(s)
	}
	if !d.skip(':') {
		return nil, fmt.Errorf("there is no colon after %q", name)
	}
	return name, nil
}

// value reads the value of a field into op.
func (d *decoder) value(op *Op, f field, name []byte) error {
	raw, err := d.raw()
	if err != nil {
		return fmt.Errorf("field %q: %w", name, err)
	}
	switch f {
	case fieldIndex:
		op.Index, err = number(raw)
	case fieldProcess:
		err = d.process(op, raw)
	case fieldType:
		err = d.opType(op, raw)
	case fieldF:
		op.F, err = d.text(raw)
	case fieldKey:
		op.Key, err = d.text(raw)
	case fieldValue:
		op.Value = d.keep(raw)
	case fieldTime:
		var n int64
		n, err = number(raw)
		op.Time = time.Duration(n)
	case fieldStart:
		var n int64
		n, err = number(raw)
		op.Start = time.Duration(n)
	case fieldNode:
		op.Node, err = d.text(raw)
	case fieldError:
		op.Error, err = d.text(raw)
	default:
		if op.Extra == nil {
			op.Extra = map[string]json.RawMessage{}
		}
		op.Extra[string(name)] = d.keep(raw)
	}
	if err != nil {
		return fmt.Errorf("field %q: %w", name, err)
	}
	return nil
}

func (d *decoder) process(op *Op, raw []byte) error {
	if raw[0] != '"' {
		n, err := number(raw)
		op.Process = Process(n)
		return err
	}
	return op.Process.UnmarshalJSON(raw)
}

func (d *decoder) opType(op *Op, raw []byte) error {
	switch string(raw) {
	case `"invoke"`:
		op.Type = Invoke
	case `"ok"`:
		op.Type = Ok
	case `"fail"`:
		op.Type = Fail
	case `"info"`:
		op.Type = Info
	default:
		return fmt.Errorf("%.40s: want invoke, ok, fail or info", raw)
	}
	return nil
}

// text is the string that raw stands for.
func (d *decoder) text(raw []byte) (string, error) {
	if raw[0] != '"' {
		return "", errors.New("want a string")
	}
	if b := raw[1 : len(raw)-1]; isPlainText(b) {
		return d.intern(b), nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

func (d *decoder) intern(b []byte) string {
	if s, ok := d.strings[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(b) <= internLen && len(d.strings) < internMax {
		if d.strings == nil {
			d.strings = map[string]string{}
		}
		d.strings[s] = s
	}
	return s
}

// keep copies raw to where it stays.
func (d *decoder) keep(raw []byte) []byte {
	if len(raw) > arenaSize/4 {
		return bytes.Clone(raw)
	}
	if len(d.arena)+len(raw) > cap(d.arena) {
		d.arena = make([]byte, 0, arenaSize)
	}
	n := len(d.arena)
	d.arena = append(d.arena, raw...)
	return d.arena[n:len(d.arena):len(d.arena)]
}

// number is a JSON integer from 0 to the largest int64.
func number(raw []byte) (n int64, err error) {
	if raw[0] == '0' && len(raw) > 1 {
		return 0, fmt.Errorf("%.40s: want an integer", raw)
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%.40s: want an integer from 0", raw)
		}
		if n > (math.MaxInt64-int64(c-'0'))/10 {
			return 0, fmt.Errorf("%.40s: the number is too large", raw)
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

func (d *decoder) space() {
	for len(d.b) > 0 && (d.b[0] == ' ' || d.b[0] == '\t' || d.b[0] == '\r') {
		d.b = d.b[1:]
	}
}

// skip skips white space, and c if it is there.
func (d *decoder) skip(c byte) bool {
	d.space()
	if len(d.b) == 0 || d.b[0] != c {
		return false
	}
	d.b = d.b[1:]
	return true
}

var (
	errValue = errors.New("it is not JSON")
	errUTF8  = errors.New("it is not UTF-8")
)

// raw reads one JSON value of any kind and returns its bytes, never none. It does not recurse:
// nesting costs no stack.
func (d *decoder) raw() ([]byte, error) {
	d.space()
	n := extent(d.b)
	if n == 0 {
		return nil, errValue
	}
	raw := d.b[:n]
	d.b = d.b[n:]
	if isPlain(raw) {
		return raw, nil
	}
	if !json.Valid(raw) {
		return nil, errValue
	}
	if !utf8.Valid(raw) {
		return nil, errUTF8
	}
	return raw, nil
}

// extent is how many bytes the JSON value takes that b begins with, if it is valid.
func extent(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"':
		return stringExtent(b)
	case '{', '[':
	default:
		n := 0
		for n < len(b) && b[n] != ',' && b[n] != '}' && b[n] != ']' && b[n] != ' ' &&
			b[n] != ':' {
			n++
		}
		return n
	}
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			n := stringExtent(b[i:])
			if n == 0 {
				return 0
			}
			i += n - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

func stringExtent(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return 0
}
