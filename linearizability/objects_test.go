package linearizability

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/raftcheck/raftcheck/linearizability/object"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// randomObject draws n operations on an object of the model: times dense in ties, some without an
// answer. Half are answered as a correct object would have done it, now and then with a mistake.
func randomObject(rng *rand.Rand, m *Model, n int) []generalOp {
	var functions []string
	for f := range m.functions {
		functions = append(functions, f)
	}
	slices.Sort(functions)
	span := []int64{6, 40}[rng.IntN(2)]
	maybe := []int{0, 30, 60}[rng.IntN(3)]
	unique := rng.IntN(2) == 0 // no element comes twice
	ops := make([]generalOp, n)
	for i := range ops {
		o := &ops[i]
		o.f = functions[rng.IntN(len(functions))]
		o.observer, o.id, o.answered = m.functions[o.f], i, true
		o.call = rng.Int64N(span)
		o.ret = o.call + rng.Int64N(span/2+1)
		element := 1 + rng.IntN(4)
		if unique {
			element = 1 + i
		}
		o.arg = randomArgument(rng, m, o.f, element)
		o.answer, o.parts = randomAnswer(rng, m, o)
		if !o.observer && rng.IntN(100) < maybe {
			o.answered, o.ret = false, register.Never
			if m.name() == "queue" || o.f == "txn" {
				o.answer = o.arg
			}
		}
	}
	if rng.IntN(2) == 0 {
		answerTruly(rng, m, ops, span)
	}
	return ops
}

func (m *Model) name() string {
	if strings.HasSuffix(m.Name, "queue") {
		return "queue"
	}
	return m.Name
}

func randomArgument(rng *rand.Rand, m *Model, f string, element int) string {
	switch {
	case f == "txn" || m.Name == "multi-register":
		return randomTxn(rng, f)
	case m.functions[f] || f == "dequeue" || m.Name == "mutex":
		return "null"
	case m.Name == "kv":
		return fmt.Sprintf("%q", string(rune('a'+element)))
	}
	return fmt.Sprint(element)
}

