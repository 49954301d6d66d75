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
func Write(w io.Writer, h *history.History) error {
	out := bufio.NewWriterSize(w, 1<<16)
	keyed := slices.ContainsFunc(h.Ops, func(op history.Op) bool { return op.Key != "" })
	n := 0
	args := map[history.Process]json.RawMessage{}
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
		line, err := appendOp(nil, n, &op, keyed && op.Process.IsClient())
		if err != nil {
			return fmt.Errorf("operation %d: %w", op.Index, err)
		}
		n++
		if _, err := out.Write(line); err != nil {
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
	who := op.Process.String()
	if !op.Process.IsClient() {
		who = ":" + who
	}
	b = fmt.Appendf(b, "{:index %d, :process %s, :type :%s, :f :%s, :value ", index, who, op.Type,
		op.F)
	value, err := fromJSON(op.Value)
	if err != nil {
		return nil, err
	}
	if keyed {
		b = append(b, '[')
		if _, err := strconv.Atoi(op.Key); err == nil {
			b = append(b, op.Key...)
		} else {
			b = strconv.AppendQuote(b, op.Key)
		}
		b = append(b, ' ')
	}
	b = appendForm(b, value)
	if keyed {
		b = append(b, ']')
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
