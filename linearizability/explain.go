package linearizability

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// maxTold bounds how many operations are told of. Where a cas was refused, or few values are
// written again and again, it can take hundreds to prove a violation.
const maxTold = 12

// told chooses the operations to be told of: those whose outcome matters, then others.
func told(core []register.Op) []register.Op {
	few := slices.Clone(core)
	if len(few) > maxTold {
		few, _ = register.Normalize(core)
	}
	if len(few) > maxTold {
		few = slices.Clone(few)
		slices.SortStableFunc(few, func(a, b register.Op) int {
			switch {
			case a.Maybe == b.Maybe:
				return 0
			case a.Maybe:
				return 1
			}
			return -1
		})
		few = few[:maxTold]
	}
	slices.SortStableFunc(few, func(a, b register.Op) int { return cmp.Compare(a.Call, b.Call) })
	return few
}

// explain puts a core into words, for someone who was not there: the operations that can not all
// have happened in order of time, and which faults were in force then.
func (s *story) explain(k *keyOps, all []register.Op) check.Finding {
	core := told(all)
	class, culprit := classify(k.ops, core)
	f := check.Finding{Class: class, Key: k.key}
	var text []string
	for i := range core {
		text = append(text, s.sentence(k, &core[i]))
		f.Ops = append(f.Ops, s.h.Ops[s.calls[core[i].ID].Invoke].Index)
	}
	slices.Sort(f.Ops)
	if n := len(all) - len(core); n > 0 {
		text = append(text, fmt.Sprintf("It takes %d more operations to prove it.", n))
	}
	text = append(text, s.conclusion(k, core, culprit, class))
	if culprit >= 0 {
		c := &s.calls[core[culprit].ID]
		f.Time, f.Node = c.From, s.h.Ops[c.Invoke].Node
		text = append(text, s.faultsDuring(c)...)
	} else if len(core) > 0 {
		f.Time = time.Duration(core[0].Call)
	}
	f.Text = strings.Join(text, " ")
	return f
}

// sentence says what one operation did.
func (s *story) sentence(k *keyOps, o *register.Op) string {
	c := &s.calls[o.ID]
	begin := &s.h.Ops[c.Invoke]
	who := fmt.Sprintf("process %v", begin.Process)
	if begin.Node != "" {
		who += " at " + begin.Node
	}
	v := func(n register.Value) string { return k.text(n) }
	switch {
	case o.Kind == register.Read && begin.F == "cas":
		return fmt.Sprintf("%s was told %s that its %s found %s.", capital(who), span(c),
			begin.F, v(o.A))
	case o.Kind == register.Read:
		return fmt.Sprintf("%s read %s %s.", capital(who), v(o.A), span(c))
	case o.Kind == register.Impossible:
		return fmt.Sprintf("%s was refused a cas %s although it found the value that it expected.",
			capital(who), span(c))
	case o.Kind == register.Miss:
		return fmt.Sprintf("%s was told %s that the value was not %s.", capital(who), span(c),
			v(o.A))
	}
	what := "write of " + v(o.B)
	switch {
	case begin.F == "delete":
		what = "delete"
	case o.Kind == register.CAS:
		what = fmt.Sprintf("cas from %s to %s", v(o.A), v(o.B))
	}
	if c.Outcome == history.Ok {
		return fmt.Sprintf("The %s by %s was acknowledged (%s).", what, who, span(c))
	}
	return fmt.Sprintf("The %s by %s began at %s, and nobody knows when or whether it took effect.",
		what, who, at(c.From))
}

// conclusion says why that can not be.
func (s *story) conclusion(k *keyOps, core []register.Op, culprit int, class string) string {
	if culprit < 0 {
		return "There is no order in which all of this can have happened."
	}
	o := &core[culprit]
	begin := &s.h.Ops[s.calls[o.ID].Invoke]
	from := ""
	if begin.Node != "" {
		from = " from " + begin.Node
	}
	switch class {
	case "phantom value":
		return fmt.Sprintf("Nobody had begun to write %s when process %v got it%s.", k.text(o.A),
			begin.Process, from)
	case "stale read", "lost write", "time travel", "duplicate apply":
		return fmt.Sprintf("What process %v got%s, %s, was out of date before it asked.",
			begin.Process, from, k.text(o.A))
	}
	if class == "two lineages" {
		return fmt.Sprintf("Two of them went on from the one time that %s was written: there were "+
			"two histories of this key at once.", k.text(o.A))
	}
	if class == "refused cas" {
		return "There was no moment at which it could be refused."
	}
	return "There is no order in which all of this can have happened."
}

// faultsDuring says which faults were in force while c was under way or shortly before.
func (s *story) faultsDuring(c *history.Call) []string {
	const before = 2 * time.Second
	end := c.To
	if c.Done >= 0 {
		end = s.h.Ops[c.Done].Time
	}
	var text []string
	for _, f := range s.faults {
		if f.From > end || f.To != history.Never && f.To < c.From-before {
			continue
		}
		where := ""
		if len(f.Nodes) > 0 {
			where = " on " + strings.Join(f.Nodes, ", ")
		}
		until := "was not healed"
		if f.To != history.Never {
			until = "was healed at " + at(f.To)
		}
		text = append(text, fmt.Sprintf("A %s%s was in force from %s and %s.", f.Name, where,
			at(f.From), until))
	}
	return text
}

// text is a value in words.
func (k *keyOps) text(v register.Value) string {
	if v == register.Absent {
		return "absent"
	}
	return k.values[v]
}

// span says when c was under way.
func span(c *history.Call) string {
	return fmt.Sprintf("from %.6f to %s", c.From.Seconds(), at(c.To))
}

func at(d time.Duration) string { return fmt.Sprintf("%.6f s", d.Seconds()) }

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
