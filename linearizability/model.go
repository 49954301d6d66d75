package linearizability

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/unique"
)

// Model says what an object does that is no register. States are texts that are equal if and only
// if the states are.
type Model struct {
	// Name is what --model takes; Doc is one line for people.
	Name, Doc string
	// perKey says that each key is an object of its own.
	perKey bool
	// isRegister says that it is a register, for which there are better engines.
	isRegister bool
	init       string
	// elements says that an operation adds its argument as an element, and does nothing else:
	// where no answer holds it, nobody can tell whether the operation happened. With text, the
	// element may stand anywhere in an answer.
	elements, text bool
	// rules decides where no element comes twice; nil if there are no rules.
	rules func([]unique.Op) register.Decision
	// chooses says that an operation without an answer can leave an object in several states.
	chooses bool
	// functions by name; true for those that change nothing.
	functions map[string]bool
	// step gives the states in which op can leave an object that is in state; none if op can not
	// happen there. An op without an answer may have had any.
	step func(state string, op *modelOp) []string
}

// modelOp is an operation: its function, argument and answer. Values are canonical JSON; parts are
// those of a list.
type modelOp struct {
	f        string
	arg      string
	answer   string
	answered bool
	parts    []json.RawMessage
}

// Models lists all models in order of their names.
func Models() []Model {
	regular := map[string]bool{"read": true, "get": true, "write": false, "put": false,
		"delete": false}
	cas := maps.Clone(regular)
	cas["cas"] = false
	return []Model{
		{Name: "cas-register", Doc: "read, write, delete and compare-and-set of each key",
			perKey: true, isRegister: true, functions: cas},
		{Name: "fifo-queue", Doc: "enqueue, and dequeue in the same order", elements: true,
			rules:     unique.FIFO,
			functions: map[string]bool{"enqueue": false, "dequeue": false}, step: stepFIFO},
		{Name: "kv", Doc: "get, put and append of text to each key", perKey: true,
			init: "null", step: stepKV, elements: true, text: true,
			functions: map[string]bool{"get": true, "put": false, "append": false}},
		{Name: "multi-register", Doc: "transactions of reads and writes of several registers",
			init: "{}", functions: map[string]bool{"txn": false, "read": false, "write": false},
			step: stepTxn},
		{Name: "mutex", Doc: "acquire and release of one lock", init: "free", step: stepMutex,
			functions: map[string]bool{"acquire": false, "release": false}},
		{Name: "register", Doc: "read, write and delete of each key", perKey: true,
			isRegister: true, functions: regular},
		{Name: "set", Doc: "add, and read of all elements", step: stepSet, elements: true,
			rules:     unique.Set,
			functions: map[string]bool{"add": false, "read": true}},
		{Name: "unordered-queue", Doc: "enqueue, and dequeue in any order", elements: true,
			chooses:   true,
			functions: map[string]bool{"enqueue": false, "dequeue": false}, step: stepBag},
	}
}

// ModelNamed finds a model. The error lists those that there are.
func ModelNamed(name string) (*Model, error) {
	var names []string
	for _, m := range Models() {
		if m.Name == name {
			return &m, nil
		}
		names = append(names, m.Name)
	}
	return nil, fmt.Errorf("unknown model %q: there is %s", name, strings.Join(names, ", "))
}

// canonical is the one text for a JSON value.
func canonical(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "null", nil
	}
	if isInteger(raw) {
		return string(raw), nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("value %.40q is not JSON", raw)
	}
	out, err := json.Marshal(v)
	return string(out), err
}

func stepMutex(state string, op *modelOp) []string {
	switch {
	case op.f == "acquire" && state == "free":
		return []string{"held"}
	case op.f == "release" && state == "held":
		return []string{"free"}
	}
	return nil
}

// A list is the texts of its elements, each followed by a line feed, which JSON never has.

func stepFIFO(state string, op *modelOp) []string {
	if op.f == "enqueue" {
		return []string{state + op.arg + "\n"}
	}
	head, rest, found := strings.Cut(state, "\n")
	if !found || op.answered && head != op.answer {
		return nil
	}
	return []string{rest}
}

func stepBag(state string, op *modelOp) []string {
	all := elements(state)
	if op.f == "enqueue" {
		at, _ := slices.BinarySearch(all, op.arg)
		return []string{joined(slices.Insert(all, at, op.arg))}
	}
	if op.answered {
		at, found := slices.BinarySearch(all, op.answer)
		if !found {
			return nil
		}
		return []string{joined(slices.Delete(all, at, at+1))}
	}
	var next []string
	for i := range all {
		if i == 0 || all[i] != all[i-1] {
			next = append(next, joined(slices.Delete(slices.Clone(all), i, i+1)))
		}
	}
	return next
}

func stepSet(state string, op *modelOp) []string {
	all := elements(state)
	if op.f == "add" {
		if at, found := slices.BinarySearch(all, op.arg); !found {
			state = joined(slices.Insert(all, at, op.arg))
		}
		return []string{state}
	}
	if op.answered && !slices.Equal(all, canonicalParts(op.parts)) {
		return nil
	}
	return []string{state}
}

// canonicalParts are the elements of a list, sorted.
func canonicalParts(parts []json.RawMessage) []string {
	out := make([]string, 0, len(parts))
	for _, p := range parts {
		if s, err := canonical(p); err == nil {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

func elements(state string) []string {
	if state == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(state, "\n"), "\n")
}

func joined(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "\n") + "\n"
}

func stepKV(state string, op *modelOp) []string {
	switch op.f {
	case "put":
		return []string{op.arg}
	case "append":
		old := asText(state)
		return []string{old[:len(old)-1] + asText(op.arg)[1:]}
	}
	if op.answered && op.answer != state {
		return nil
	}
	return []string{state}
}

// asText is a value as a JSON string: absent is an empty one, and what is no string stands in it as
// it is written.
func asText(value string) string {
	switch {
	case value == "null":
		return `""`
	case value[0] == '"':
		return value
	}
	out, err := json.Marshal(value)
	if err != nil {
		panic("linearizability: a text that is no JSON: " + err.Error())
	}
	return string(out)
}

// stepTxn carries out [f, register, value] after [f, register, value].
func stepTxn(state string, op *modelOp) []string {
	registers := map[string]json.RawMessage{}
	if json.Unmarshal([]byte(state), &registers) != nil {
		return nil
	}
	for _, raw := range op.parts {
		var part [3]any
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		if dec.Decode(&part) != nil {
			return nil
		}
		value, err := json.Marshal(part[2])
		if err != nil {
			return nil
		}
		name := fmt.Sprint(part[1])
		switch f := strings.TrimPrefix(fmt.Sprint(part[0]), ":"); f {
		case "w", "write":
			registers[name] = value
		case "r", "read":
			old, known := registers[name]
			if !known {
				old = json.RawMessage("null")
			}
			if op.answered && !bytes.Equal(old, value) {
				return nil
			}
		default:
			return nil
		}
	}
	out, err := json.Marshal(registers)
	if err != nil {
		return nil
	}
	return []string{string(out)}
}
