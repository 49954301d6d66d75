// Package generator says which operation comes next. A generator is a deterministic function of its
// seed and of what it is told; one goroutine, the interpreter, owns it.
//
// Generators are built from each other: a workload's own generator, say, inside [Stagger] for the
// rate, inside [Until] for the time limit.
package generator

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
)

// State says what came of asking for an operation.
type State uint8

const (
	// Done: there is no operation, now or later. It is the zero value, so that a generator that
	// says nothing ends.
	Done State = iota
	// Ready: the operation may begin at once.
	Ready
	// Wait: ask again at the returned op's Time; if that is zero, after the next completion.
	Wait
)

// Generator says which operation comes next. Its methods are called by one goroutine only.
type Generator interface {
	// Next offers an operation for worker at now. F, Key and Value are set, and Node if it
	// matters which node is asked; the rest is the caller's. Only Ready uses an operation up.
	Next(now time.Duration, worker int) (history.Op, State)
	// Update tells how an operation ended.
	Update(done history.Op)
}

// Func makes a Generator that never ends and learns nothing out of a function.
type Func func() history.Op

// Next implements [Generator].
func (f Func) Next(time.Duration, int) (history.Op, State) { return f(), Ready }

// Update implements [Generator].
func (f Func) Update(history.Op) {}

// None is a Generator without operations.
func None() Generator { return Limit(0, nil) }

type limit struct {
	Generator
	left int
}

// Limit ends after n operations of g.
func Limit(n int, g Generator) Generator { return &limit{g, n} }

func (l *limit) Next(now time.Duration, worker int) (history.Op, State) {
	if l.left <= 0 {
		return history.Op{}, Done
	}
	op, st := l.Generator.Next(now, worker)
	if st == Ready {
		l.left--
	}
	return op, st
}

func (l *limit) Update(op history.Op) {
	if l.Generator != nil {
		l.Generator.Update(op)
	}
}

type until struct {
	Generator
	end time.Duration
}

// Until ends when the clock of the run reaches end.
func Until(end time.Duration, g Generator) Generator { return &until{g, end} }

func (u *until) Next(now time.Duration, worker int) (history.Op, State) {
	if now >= u.end {
		return history.Op{}, Done
	}
	op, st := u.Generator.Next(now, worker)
	if st == Wait && (op.Time == 0 || op.Time > u.end) {
		op.Time = u.end
	}
	return op, st
}

type unless struct {
	Generator
	stop func() bool
}

// Unless ends when stop says so.
func Unless(stop func() bool, g Generator) Generator { return &unless{g, stop} }

func (u *unless) Next(now time.Duration, worker int) (history.Op, State) {
	if u.stop() {
		return history.Op{}, Done
	}
	return u.Generator.Next(now, worker)
}

type without struct {
	Generator
	skip func(history.Op) bool
}

// Without leaves out the operations of g that skip names; g must offer others, too.
func Without(skip func(history.Op) bool, g Generator) Generator { return &without{g, skip} }

func (w *without) Next(now time.Duration, worker int) (history.Op, State) {
	for {
		op, st := w.Generator.Next(now, worker)
		if st != Ready || !w.skip(op) {
			return op, st
		}
	}
}

type stagger struct {
	Generator
	rng      *rand.Rand
	interval float64 // mean, in ns
	next     time.Duration

	burst float64 // how much more comes in a burst; 0 for none
	every time.Duration
}

// Waves is Stagger with bursts: for the last fifth of each period of length every, burst times as
// many operations come as at other times. Over all there are rate a second. A burst of 1 or less
// is none.
func Waves(rate, burst float64, every time.Duration, rng *rand.Rand, g Generator) Generator {
	if burst <= 1 || every <= 0 {
		return Stagger(rate, rng, g)
	}
	calm := rate / (0.8 + 0.2*burst)
	return &stagger{
		Generator: g, rng: rng, interval: float64(time.Second) / calm, burst: burst, every: every,
	}
}

// mean is the mean distance of operations now.
func (s *stagger) mean(now time.Duration) float64 {
	if s.burst > 0 && now%s.every >= s.every/5*4 {
		return s.interval / s.burst
	}
	return s.interval
}

// Stagger spreads g's operations over time: on average rate a second over all workers together, at
// exponentially distributed distances, as if many independent users came. When the workers can not
// keep up it does not make up for more than a tenth of a second.
func Stagger(rate float64, rng *rand.Rand, g Generator) Generator {
	return &stagger{Generator: g, rng: rng, interval: float64(time.Second) / rate}
}

func (s *stagger) Next(now time.Duration, worker int) (history.Op, State) {
	if now < s.next {
		return history.Op{Time: s.next}, Wait
	}
	op, st := s.Generator.Next(now, worker)
	if st == Ready {
		mean := s.mean(now)
		gap := math.Min(s.rng.ExpFloat64()*mean, 10*mean)
		s.next = max(s.next, now-100*time.Millisecond) + time.Duration(gap)
	}
	return op, st
}

// EachUntilOk offers every operation of ops, again and again until it has ended Ok or the clock
// reaches end. An operation is never under way twice. It is made for the reads at the end of a run,
// which have to succeed on every node. Operations are told apart by F, Key and Node. Between two
// tries of the same operation lies at least pause.
func EachUntilOk(ops []history.Op, end, pause time.Duration) Generator {
	return &each{todo: ops, end: end, pause: pause, running: map[[3]string]history.Op{}}
}

type each struct {
	todo       []history.Op // Time holds when it may be tried
	end, pause time.Duration
	now        time.Duration
	running    map[[3]string]history.Op
}

func id(op history.Op) [3]string { return [3]string{op.F, op.Key, op.Node} }

func (e *each) Next(now time.Duration, _ int) (history.Op, State) {
	e.now = now
	if now >= e.end {
		return history.Op{}, Done
	}
	for i, op := range e.todo {
		if op.Time <= now {
			e.todo = append(e.todo[:i:i], e.todo[i+1:]...)
			e.running[id(op)] = op
			return op, Ready
		}
	}
	if len(e.todo) == 0 {
		if len(e.running) == 0 {
			return history.Op{}, Done
		}
		return history.Op{Time: e.end}, Wait
	}
	first := e.end
	for _, op := range e.todo {
		first = min(first, op.Time)
	}
	return history.Op{Time: first}, Wait
}

func (e *each) Update(done history.Op) {
	op, ok := e.running[id(done)]
	if !ok {
		return
	}
	delete(e.running, id(done))
	if done.Type != history.Ok {
		op.Time = e.now + e.pause
		e.todo = append(e.todo, op)
	}
}
