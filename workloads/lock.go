package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/generator"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

const (
	// locks is how many locks there are.
	locks = 3
	// lease is for how long a lock is held at the most, by the clock of the clients.
	lease = 300 * time.Millisecond
	// absence is how long a client is away that pauses while it holds a lock.
	absence = lease + lease/2
)

// Lock is locks that lapse, with a token that counts up whenever one is taken. Who holds a lock
// writes to two things that it guards: one that refuses a token older than the newest that it has
// seen, and one that does not look. One client in ten goes away while it holds the lock, for longer
// than it may, and does not notice: that a lock by itself excludes nobody then is shown, and not
// held against the store; that a token protects is.
//
// "hold" takes an integer, unique in the run. A lock holds "token:holder:end", the end of the lease
// in ns, 0 when it was given back; what it guards holds "token:holder". The answer is a [holding].
type Lock struct{}

// Name implements [Workload].
func (Lock) Name() string { return "lock" }

// Doc implements [Workload].
func (Lock) Doc() string {
	return "locks that lapse: tokens protect what they guard; shows what happens without"
}

// Model implements [Workload].
func (Lock) Model() string { return "fenced-lock" }

// Functions implements [Workload].
func (Lock) Functions() []string { return []string{"hold", "read"} }

// Needs implements [Workload].
func (Lock) Needs() []sut.Ability { return []sut.Ability{sut.AbleKV, sut.AbleTxn} }

// Checkers implements [Workload].
func (Lock) Checkers() []check.Checker { return []check.Checker{lockChecker{}} }

// Operations implements [Workload].
func (Lock) Operations(rng *rand.Rand, load Load) Operations {
	n := load.keys(locks)
	return &lockOps{rng: rng, n: n, pick: load.picker(rng, n), reads: load.reads(0.3)}
}

type lockOps struct {
	rng   *rand.Rand
	n     int
	pick  func() int
	reads float64
	id    int64
}

// lockKeys are a lock and the two things that it guards.
var lockKeys = [...]string{"lock", "fenced", "open"}

// Next implements [generator.Generator].
func (g *lockOps) Next(time.Duration, int) (history.Op, generator.State) {
	i := strconv.Itoa(g.pick())
	if g.rng.Float64() < g.reads {
		key := lockKeys[g.rng.IntN(len(lockKeys))] + i
		return history.Op{F: "read", Key: key}, generator.Ready
	}
	g.id++
	op := history.Op{F: "hold", Key: lockKeys[0] + i, Value: strconv.AppendInt(nil, g.id, 10)}
	return op, generator.Ready
}

// Update implements [generator.Generator].
func (g *lockOps) Update(history.Op) {}

// Final implements [Operations].
func (g *lockOps) Final() (ops []history.Op) {
	for i := range g.n {
		for _, key := range lockKeys {
			ops = append(ops, history.Op{F: "read", Key: key + strconv.Itoa(i)})
		}
	}
	return ops
}

// change is a write over what was found.
type change struct {
	Found *string `json:"found"`
	Wrote string  `json:"wrote,omitempty"`
	// Outcome is "written", "refused" or "unknown".
	Outcome string `json:"outcome"`
}

// holding is the answer to a hold.
type holding struct {
	Token    int     `json:"token"`
	Lock     change  `json:"lock"`
	Fenced   *change `json:"fenced,omitempty"`
	Open     *change `json:"open,omitempty"`
	Released *change `json:"released,omitempty"`
	// Lapsed says that the lease was over before the writes were.
	Lapsed bool `json:"lapsed,omitempty"`
}

// token and end of "token:holder:end"; zero where there is nothing.
func lockParts(text *string) (token int, end int64) {
	if text == nil {
		return 0, 0
	}
	parts := strings.Split(*text+"::", ":")
	token, _ = strconv.Atoi(parts[0]) // what is no number is for the checker to see
	end, _ = strconv.ParseInt(parts[2], 10, 64)
	return token, end
}

// Do implements [Workload].
func (Lock) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	switch op.F {
	case "read":
		v, err := conn.(sut.KV).Get(ctx, op.Key)
		if err != nil {
			return complete(op, true, nil, err)
		}
		return complete(op, true, textOf(v), nil)
	case "hold":
		return hold(ctx, conn, op)
	}
	return complete(op, false, nil, unknownFunction(op))
}

func textOf(v sut.Value) *string {
	if !v.Present {
		return nil
	}
	return &v.Data
}

// hold takes the lock, works and gives it back. Once the lock was taken nothing makes it undone.
func hold(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	id, err := strconv.Atoi(string(op.Value))
	if err != nil {
		return complete(op, false, nil, sut.Failed(err))
	}
	lock, which := op.Key, strings.TrimPrefix(op.Key, lockKeys[0])
	v, err := conn.(sut.KV).Get(ctx, lock)
	if err != nil {
		return complete(op, false, nil, sut.Failed(err))
	}
	token, end := lockParts(textOf(v))
	if time.Now().UnixNano() < end {
		return complete(op, false, nil, sut.Failed(errors.New("the lock is held")))
	}
	until := time.Now().Add(lease)
	h := holding{Token: token + 1}
	h.Lock = over(ctx, conn, lock, v, fmt.Sprintf("%d:%d:%d", h.Token, id, until.UnixNano()))
	switch h.Lock.Outcome {
	case "refused":
		return complete(op, false, nil, sut.Failed(errChanged))
	case "unknown":
		op.Value = figures(h)
		return complete(op, false, nil, errors.New("nobody knows whether the lock was taken"))
	}
	if id%10 == 0 {
		timer := time.NewTimer(absence)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
	h.work(ctx, conn, which, id)
	h.Lapsed = time.Now().After(until)
	mine := sut.Value{Data: h.Lock.Wrote, Present: true}
	given := over(ctx, conn, lock, mine, fmt.Sprintf("%d:%d:0", h.Token, id))
	h.Released = &given
	return complete(op, false, h, nil)
}

// work writes to what the lock guards: to the one thing only if its token is not newer, to the
// other whatever stands there.
func (h *holding) work(ctx context.Context, conn sut.Conn, key string, id int) {
	text := fmt.Sprintf("%d:%d", h.Token, id)
	if v, err := conn.(sut.KV).Get(ctx, lockKeys[1]+key); err == nil {
		c := change{Found: textOf(v), Outcome: "refused"}
		if token, _ := lockParts(c.Found); token < h.Token {
			c = over(ctx, conn, lockKeys[1]+key, v, text)
		}
		h.Fenced = &c
	}
	if v, err := conn.(sut.KV).Get(ctx, lockKeys[2]+key); err == nil {
		c := change{Found: textOf(v), Wrote: text, Outcome: "written"}
		if err := conn.(sut.KV).Put(ctx, lockKeys[2]+key, text); err != nil {
			c.Outcome = "unknown"
		}
		h.Open = &c
	}
}

// over writes text over what was found, if that is still there.
func over(ctx context.Context, conn sut.Conn, key string, found sut.Value, text string) change {
	c := change{Found: textOf(found), Wrote: text, Outcome: "written"}
	err := commit(ctx, conn, sut.Txn{
		If:   []sut.Condition{unchanged(key, found)},
		Then: []sut.Step{{Do: sut.StepPut, Key: key, Value: text}},
	})
	switch {
	case sut.Definite(err):
		c.Outcome = "refused"
	case err != nil:
		c.Outcome = "unknown"
	}
	return c
}

// decodeHeld reads the answer to a hold.
func decodeHeld(raw json.RawMessage) (h holding, ok bool) {
	return h, json.Unmarshal(raw, &h) == nil && h.Token > 0
}