func randomTxn(rng *rand.Rand, f string) string {
	var parts []string
	for range 1 + rng.IntN(2) {
		key := string(rune('x' + rng.IntN(2)))
		if f == "write" || f == "txn" && rng.IntN(2) == 0 {
			parts = append(parts, fmt.Sprintf(`["w",%q,%d]`, key, rng.IntN(3)))
		} else {
			parts = append(parts, fmt.Sprintf(`["r",%q,%s]`, key, []string{"null", "0", "1"}[rng.IntN(3)]))
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func randomAnswer(rng *rand.Rand, m *Model, o *generalOp) (string, []json.RawMessage) {
	switch {
	case m.Name == "multi-register":
		var parts []json.RawMessage
		if err := json.Unmarshal([]byte(o.arg), &parts); err != nil {
			panic(err)
		}
		return o.arg, parts
	case m.Name == "set" && o.observer:
		var parts []json.RawMessage
		for v := 1; v <= 4; v++ {
			if rng.IntN(2) == 0 {
				parts = append(parts, json.RawMessage(fmt.Sprint(v)))
			}
		}
		raw, err := json.Marshal(parts)
		if err != nil {
			panic(err)
		}
		return string(raw), parts
	case o.f == "dequeue":
		return fmt.Sprint(1 + rng.IntN(4)), nil
	case o.f == "get":
		text := ""
		for range rng.IntN(3) {
			text += string(rune('b' + rng.IntN(4)))
		}
		if text == "" {
			return "null", nil
		}
		return fmt.Sprintf("%q", text), nil
	}
	return o.arg, nil
}

// answerTruly lets a correct object do ops at moments inside their times. An operation that can not
// happen there keeps its answer, which is then most often wrong.
func answerTruly(rng *rand.Rand, m *Model, ops []generalOp, span int64) {
	at := make([]float64, len(ops))
	order := make([]int, len(ops))
	for i := range ops {
		order[i] = i
		length := float64(min(ops[i].ret, ops[i].call+span) - ops[i].call)
		at[i] = float64(ops[i].call) + rng.Float64()*length
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	state := m.init
	for _, i := range order {
		o := &ops[i]
		if !o.answered && rng.IntN(2) == 0 {
			continue
		}
		open := *o
		open.answered = false
		next := m.step(state, &open.modelOp)
		if len(next) == 0 {
			continue
		}
		to := next[rng.IntN(len(next))]
		if o.answered && rng.IntN(12) > 0 {
			o.answer, o.parts = trueAnswer(m, o, state, to)
		}
		if after := m.step(state, &o.modelOp); len(after) > 0 {
			to = after[0]
		}
		state = to
	}
}

// trueAnswer is what a correct object answers that goes from one state to another.
func trueAnswer(m *Model, o *generalOp, from, to string) (string, []json.RawMessage) {
	switch {
	case m.Name == "set" && o.observer:
		var parts []json.RawMessage
		for _, e := range elements(from) {
			parts = append(parts, json.RawMessage(e))
		}
		raw, err := json.Marshal(parts)
		if err != nil {
			panic(err)
		}
		return string(raw), parts
	case o.f == "get":
		return from, nil
	case o.f == "dequeue":
		gone := elements(from)
		for _, e := range elements(to) {
			at := slices.Index(gone, e)
			gone = slices.Delete(gone, at, at+1)
		}
		return gone[0], nil
	}
	return o.answer, o.parts
}

// TestObjectsDifferential holds all engines for objects of any kind against trying every order.
func TestObjectsDifferential(t *testing.T) {
	rounds := roundsOf(t)
	var models []Model
	for _, m := range Models() {
		if !m.isRegister {
			models = append(models, m)
		}
	}
	rng := rand.New(rand.NewPCG(78, 1002))
	legal := map[string]int{}
	for round := range rounds {
		m := &models[round%len(models)]
		ops := randomObject(rng, m, 1+rng.IntN(8))
		k, in := newMachine(m, ops)
		want := register.Legal
		if k.confirm(in) {
			want = register.Illegal
		} else {
			legal[m.Name]++
		}
		budget := DefaultBudget()
		for _, d := range []Decision{
			{object.Decide(t.Context(), in, k.step, budget), "search"},
			{k.byPorcupine(t.Context(), in, budget), "porcupine"},
			decideObject(t.Context(), m, ops, budget),
		} {
			if d.Answer != want {
				t.Fatalf("round %d, %s: %s says %v (%s), trying every order says %v\n%s", round,
					m.Name, d.Engine, d.Answer, d.Reason, want, showObject(ops))
			}
			if d.Answer == register.Legal {
				if err := k.replay(in, d.Order); err != nil {
					t.Fatalf("%s, %s: the order %v is none: %v\n%s", m.Name, d.Engine, d.Order, err,
						showObject(ops))
				}
			}
		}
		if want == register.Illegal && round%7 == 0 {
			few := minimizeObject(t.Context(), m, ops)
			if k, in := newMachine(m, few); !k.confirm(in) {
				t.Fatalf("%s: made few, it is legal\n%s\nof\n%s", m.Name, showObject(few),
					showObject(ops))
			}
		}
	}
	for _, m := range models {
		share := 100 * legal[m.Name] * len(models) / rounds
		t.Logf("%s: %d %% legal", m.Name, share)
		if share < 10 || share > 90 {
			t.Errorf("%s: %d %% are legal: this tests little", m.Name, share)
		}
	}
}

func showObject(ops []generalOp) string {
	var s strings.Builder
	for i, o := range ops {
		answer := o.answer
		if !o.answered {
			answer = "?"
		}
		fmt.Fprintf(&s, "%d: [%d,%d] %s %s -> %s\n", i, o.call, o.ret, o.f, o.arg, answer)
	}
	return s.String()
}
