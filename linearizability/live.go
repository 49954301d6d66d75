package linearizability

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/online"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Live judges a history while it is recorded: it is given each operation as it is written down, and
// tells of the first one at which the history is not linearizable any more. It costs well below a
// microsecond for an operation, and memory for what is under way. It is owned by one goroutine.
//
// What it calls a violation is one, and [Checker] says so too when it is given the history. What it
// lets pass need not be right: where a store does not tell what a refused compare-and-set found,
// where a key is deleted, or values are not integers that are written in rising order, only the
// Checker knows.
type Live struct {
	keys map[string]*online.Checker
	open map[history.Process]*liveOp
	pool []*liveOp
	bad  *check.Finding
}

// liveOp is an operation under way.
type liveOp struct {
	key  *online.Checker
	op   *online.Op
	from time.Duration
	f    string
}

// NewLive makes a Live for the beginning of a run.
func NewLive() *Live {
	return &Live{keys: map[string]*online.Checker{}, open: map[history.Process]*liveOp{}}
}

// Append takes the next operation of the history. It returns the first violation, from the
// operation at which there is one on; nil before that.
func (l *Live) Append(op history.Op) *check.Finding {
	if l.bad != nil || !op.Process.IsClient() {
		return l.bad
	}
	if op.Type == history.Invoke {
		l.begin(&op)
		return nil
	}
	o := l.open[op.Process]
	if o == nil {
		return nil
	}
	delete(l.open, op.Process)
	v := o.end(&op)
	l.pool = append(l.pool, o)
	if v != nil {
		l.bad = &check.Finding{
			Class: v.Class, Key: op.Key, Node: op.Node, Time: op.Time, Ops: []int64{op.Index},
			Text: fmt.Sprintf("When process %v ended its %s of %s at %s, there was no order left "+
				"in which all of this can have happened.", op.Process, op.F, keyName(op.Key),
				at(op.Time)),
		}
	}
	return l.bad
}

func (l *Live) begin(op *history.Op) {
	c := l.keys[op.Key]
	if c == nil {
		c = online.New()
		l.keys[op.Key] = c
	}
	var o *liveOp
	if n := len(l.pool); n > 0 {
		o, l.pool = l.pool[n-1], l.pool[:n-1]
	} else {
		o = &liveOp{}
	}
	*o = liveOp{key: c, from: op.Time, f: op.F}
	l.open[op.Process] = o
	kind, a, b := register.Read, online.Absent, online.Absent
	ok := true
	switch op.F {
	case "read", "get":
	case "write", "put":
		kind = register.Write
		b, ok = liveValue(op.Value)
	case "cas":
		kind = register.CAS
		var pair [2]json.RawMessage
		ok = json.Unmarshal(op.Value, &pair) == nil
		var okA, okB bool
		a, okA = liveValue(pair[0])
		b, okB = liveValue(pair[1])
		ok = ok && okA && okB
	default:
		ok = false
	}
	if !ok || kind != register.Read && b == online.Absent {
		c.GiveUp("an operation is not one that can be judged while the run goes on")
		o.key = nil
		return
	}
	o.op = c.Begin(kind, a, b, int64(op.Time), op.Index)
}

// end ends o as op says.
func (o *liveOp) end(op *history.Op) *online.Violation {
	if o.key == nil {
		return nil
	}
	from := int64(o.from)
	if op.Start > o.from && op.Start <= op.Time {
		from = int64(op.Start)
	}
	switch {
	case op.Type == history.Info:
		return o.key.Info(o.op, from)
	case op.Type == history.Fail:
		return o.key.Fail(o.op)
	case o.f == "read" || o.f == "get":
		v, ok := liveValue(op.Value)
		if !ok {
			o.key.GiveUp("a value is no integer")
		}
		return o.key.Ok(o.op, v, from, int64(op.Time))
	case o.f == "cas":
		return o.endCAS(op, from)
	}
	return o.key.Ok(o.op, 0, from, int64(op.Time))
}

func (o *liveOp) endCAS(op *history.Op, from int64) *online.Violation {
	var res struct {
		Swapped bool            `json:"swapped"`
		Found   json.RawMessage `json:"found"`
	}
	if json.Unmarshal(op.Value, &res) != nil {
		o.key.GiveUp("an answer is not legible")
	}
	if res.Swapped {
		return o.key.Ok(o.op, 0, from, int64(op.Time))
	}
	found, ok := online.Absent, res.Found != nil
	if ok {
		if found, ok = liveValue(res.Found); !ok {
			o.key.GiveUp("a value is no integer")
		}
	}
	return o.key.Refused(o.op, ok, found, from, int64(op.Time))
}

// liveValue numbers a value: absent is 0, an integer one more than it is.
func liveValue(raw json.RawMessage) (online.Value, bool) {
	if string(raw) == "null" {
		return online.Absent, true
	}
	if !isInteger(raw) {
		return 0, false
	}
	var n uint64
	for _, c := range raw {
		if n > (math.MaxInt64-10)/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return online.Value(n + 1), true
}
