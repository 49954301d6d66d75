// Package linearizability says whether a history of operations can be explained by a store that
// does one thing after the other, each at a moment between its invocation and its completion; and
// if not, it shows the few operations that prove it.
//
// An indeterminate operation may take effect at any later time, or never. A read that failed, and
// an operation that certainly did not happen, constrain nothing. Absent is a value. That a
// compare-and-set found another value is an answer, and not a failure.
package linearizability

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/certify"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Options of a [Checker]. The zero value is good.
type Options struct {
	// Budget bounds the work for each key; zero fields are those of [DefaultBudget].
	Budget register.Budget
	// Model is the name of the model; empty for a cas-register. See [Models].
	Model string
}

// Checker judges a history by a model: each key as a register with read, write, delete and
// compare-and-set, if nothing else is asked for. It implements [check.Checker].
type Checker struct {
	budget register.Budget
	model  string
}

// NewChecker makes a Checker.
func NewChecker(opts Options) *Checker {
	def := DefaultBudget()
	return &Checker{
		budget: register.Budget{
			Steps: cmp.Or(opts.Budget.Steps, def.Steps),
			Bytes: cmp.Or(opts.Budget.Bytes, def.Bytes),
		},
		model: cmp.Or(opts.Model, "cas-register"),
	}
}

// Name implements [check.Checker].
func (*Checker) Name() string { return "linearizability" }

const property = "linearizable reads and writes"

// Check implements [check.Checker].
func (c *Checker) Check(ctx context.Context, in *check.Input) check.Result {
	res := check.Result{Property: property}
	calls, err := in.History.Calls()
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	m, err := ModelNamed(c.model)
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	if !m.isRegister {
		return c.checkModel(ctx, m, in, calls)
	}
	keys, err := decode(in.History, calls)
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	story := newStory(in.History, calls)
	subjects := make([]subject, len(keys))
	for i, k := range keys {
		subjects[i] = subject{
			key: k.key, operations: len(k.ops),
			decide: func() Decision { return Decide(ctx, k.ops, c.budget) },
			explain: func(d *Decision) (check.Finding, bool) {
				core := Minimize(ctx, k.ops, d.Core)
				return story.explain(k, core), confirm(core)
			},
		}
	}
	return conclude(subjects, decideAll(ctx, subjects), "keys")
}

// subject is what is decided for itself: a key, or an object.
type subject struct {
	key        string
	operations int
	decide     func() Decision
	// explain works out the evidence of an Illegal, and says whether trying every order of the
	// operations in it has confirmed it.
	explain func(*Decision) (check.Finding, bool)
}

// decideAll decides all subjects, as many at once as there are processors.
func decideAll(ctx context.Context, subjects []subject) []Decision {
	decisions := make([]Decision, len(subjects))
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(subjects)) {
		wg.Go(func() {
			for i := range next {
				if ctx.Err() != nil {
					decisions[i].Reason = check.OutOfTime(context.Cause(ctx))
					continue
				}
				decisions[i] = subjects[i].decide()
			}
		})
	}
	for i := range subjects {
		next <- i
	}
	close(next)
	wg.Wait()
	return decisions
}

// figures are the details of the result.
type figures struct {
	Operations int            `json:"operations"`
	Keys       int            `json:"keys"`
	Engines    map[string]int `json:"engines"`
	Steps      int64          `json:"steps"`
	// Confirmed says that trying every order of the operations shown has confirmed each
	// violation.
	Confirmed *bool       `json:"confirmed,omitempty"`
	Undecided []undecided `json:"undecided,omitempty"`
}

type undecided struct {
	Key string `json:"key"`
	// Operations on the key, and the time until which they were seen to be right.
	Operations int    `json:"operations"`
	Upto       int64  `json:"verified_upto_ns"`
	Engine     string `json:"engine"`
	Reason     string `json:"reason"`
}

// maxIllegal bounds for how many keys the evidence is worked out.
const maxIllegal = 10

// conclude makes the result of all decisions; what says what the subjects are.
func conclude(subjects []subject, decisions []Decision, what string) check.Result {
	res := check.Result{Property: property, Validity: check.Valid}
	f := figures{Keys: len(subjects), Engines: map[string]int{}}
	illegal, confirmed := 0, true
	for i, s := range subjects {
		d := &decisions[i]
		f.Operations += s.operations
		f.Steps += d.Steps
		switch d.Answer {
		case register.Legal:
			f.Engines[d.Engine]++
		case register.Illegal:
			f.Engines[d.Engine]++
			if illegal++; illegal <= maxIllegal {
				finding, sure := s.explain(d)
				confirmed = confirmed && sure
				res.Findings = append(res.Findings, finding)
			}
		default:
			f.Undecided = append(f.Undecided,
				undecided{s.key, s.operations, d.Upto, d.Engine, d.Reason})
		}
	}
	slices.SortStableFunc(res.Findings, func(a, b check.Finding) int {
		return cmp.Compare(a.Time, b.Time)
	})
	res.Summary = fmt.Sprintf("%d operations on %d %s; %s", f.Operations, f.Keys, what,
		words(f.Engines))
	if illegal > 0 {
		f.Confirmed = &confirmed
	}
	raw, err := json.Marshal(f)
	if err != nil {
		panic("linearizability: figures that are no JSON: " + err.Error())
	}
	res.Details = raw
	switch {
	case illegal > 0:
		res.Validity = check.Invalid
		res.Reason = fmt.Sprintf("%d of %d %s are not linearizable; %s of %s",
			illegal, len(subjects), what, res.Findings[0].Class, keyName(res.Findings[0].Key))
	case len(f.Undecided) > 0:
		u := f.Undecided[0]
		res.Validity = check.Unknown
		res.Reason = fmt.Sprintf("%d of %d %s are proven, no violation was found; key %s: %s "+
			"with %d operations, those up to %s are right", len(subjects)-len(f.Undecided),
			len(subjects), what, keyName(u.Key), u.Reason, u.Operations, at(time.Duration(u.Upto)))
	case f.Operations == 0:
		res.Validity = check.Unknown
		res.Reason = "there are no operations to judge"
	}
	return res
}

// confirm says whether a judge that knows nothing of the engines finds core illegal too.
func confirm(core []register.Op) bool {
	illegal, decided := certify.Illegal(core, 1<<22)
	return illegal && decided
}

// words lists how many keys each engine decided: "porcupine 2, zones 18".
func words(engines map[string]int) string {
	var parts []string
	for e, n := range engines {
		parts = append(parts, fmt.Sprintf("%s %d", e, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// keyName is a key as it stands in a sentence.
func keyName(key string) string {
	if key == "" {
		return `""`
	}
	return key
}

var _ check.Checker = (*Checker)(nil)

// story is what is needed to tell what happened.
type story struct {
	h      *history.History
	calls  []history.Call
	faults []history.Fault
}

func newStory(h *history.History, calls []history.Call) *story {
	return &story{h, calls, h.Faults()}
}
