package edn

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/raftcheck/raftcheck/harness/history"
)

// Write writes the operations of clients and of the nemesis as EDN, one on each line, for Jepsen's
// tools. If an operation has a key, its value is [key value]. A compare-and-set that was refused
// becomes a failure, as it is there: that it found another value is lost.
func Write(w io.Writer, h *history.History) error { return write(w, h, appendOp) }

// WriteText writes a text log as Jepsen wrote them in 2014, which has neither times nor nodes. What
// is said of [Write] holds here too; an error is in the place of the value.
func WriteText(w io.Writer, h *history.History) error { return write(w, h, appendLine) }

// write writes each operation as Jepsen has it, by means of line. Its arguments are where to
// append, the number of the line, the operation, and whether its value is [key value].
func write(
	w io.Writer, h *history.History,
	line func(b []byte, n int, op *history.Op, keyed bool) ([]byte, error),
) error {
	out := bufio.NewWriterSize(w, 1<<16)
	keyed := slices.ContainsFunc(h.Ops, func(op history.Op) bool { return op.Key != "" })
	n := 0
	args := map[history.Process]json.RawMessage{}
	var b []byte
	for i := range h.Ops {
		op := h.Ops[i]
		if op.Process == history.Observer {
			continue
		}
		if op.Type == history.Invoke {
			args[op.Process] = op.Value
		}
		if op.F == "cas" && op.Type == history.Ok {
			op.Type = swapped(op.Value)
			op.Value = args[op.Process]
		}
		if op.F != "read" && op.F != "get" && op.Process.IsClient() && op.Type != history.Invoke &&
			len(op.Value) == 0 {
			op.Value = args[op.Process]
		}
		var err error
		if b, err = line(b[:0], n, &op, keyed && op.Process.IsClient()); err != nil {
			return fmt.Errorf("operation %d: %w", op.Index, err)
		}
		n++
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	return out.Flush()
}

// swapped is how a compare-and-set ended whose answer is given.
func swapped(answer json.RawMessage) history.Type {
	var res struct {
		Swapped bool `json:"swapped"`
	}
	if json.Unmarshal(answer, &res) == nil && !res.Swapped {
		return history.Fail
	}
	return history.Ok
}

func appendOp(b []byte, index int, op *history.Op, keyed bool) ([]byte, error) {
	b = fmt.Appendf(b, "{:index %d, :process %s, :type :%s, :f :%s, :value ", index, who(op), op.Type,
		op.F)
	b, err := appendValue(b, op, keyed)
	if err != nil {
		return nil, err
	}
	b = fmt.Appendf(b, ", :time %d", int64(op.Time))
	if op.Node != "" {
		b = appendText(append(b, ", :node "...), op.Node)
	}
	if op.Error != "" {
		b = appendText(append(b, ", :error "...), op.Error)
	}
	return append(b, "}\n"...), nil
}

// appendLine appends a line of a text log.
func appendLine(b []byte, _ int, op *history.Op, keyed bool) ([]byte, error) {
	b = fmt.Appendf(b, "INFO  jepsen.util - %s\t:%s\t:%s\t", who(op), op.Type, op.F)
	if op.Error != "" && op.Type != history.Ok {
		word := strings.Map(func(c rune) rune {
			if isName(string(c)) {
				return c
			}
			return '-'
		}, op.Error)
		return append(b, ":"+word+"\n"...), nil
	}
	b, err := appendValue(b, op, keyed)
	return append(b, '\n'), err
}

// who is the process of op: a number, or a keyword.
func who(op *history.Op) string {
	if op.Process.IsClient() {
		return op.Process.String()
	}
	return ":" + op.Process.String()
}

// appendValue appends the value of op, or [key value].
func appendValue(b []byte, op *history.Op, keyed bool) ([]byte, error) {
	value, err := fromJSON(op.Value)
	if err != nil {
		return nil, err
	}
	if !keyed {
		return appendForm(b, value), nil
	}
	b = append(b, '[')
	if _, err := strconv.Atoi(op.Key); err == nil {
		b = append(b, op.Key...)
	} else {
		b = strconv.AppendQuote(b, op.Key)
	}
	return append(appendForm(append(b, ' '), value), ']'), nil
}

func fromJSON(raw json.RawMessage) (v any, err error) {
	if len(raw) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	err = dec.Decode(&v)
	return v, err
}

// appendForm appends a JSON value as EDN.
func appendForm(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "nil"...)
	case bool:
		return strconv.AppendBool(b, v)
	case json.Number:
		return append(b, v.String()...)
	case string:
		if name, ok := strings.CutPrefix(v, ":"); ok && isName(name) {
			return append(b, v...)
		}
		return appendText(b, v)
	case []any:
		b = append(b, '[')
		for i := range v {
			if i > 0 {
				b = append(b, ' ')
			}
			b = appendForm(b, v[i])
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if i > 0 {
				b = append(b, ", "...)
			}
			if isName(name) {
				b = append(append(b, ':'), name...)
			} else {
				b = appendText(b, name)
			}
			b = appendForm(append(b, ' '), v[name])
		}
		return append(b, '}')
	}
	return b
}

// isName says whether s can be the name of a keyword.
func isName(s string) bool {
	for _, c := range s {
		if c <= ' ' || c > '~' || strings.ContainsRune(",;{}[]()\"\\:#", c) {
			return false
		}
	}
	return s != ""
}

// appendText appends a string as EDN has it.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c == '\n':
			b = append(b, `\n`...)
		case c < ' ':
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, string(c)...)
		}
	}
	return append(b, '"')
}
