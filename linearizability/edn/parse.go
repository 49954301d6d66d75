package edn

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	// maxDepth bounds how deep forms may be nested, maxForm how many bytes one may have.
	maxDepth = 100
	maxForm  = 16 << 20
)

// keyword is a name that stands for itself, without its colon.
type keyword string

// symbol is any other name.
type symbol string

// number is a number as it was written.
type number string

// pair is an entry of a map, in the order in which it was written.
type pair struct{ key, value any }

// form is what can be read: nil, bool, string, number, keyword, symbol, []any for vectors, lists
// and sets, []pair for maps.

// parser reads forms. It knows where it is, so that an error can say so.
type parser struct {
	in   *bufio.Reader
	line int
	size int
}

func newParser(in io.Reader) *parser {
	return &parser{in: bufio.NewReaderSize(in, 1<<16), line: 1}
}

// syntaxError is a mistake in a file.
type syntaxError struct {
	line int
	text string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.text) }

func (p *parser) fail(format string, args ...any) error {
	return &syntaxError{p.line, fmt.Sprintf(format, args...)}
}

// next reads a byte.
func (p *parser) next() (byte, error) {
	c, err := p.in.ReadByte()
	if err != nil {
		return 0, err
	}
	if c == '\n' {
		p.line++
	}
	if p.size++; p.size > maxForm {
		return 0, p.fail("a form is longer than %d MiB", maxForm>>20)
	}
	return c, nil
}

func (p *parser) back(c byte) {
	if c == '\n' {
		p.line--
	}
	p.size--
	_ = p.in.UnreadByte() // it follows a ReadByte
}

// space skips what means nothing, and returns the first byte that does.
func (p *parser) space() (byte, error) {
	for {
		c, err := p.next()
		switch {
		case err != nil:
			return 0, err
		case c == ' ' || c == ',' || c == '\n' || c == '\t' || c == '\r':
		case c == ';':
			for c != '\n' {
				if c, err = p.next(); err != nil {
					return 0, err
				}
			}
		default:
			return c, nil
		}
	}
}

// form reads one form. At the end of the input it gives [io.EOF].
func (p *parser) form() (any, error) {
	p.size = 0
	c, err := p.space()
	if err != nil {
		return nil, err
	}
	v, err := p.rest(c, 0)
	if errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF
	}
	return v, err
}

// rest reads the form that begins with c.
func (p *parser) rest(c byte, depth int) (any, error) {
	if depth > maxDepth {
		return nil, p.fail("forms are nested more than %d deep", maxDepth)
	}
	switch c {
	case '{':
		return p.dict(depth)
	case '[':
		return p.list(']', depth)
	case '(':
		return p.list(')', depth)
	case '"':
		return p.text()
	case '#':
		return p.tagged(depth)
	case '}', ']', ')':
		return nil, p.fail("%q without a beginning", c)
	}
	return p.atom(c)
}

// list reads forms up to end.
func (p *parser) list(end byte, depth int) ([]any, error) {
	out := []any{}
	for {
		c, err := p.space()
		if err != nil {
			return nil, err
		}
		if c == end {
			return out, nil
		}
		v, err := p.rest(c, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
}

func (p *parser) dict(depth int) ([]pair, error) {
	all, err := p.list('}', depth)
	if err != nil {
		return nil, err
	}
	if len(all)%2 != 0 {
		return nil, p.fail("a map has a key without a value")
	}
	out := make([]pair, 0, len(all)/2)
	for i := 0; i < len(all); i += 2 {
		out = append(out, pair{all[i], all[i+1]})
	}
	return out, nil
}

// tagged reads a set, or a form with a tag, which is dropped: a record is a map to us.
func (p *parser) tagged(depth int) (any, error) {
	c, err := p.next()
	if err != nil {
		return nil, err
	}
	if c == '{' {
		return p.list('}', depth)
	}
	if _, err := p.atom(c); err != nil {
		return nil, err
	}
	if c, err = p.space(); err != nil {
		return nil, err
	}
	return p.rest(c, depth+1)
}

func (p *parser) text() (string, error) {
	var b strings.Builder
	for {
		c, err := p.next()
		if err != nil {
			return "", err
		}
		switch c {
		case '"':
			if !utf8.ValidString(b.String()) {
				return "", p.fail("a string is not UTF-8")
			}
			return b.String(), nil
		case '\\':
			if c, err = p.next(); err != nil {
				return "", err
			}
			if err := p.escape(&b, c); err != nil {
				return "", err
			}
		default:
			b.WriteByte(c)
		}
	}
}

func (p *parser) escape(b *strings.Builder, c byte) error {
	switch c {
	case 'n':
		b.WriteByte('\n')
	case 't':
		b.WriteByte('\t')
	case 'r':
		b.WriteByte('\r')
	case '"', '\\':
		b.WriteByte(c)
	case 'u':
		var digits [4]byte
		for i := range digits {
			var err error
			if digits[i], err = p.next(); err != nil {
				return err
			}
		}
		n, err := strconv.ParseUint(string(digits[:]), 16, 32)
		if err != nil {
			return p.fail("\\u%s is no character", digits)
		}
		b.WriteRune(rune(n))
	default:
		return p.fail("a string has an escape \\%c", c)
	}
	return nil
}

// atom reads a name or a number that begins with c.
func (p *parser) atom(c byte) (any, error) {
	b := []byte{c}
	for {
		c, err := p.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if strings.IndexByte(" ,\n\t\r;{}[]()\"", c) >= 0 {
			p.back(c)
			break
		}
		b = append(b, c)
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return nil, p.fail("byte %#x has no place here", c)
		}
	}
	switch s := string(b); {
	case s == "nil":
		return nil, nil
	case s == "true" || s == "false":
		return s == "true", nil
	case s[0] == ':' && len(s) > 1:
		return keyword(s[1:]), nil
	case isNumber(s):
		return number(strings.TrimRight(s, "NM")), nil
	default:
		return symbol(s), nil
	}
}

// isNumber says whether s is a number, which may end in N or M.
func isNumber(s string) bool {
	_, err := strconv.ParseFloat(strings.TrimRight(s, "NM"), 64)
	return err == nil && (s[0] >= '0' && s[0] <= '9' || s[0] == '-' && len(s) > 1)
}
