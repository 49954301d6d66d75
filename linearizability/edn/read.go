// Package edn reads and writes histories as Jepsen has them: EDN, a map for each operation, and the
// text logs of 2014.
//
//	{:process 0, :type :invoke, :f :cas, :value [1 2], :index 4, :time 3021}
//	INFO  jepsen.util - 0	:invoke	:cas	[1 2]
//
// There an operation that failed did not happen; a compare-and-set that was refused says the same.
// A nil that was read is absent, and never just any value. Where a workload has many keys, the
// value of each operation is [key value].
package edn

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// ErrNotEDN says that a file is neither an EDN history nor a text log.
var ErrNotEDN = errors.New("this is no Jepsen history")

// Is says whether a file that begins with head looks like a Jepsen history, EDN or text.
func Is(head []byte) bool {
	head = bytes.TrimLeft(head, " \t\r\n,")
	return bytes.HasPrefix(head, []byte("{:")) || bytes.HasPrefix(head, []byte("[{:")) ||
		bytes.HasPrefix(head, []byte("#")) || bytes.HasPrefix(head, []byte("INFO "))
}

// Options say how a history is to be read.
type Options struct {
	// Refused says that a compare-and-set that failed and has no error was refused by the store,
	// which is an answer: it had found another value. Otherwise nothing is known but that it did
	// not happen.
	Refused bool
}

// Read reads a history, EDN or text. One that is cut short is not complete.
func Read(in io.Reader, opts Options) (*history.History, error) {
	buf := bufio.NewReaderSize(in, 1<<16)
	head, err := buf.Peek(512)
	if len(head) == 0 {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, history.ErrEmpty
	}
	if !Is(head) {
		return nil, ErrNotEDN
	}
	r := &reader{Options: opts, h: &history.History{Complete: true}}
	if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n,"), []byte("INFO ")) {
		err = r.readText(buf)
	} else {
		err = r.readEDN(buf)
	}
	if err != nil {
		return nil, err
	}
	r.order()
	r.splitKeys()
	if err := r.encode(); err != nil {
		return nil, err
	}
	return r.h, nil
}

type reader struct {
	Options
	h      *history.History
	values []any // of the operations
	times  int   // how many operations have one
}

func (r *reader) readEDN(in io.Reader) error {
	p := newParser(in)
	inside := false
	for {
		p.size = 0
		c, err := p.space()
		switch {
		case errors.Is(err, io.EOF):
			r.h.Complete = r.h.Complete && !inside
			return nil
		case err != nil:
			return err
		case c == '[' && !inside && len(r.values) == 0:
			inside = true
			continue
		case c == ']' && inside:
			inside = false
			continue
		}
		v, err := p.rest(c, 0)
		if errors.Is(err, io.EOF) {
			r.h.Complete = false
			return nil
		}
		if err != nil {
			return err
		}
		if err := r.add(p, v); err != nil {
			return err
		}
	}
}

// add adds the operation that a form describes.
func (r *reader) add(p *parser, v any) error {
	fields, ok := v.([]pair)
	if !ok {
		return p.fail("want a map for an operation")
	}
	op := history.Op{Index: int64(len(r.h.Ops)), Process: -100}
	var value any
	for _, f := range fields {
		name, _ := f.key.(keyword)
		switch name {
		case "process":
			op.Process = process(f.value)
		case "type":
			name, _ := f.value.(keyword)
			t, err := history.ParseType(string(name))
			if err != nil {
				return p.fail("%v", err)
			}
			op.Type = t
		case "f":
			op.F = plain(f.value)
		case "value":
			value = f.value
		case "time":
			n, err := strconv.ParseInt(plain(f.value), 10, 64)
			if err == nil && n >= 0 {
				op.Time = time.Duration(n)
				r.times++
			}
		case "error":
			op.Error = plain(f.value)
		case "node":
			op.Node = plain(f.value)
		}
	}
	if op.Type == 0 || op.Process == -100 {
		return p.fail("an operation has no :type or no :process")
	}
	if !op.Process.IsClient() {
		op.Type = history.Info
	}
	r.h.Ops = append(r.h.Ops, op)
	r.values = append(r.values, value)
	return nil
}

// process is who did it: a number, or a name such as :nemesis.
func process(v any) history.Process {
	if n, ok := v.(number); ok {
		if p, err := strconv.ParseInt(string(n), 10, 64); err == nil && p >= 0 {
			return history.Process(p)
		}
	}
	return history.Nemesis
}

