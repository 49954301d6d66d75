package driver

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"text/template"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// place is what templates know of where they are: the node in question and all of them.
type place struct {
	Node    node
	Nodes   []node
	Options map[string]string
	// Program is where the program lies.
	Program string
}

// node is a node as templates see it; Number counts from 1.
type node struct {
	ID, Addr string
	Number   int
}

// question is what a template of a request knows.
type question struct {
	place
	Key, Value, Old, New string
}

// answer is what a template of an answer knows. JSON is the body, if it is JSON.
type answer struct {
	question
	Status int
	Body   string
	JSON   any
}

func nodeOf(n sut.Node, all []sut.Node) node {
	number := 0
	for i, m := range all {
		if m.ID == n.ID {
			number = i + 1
		}
	}
	return node{string(n.ID), n.Addr.String(), number}
}

// functions are those of templates, besides Go's own.
func functions() template.FuncMap {
	return template.FuncMap{
		"b64": func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"unb64": func(s any) (string, error) {
			raw, err := base64.StdEncoding.DecodeString(fmt.Sprint(s))
			return string(raw), err
		},
		"json": func(v any) (string, error) {
			raw, err := json.Marshal(v)
			return string(raw), err
		},
		"path": url.PathEscape,
		"nodes": func(layout, sep string, all []node) string {
			var parts []string
			for _, n := range all {
				parts = append(parts, strings.NewReplacer("ID", n.ID, "ADDR", n.Addr, "NUMBER",
					strconv.Itoa(n.Number)).Replace(layout))
			}
			return strings.Join(parts, sep)
		},
		"hasPrefix": func(s any, prefix string) bool { return strings.HasPrefix(fmt.Sprint(s), prefix) },
		"contains":  func(s any, part string) bool { return strings.Contains(fmt.Sprint(s), part) },
	}
}

// fill fills the template in; one that is not there is empty.
func (t text) fill(data any) (string, error) {
	if t.Template == nil {
		return "", nil
	}
	var buf bytes.Buffer
	if err := t.Execute(&buf, data); err != nil {
		return "", err
	}
	return buf.String(), nil
}

func fillAll(all []text, data any) (filled []string, err error) {
	for _, t := range all {
		s, err := t.fill(data)
		if err != nil {
			return nil, err
		}
		filled = append(filled, s)
	}
	return filled, nil
}

// number fills a template in that makes a number; nothing is zero.
func (t text) number(data any) (uint64, error) {
	s, err := t.fill(data)
	if err != nil || s == "" {
		return 0, err
	}
	return strconv.ParseUint(s, 10, 64)
}

// decode reads a body as JSON, with its numbers as they stand; nil if it is none.
func decode(body []byte) any {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return nil
	}
	return v
}
