package linearizability

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/unique"
)

// byRules decides the operations on an object in which no element comes twice. That is looked at,
// and not assumed: where one does, the answer is Undecided.
func (m *Model) byRules(
	ctx context.Context, ops []generalOp, budget register.Budget,
) Decision {
	if m.text {
		return byPrefixes(ctx, ops, budget)
	}
	if m.rules == nil {
		return Decision{}
	}
	in := make([]unique.Op, len(ops))
	for i := range ops {
		o := &ops[i]
		u := unique.Op{
			Call: o.call, Ret: o.ret, Maybe: o.ret == register.Never,
			Adds: o.f == "enqueue" || o.f == "add", Takes: o.f == "dequeue",
		}
		switch {
		case u.Adds:
			u.Element = o.arg
		case u.Takes:
			u.Element = o.answer
		default:
			u.Seen = canonicalParts(o.parts)
		}
		in[i] = u
	}
	return Decision{m.rules(in), "rules"}
}

// byPrefixes decides put, append and get of texts. A get that can be taken apart in one way only,
// into what was put and what was appended, tells what each of these appends was appended to: such
// an append is a compare-and-set from one text to a longer one. One that nobody saw leaves a text
// that nobody saw, and so is a write. What remains is a register.
func byPrefixes(ctx context.Context, ops []generalOp, budget register.Budget) Decision {
	p := newPrefixes(ops)
	if p == nil {
		return Decision{}
	}
	out := make([]register.Op, len(ops))
	for i := range ops {
		o := &ops[i]
		out[i] = register.Op{
			Kind: register.Read, Call: o.call, Ret: o.ret, ID: int32(i),
			Maybe: o.ret == register.Never,
		}
		if o.observer {
			v, ok := p.read(o.answer)
			if !ok {
				return Decision{}
			}
			out[i].A = v
		}
	}
	if p.twice {
		return Decision{register.Decision{Answer: register.Illegal}, "prefixes"}
	}
	for i := range ops {
		o, r := &ops[i], &out[i]
		switch t := p.tokens[p.texts[i]]; {
		case o.observer:
		case o.f == "append" && t.seen:
			r.Kind, r.A, r.B = register.CAS, t.parent, t.value
		default:
			r.Kind, r.B = register.Write, t.value
		}
	}
	d := Decide(ctx, out, budget)
	if d.Answer == register.Undecided {
		return Decision{}
	}
	d.Engine = "prefixes"
	return d
}

// prefixes knows the texts of one key.
type prefixes struct {
	texts   []string          // by operation, what it puts or appends
	tokens  map[string]*token // by text
	puts    []*token
	lengths []int // of what is appended, each once
	known   map[string]register.Value
	next    register.Value
	// twice says that an append was seen behind two different texts.
	twice bool
}

// token is what one operation puts or appends.
type token struct {
	text string
	put  bool
	// value is the whole text right after it; parent what it was appended to, if anybody saw that.
	value, parent register.Value
	seen          bool
}

// newPrefixes collects what is put and appended. It is nil if a text comes twice or is empty.
func newPrefixes(ops []generalOp) *prefixes {
	p := &prefixes{
		texts: make([]string, len(ops)), tokens: map[string]*token{},
		known: map[string]register.Value{"null": register.Absent},
	}
	lengths := map[int]bool{}
	for i := range ops {
		o := &ops[i]
		if o.observer {
			continue
		}
		var text string
		if json.Unmarshal([]byte(o.arg), &text) != nil || text == "" || p.tokens[text] != nil {
			return nil
		}
		p.texts[i] = text
		t := &token{text: text, put: o.f == "put", value: p.fresh()}
		p.tokens[text] = t
		switch {
		case t.put:
			p.puts = append(p.puts, t)
		case !lengths[len(text)]:
			lengths[len(text)] = true
			p.lengths = append(p.lengths, len(text))
		}
	}
	return p
}

func (p *prefixes) fresh() register.Value {
	p.next++
	return p.next
}

// read numbers what a get answered; false if it can be taken apart in several ways.
func (p *prefixes) read(answer string) (register.Value, bool) {
	if v, known := p.known[answer]; known {
		return v, true
	}
	var text string
	if json.Unmarshal([]byte(answer), &text) != nil || text == "" {
		return 0, false
	}
	parts, ways := p.parts(text)
	if ways > 1 {
		return 0, false
	}
	v := register.Absent
	if ways == 0 {
		v = p.fresh() // nobody wrote that
	}
	for _, t := range parts {
		switch {
		case t.put:
		case !t.seen:
			t.seen, t.parent = true, v
		case t.parent != v:
			p.twice = true
		}
		v = t.value
	}
	p.known[answer] = v
	return v, true
}

// parts takes a text apart and says in how many ways that can be done: 0, 1, or 2 for several.
func (p *prefixes) parts(text string) (parts []*token, ways int) {
	type step struct {
		last *token
		ways int
	}
	at := make([]step, len(text)+1)
	at[0].ways = 1
	for _, t := range p.puts {
		if strings.HasPrefix(text, t.text) {
			at[len(t.text)] = step{t, at[len(t.text)].ways + 1}
		}
	}
	for i := range text {
		if at[i].ways == 0 {
			continue
		}
		for _, n := range p.lengths {
			if i+n > len(text) {
				continue
			}
			if t := p.tokens[text[i:i+n]]; t != nil && !t.put {
				at[i+n] = step{t, min(2, at[i+n].ways+at[i].ways)}
			}
		}
	}
	if ways = min(2, at[len(text)].ways); ways != 1 {
		return nil, ways
	}
	for i := len(text); i > 0; {
		t := at[i].last
		parts = append(parts, t)
		if t.put {
			break // it stands at the beginning
		}
		i -= len(t.text)
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return parts, 1
}
