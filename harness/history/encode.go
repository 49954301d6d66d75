package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

// appendOp appends op's line. It is written by hand since a run records hundreds of thousands of
// lines a second beside the clients; the test holds it against encoding/json.
func appendOp(b []byte, op *Op) ([]byte, error) {
	if op.Type < Invoke || op.Type > Info {
		return b, fmt.Errorf("it has no type")
	}
	if op.Process < Observer {
		return b, fmt.Errorf("there is no process %d", int64(op.Process))
	}
	if op.Time < 0 || op.Start < 0 {
		return b, fmt.Errorf("its time lies before the run")
	}
	b = append(b, `{"index":`...)
	b = strconv.AppendInt(b, op.Index, 10)
	b = append(b, `,"process":`...)
	if op.Process.IsClient() {
		b = strconv.AppendInt(b, int64(op.Process), 10)
	} else {
		b = appendString(b, op.Process.String())
	}
	b = append(b, `,"type":"`...)
	b = append(b, typeNames[op.Type]...)
	b = append(b, `","f":`...)
	b = appendString(b, op.F)
	b = appendField(b, `,"key":`, op.Key)
	if len(op.Value) > 0 {
		b = append(b, `,"value":`...)
		var err error
		if b, err = appendRaw(b, op.Value); err != nil {
			return b, fmt.Errorf("its value: %w", err)
		}
	}
	b = append(b, `,"time_ns":`...)
	b = strconv.AppendInt(b, int64(op.Time), 10)
	if op.Start != 0 {
		b = append(b, `,"start_ns":`...)
		b = strconv.AppendInt(b, int64(op.Start), 10)
	}
	b = appendField(b, `,"node":`, op.Node)
	b = appendField(b, `,"error":`, op.Error)
	if len(op.Extra) > 0 {
		var err error
		if b, err = appendExtra(b, op.Extra, isOpField); err != nil {
			return b, err
		}
	}
	b = append(b, "}\n"...)
	if len(b) > MaxLine {
		return b, fmt.Errorf("a line of %d bytes is too long", len(b))
	}
	return b, nil
}

func appendField(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, name...), s)
}

// isOpField says whether the format knows the field name of an operation's line.
func isOpField(name string) bool { return fieldOf([]byte(name)) != fieldUnknown }

// appendExtra appends fields that this version does not know, in order of their names.
func appendExtra(
	b []byte, extra map[string]json.RawMessage, known func(string) bool,
) ([]byte, error) {
	for _, name := range slices.Sorted(maps.Keys(extra)) {
		if known(name) {
			return b, fmt.Errorf("its extra field %q is one that the format knows", name)
		}
		b = appendString(append(b, ','), name)
		var err error
		if b, err = appendRaw(append(b, ':'), extra[name]); err != nil {
			return b, fmt.Errorf("its field %q: %w", name, err)
		}
	}
	return b, nil
}

// appendRaw appends a JSON value on one line.
func appendRaw(b []byte, raw json.RawMessage) ([]byte, error) {
	if len(raw) > 0 && isPlain(raw) {
		return append(b, raw...), nil
	}
	if !json.Valid(raw) || !utf8.Valid(raw) {
		return b, fmt.Errorf("%.40q is not JSON", raw)
	}
	if bytes.ContainsAny(raw, "\n\r\t ") {
		var buf bytes.Buffer
		if err := json.Compact(&buf, raw); err != nil {
			return b, err
		}
		raw = buf.Bytes()
	}
	return append(b, raw...), nil
}

// isPlain says whether raw is surely JSON without white space: an integer, a string without
// escapes, null, true or false. Most values are.
func isPlain(raw []byte) bool {
	switch c := raw[0]; {
	case c == '"':
		n := len(raw) - 1
		return n >= 1 && raw[n] == '"' && isPlainText(raw[1:n])
	case c >= '1' && c <= '9':
		for _, d := range raw[1:] {
			if d < '0' || d > '9' {
				return false
			}
		}
		return true
	case len(raw) == 4:
		return string(raw) == "null" || string(raw) == "true"
	}
	return string(raw) == "0" || string(raw) == "false"
}

// isPlainText says whether b stands in a JSON string as it is: printable ASCII without quote and
// backslash.
func isPlainText[S []byte | string](b S) bool {
	for i := range len(b) {
		if c := b[i]; c < ' ' || c >= utf8.RuneSelf-1 || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

const hex = "0123456789abcdef"

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD, since a file
// must be readable by all.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	if isPlainText(s) {
		b = append(b, s...)
		return append(b, '"')
	}
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c == '\n':
			b = append(b, `\n`...)
		case c < ' ' || c == 0x7f:
			b = append(b, `\u00`...)
			b = append(b, hex[c>>4], hex[c&15])
		default:
			b = utf8.AppendRune(b, c)
		}
	}
	return append(b, '"')
}