// plain is a form as a text.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case keyword:
		return string(v)
	case symbol:
		return string(v)
	case number:
		return string(v)
	case string:
		return v
	}
	return fmt.Sprint(v)
}

// textLine returns how a line of a text log is made.
func textLine() *regexp.Regexp {
	return regexp.MustCompile(`^INFO\s+\S+\s+-\s+(\S+)\s+:(invoke|ok|fail|info)\s+:(\S+)\s*(.*)$`)
}

func (r *reader) readText(in *bufio.Reader) error {
	re := textLine()
	scan := bufio.NewScanner(in)
	scan.Buffer(nil, maxForm)
	for n := 1; scan.Scan(); n++ {
		m := re.FindStringSubmatch(strings.TrimRight(scan.Text(), " \t\r"))
		if m == nil {
			continue // other things are logged too
		}
		p := newParser(strings.NewReader(m[4]))
		p.line = n
		value, err := p.form()
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("line %d: %w", n, err)
		}
		t, err := history.ParseType(m[2])
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		op := history.Op{Index: int64(len(r.h.Ops)), Process: history.Nemesis, Type: t, F: m[3]}
		if id, err := strconv.ParseInt(m[1], 10, 64); err == nil && id >= 0 {
			op.Process = history.Process(id)
		} else {
			op.Type = history.Info
		}
		if k, ok := value.(keyword); ok && t != history.Invoke {
			op.Error, value = string(k), nil
		}
		r.h.Ops = append(r.h.Ops, op)
		r.values = append(r.values, value)
	}
	if err := scan.Err(); err != nil {
		return fmt.Errorf("line %d: %w", len(r.h.Ops)+1, err)
	}
	if len(r.h.Ops) == 0 {
		return ErrNotEDN
	}
	return nil
}

// order makes sure that times rise: the order of the lines is what counts there.
func (r *reader) order() {
	rising := r.times == len(r.h.Ops)
	for i := 1; i < len(r.h.Ops); i++ {
		rising = rising && r.h.Ops[i].Time > r.h.Ops[i-1].Time
	}
	for i := range r.h.Ops {
		if !rising {
			r.h.Ops[i].Time = time.Duration(i)
		}
	}
}

// splitKeys takes the keys out of the values, if all values of clients' operations are pairs and a
// read is asked for with nothing but a key.
func (r *reader) splitKeys() {
	keyed := false
	for i := range r.h.Ops {
		op := &r.h.Ops[i]
		if !op.Process.IsClient() {
			continue
		}
		v, ok := r.values[i].([]any)
		if !ok || len(v) != 2 {
			return
		}
		keyed = keyed || op.Type == history.Invoke && op.F == "read" && v[1] == nil
	}
	if !keyed {
		return
	}
	for i := range r.h.Ops {
		if op := &r.h.Ops[i]; op.Process.IsClient() {
			v := r.values[i].([]any)
			op.Key, r.values[i] = plain(v[0]), v[1]
		}
	}
}

// encode turns values into JSON. The answer of a compare-and-set there is its argument.
func (r *reader) encode() error {
	for i := range r.h.Ops {
		op := &r.h.Ops[i]
		switch {
		case op.F == "cas" && op.Type == history.Ok:
			op.Value = json.RawMessage(`{"swapped":true}`)
			continue
		case op.F == "cas" && op.Type == history.Fail && r.Refused && op.Error == "":
			op.Type, op.Value = history.Ok, json.RawMessage(`{"swapped":false}`)
			continue
		case op.Type != history.Invoke && op.Type != history.Ok && r.values[i] == nil:
			continue
		}
		raw, err := json.Marshal(toJSON(r.values[i]))
		if err != nil {
			return fmt.Errorf("operation %d: %w", i, err)
		}
		op.Value = raw
	}
	r.values = nil
	return nil
}

// toJSON is a form as it is in JSON. Keywords keep their colon, which tells them from strings.
func toJSON(v any) any {
	switch v := v.(type) {
	case keyword:
		return ":" + string(v)
	case symbol:
		return string(v)
	case number:
		if n := json.Number(v); json.Valid([]byte(n)) {
			return n
		}
		return string(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = toJSON(v[i])
		}
		return out
	case []pair:
		out := map[string]any{}
		for _, p := range v {
			out[plain(p.key)] = toJSON(p.value)
		}
		return out
	}
	return v
}
