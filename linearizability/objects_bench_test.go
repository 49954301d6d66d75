package linearizability

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// BenchmarkObjects decides histories of objects that are no registers, by our engines and by plain
// porcupine, with one state of its own kind for each model. "x" is how many times as long porcupine
// takes.
func BenchmarkObjects(b *testing.B) {
	for _, h := range objectHistories(b) {
		b.Run(h.name, func(b *testing.B) {
			var ours, theirs time.Duration
			for b.Loop() {
				begin := time.Now()
				want := register.Legal
				for _, ops := range h.objects {
					if d := decideObject(b.Context(), h.model, ops, DefaultBudget()); d.Answer !=
						register.Legal {
						want = d.Answer
						break
					}
				}
				ours += time.Since(begin)
				begin = time.Now()
				got := register.Legal
				for _, ops := range h.objects {
					if !plainPorcupine(h.model, ops) {
						got = register.Illegal
						break
					}
				}
				theirs += time.Since(begin)
				if got != want {
					b.Fatalf("we say %v, porcupine says %v", want, got)
				}
			}
			b.ReportMetric(float64(theirs)/float64(ours), "x")
		})
	}
}

// objectHistory is a history, by object.
type objectHistory struct {
	name    string
	model   *Model
	objects [][]generalOp
}

func objectHistories(tb testing.TB) (all []objectHistory) {
	tb.Helper()
	// Not c50-bad: the first of its keys takes plain porcupine minutes.
	for _, name := range []string{"c01-ok", "c01-bad", "c10-ok", "c10-bad", "c50-ok"} {
		if h, ok := kvLog(tb, name); ok {
			all = append(all, h)
		}
	}
	for _, model := range []string{"fifo-queue", "unordered-queue", "set", "mutex"} {
		m, err := ModelNamed(model)
		if err != nil {
			tb.Fatal(err)
		}
		for _, clients := range []int{3, 5} {
			for _, info := range []int{0, 1} {
				all = append(all, objectHistory{
					fmt.Sprintf("%s, %d clients, %d %%", model, clients, info), m,
					[][]generalOp{simulateObject(m, 60, clients, info)},
				})
			}
		}
	}
	return all
}

// kvLog reads one of the logs of a key-value store that come with porcupine.
func kvLog(tb testing.TB, name string) (objectHistory, bool) {
	tb.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/anishathalye/porcupine").Output()
	if err != nil {
		return objectHistory{}, false
	}
	raw, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "test_data", "kv",
		name+".txt"))
	if err != nil {
		return objectHistory{}, false
	}
	m, err := ModelNamed("kv")
	if err != nil {
		tb.Fatal(err)
	}
	line := regexp.MustCompile(
		`:process (\d+), :type :(\w+), :f :(\w+), :key "(.*)", :value (nil|"(.*)")}`)
	byKey := map[string][]generalOp{}
	open := map[string][2]any{}
	for n, l := range strings.Split(string(raw), "\n") {
		f := line.FindStringSubmatch(l)
		if f == nil {
			continue
		}
		if f[2] == "invoke" {
			o := generalOp{call: int64(n), ret: register.Never, id: n}
			o.f, o.observer, o.arg = f[3], f[3] == "get", "null"
			if !o.observer {
				o.arg = fmt.Sprintf("%q", f[6])
			}
			open[f[1]] = [2]any{f[4], len(byKey[f[4]])}
			byKey[f[4]] = append(byKey[f[4]], o)
			continue
		}
		at := open[f[1]]
		o := &byKey[at[0].(string)][at[1].(int)]
		o.ret, o.answered, o.answer = int64(n), true, o.arg
		if o.observer {
			if o.answer = fmt.Sprintf("%q", f[6]); f[6] == "" {
				o.answer = "null"
			}
		}
	}
	h := objectHistory{name: name, model: m}
	var keys []string
	for k := range byKey {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		h.objects = append(h.objects, byKey[k])
	}
	return h, true
}

// simulateObject is n operations of clients that work without a pause on a correct object.
func simulateObject(m *Model, n, clients, info int) []generalOp {
	rng := rand.New(rand.NewPCG(7, uint64(clients)))
	type doing struct {
		op     generalOp
		effect bool
	}
	var functions []string
	for f := range m.functions {
		functions = append(functions, f)
	}
	slices.Sort(functions)
	var ops []generalOp
	now := make([]*doing, clients)
	state, element, holder := m.init, 0, -1
	for clock := int64(0); len(ops) < n; clock++ {
		c := rng.IntN(clients)
		d := now[c]
		switch {
		case d == nil:
			o := generalOp{call: clock, id: len(ops)}
			o.f = functions[rng.IntN(len(functions))]
			switch {
			case m.Name == "mutex" && holder == c:
				o.f = "release"
			case m.Name == "mutex":
				o.f = "acquire"
			case m.name() == "queue":
				o.f = []string{"enqueue", "dequeue"}[c%2] // somebody always has something to do
			}
			o.observer, o.arg = m.functions[o.f], "null"
			if o.f == "enqueue" || o.f == "add" {
				element++
				o.arg = fmt.Sprint(element)
			}
			o.answer = o.arg
			now[c] = &doing{op: o}
		case !d.effect:
			next := m.step(state, &modelOp{f: d.op.f, arg: d.op.arg})
			if len(next) == 0 {
				continue // it waits
			}
			to := next[rng.IntN(len(next))]
			d.op.answer, d.op.parts = trueAnswer(m, &d.op, state, to)
			state, d.effect = to, true
			switch d.op.f {
			case "acquire":
				holder = c
			case "release":
				holder = -1
			}
		default:
			d.op.answered, d.op.ret = true, clock
			if !d.op.observer && d.op.f != "dequeue" && m.Name != "mutex" &&
				rng.IntN(100) < info {
				d.op.answered, d.op.ret = false, register.Never
			}
			ops = append(ops, d.op)
			now[c] = nil
		}
	}
	return ops
}

// plainPorcupine decides with porcupine as its users use it.
func plainPorcupine(m *Model, ops []generalOp) bool {
	in := make([]porcupine.Operation, len(ops))
	for i := range ops {
		in[i] = porcupine.Operation{Input: &ops[i], Call: ops[i].call, Return: ops[i].ret}
	}
	return porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return m.init },
		Step: func(s, in, _ any) (bool, any) {
			o := in.(*generalOp)
			next := m.step(s.(string), &o.modelOp)
			if len(next) == 0 {
				return o.ret == register.Never, s
			}
			return true, next[0]
		},
		Hash: func(s any) uint64 {
			h := uint64(14695981039346656037)
			for _, c := range []byte(s.(string)) {
				h = (h ^ uint64(c)) * 1099511628211
			}
			return h
		},
	}, in)
}
