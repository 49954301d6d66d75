package linearizability

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// explainObject puts a core into words, see [story.explain].
func (s *story) explainObject(key string, core []generalOp) check.Finding {
	f := check.Finding{Class: "not linearizable", Key: key}
	var certain, maybe []generalOp
	for _, o := range core {
		if o.ret == register.Never {
			maybe = append(maybe, o)
		} else {
			certain = append(certain, o)
		}
	}
	var text []string
	last := -1
	for i := range certain {
		o := &certain[i]
		f.Ops = append(f.Ops, s.h.Ops[s.calls[o.id].Invoke].Index)
		if last < 0 || o.ret > certain[last].ret {
			last = i
		}
		if i < maxTold {
			text = append(text, s.objectSentence(o))
		}
	}
	if n := len(certain) - maxTold; n > 0 {
		text = append(text, fmt.Sprintf("It takes %d more operations to prove it.", n))
	}
	switch n := len(maybe); {
	case n == 1:
		text = append(text, fmt.Sprintf("Whether or not, and whenever, the %s by process %v, begun "+
			"at %s, took effect:", objectWords(&maybe[0]), s.begin(&maybe[0]).Process,
			at(s.calls[maybe[0].id].From)))
	case n > 1:
		text = append(text, fmt.Sprintf("Whichever of %d other operations took effect, and "+
			"whenever:", n))
	}
	text = append(text, "There is no order in which all of this can have happened.")
	slices.Sort(f.Ops)
	if last >= 0 {
		c := &s.calls[certain[last].id]
		f.Time, f.Node = c.From, s.h.Ops[c.Invoke].Node
		text = append(text, s.faultsDuring(c)...)
	} else if len(core) > 0 {
		f.Time = time.Duration(core[0].call)
	}
	f.Text = strings.Join(text, " ")
	return f
}

func (s *story) begin(o *generalOp) *history.Op { return &s.h.Ops[s.calls[o.id].Invoke] }

// objectSentence says what one operation did.
func (s *story) objectSentence(o *generalOp) string {
	c := &s.calls[o.id]
	begin := s.begin(o)
	who := fmt.Sprintf("process %v", begin.Process)
	if begin.Node != "" {
		who += " at " + begin.Node
	}
	if !tells(o) {
		return fmt.Sprintf("The %s by %s was acknowledged (%s).", objectWords(o), who, span(c))
	}
	return fmt.Sprintf("The %s by %s answered %.200s (%s).", objectWords(o), who, o.answer,
		span(c))
}

// tells says whether the answer of o says more than that it happened.
func tells(o *generalOp) bool {
	return o.observer || o.answered && o.answer != "null" && o.answer != o.arg
}

// objectWords is an operation with its argument.
func objectWords(o *generalOp) string {
	if o.arg == "null" || o.arg == o.answer && strings.HasPrefix(o.arg, "[") {
		return o.f
	}
	return fmt.Sprintf("%s of %.200s", o.f, o.arg)
}
