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
	// accounts is how many accounts the bank has, balance what each of them holds at first.
	accounts = 8
	balance  = 100
)

// Bank is transfers between accounts, and reads of all accounts at once. Whoever reads must find
// the sum that was there at the beginning, and no account below nothing.
//
// A transfer takes {"id":n,"from":a,"to":b,"amount":m}; no id comes twice. It reads both accounts
// in a transaction, and writes both in another, if nothing has changed. An account holds the
// balance and the id of the transfer that made it, "97:12", so that each read says which transfers
// it saw; an absent one holds 100. At the end each account is read by itself, "balance". Transfers
// and reads answer the steps of the transaction that they were.
type Bank struct{}

// Name implements [Workload].
func (Bank) Name() string { return "bank" }

// Doc implements [Workload].
func (Bank) Doc() string {
	return "transfers between accounts keep the sum; snapshots of all accounts are linearizable"
}

// Model implements [Workload].
func (Bank) Model() string { return "bank" }

// Functions implements [Workload].
func (Bank) Functions() []string { return []string{"transfer", "read"} }

// Needs implements [Workload].
func (Bank) Needs() []sut.Ability { return []sut.Ability{sut.AbleKV, sut.AbleTxn} }

// Checkers implements [Workload].
func (Bank) Checkers() []check.Checker {
	return []check.Checker{bankSum{}, bankOrder{}}
}

// Operations implements [Workload].
func (Bank) Operations(rng *rand.Rand, load Load) Operations {
	n := max(load.keys(accounts), 2)
	return &bankOps{rng: rng, n: n, pick: load.picker(rng, n), reads: load.reads(0.4)}
}

type bankOps struct {
	rng   *rand.Rand
	n     int
	pick  func() int
	reads float64
	id    int
}

// transfer is the argument of a transfer.
type transfer struct {
	ID     int    `json:"id"`
	From   string `json:"from"`
	To     string `json:"to"`
	Amount int    `json:"amount"`
}

func account(i int) string { return "b" + strconv.Itoa(i) }

// Next implements [generator.Generator].
func (g *bankOps) Next(time.Duration, int) (history.Op, generator.State) {
	if g.rng.Float64() < g.reads {
		return g.read(), generator.Ready
	}
	from := g.pick()
	to := (from + 1 + g.rng.IntN(g.n-1)) % g.n
	g.id++
	t := transfer{g.id, account(from), account(to), 1 + g.rng.IntN(20)}
	return history.Op{F: "transfer", Value: figures(t)}, generator.Ready
}

// read is the read of all accounts.
func (g *bankOps) read() history.Op {
	steps := make([]step, g.n)
	for i := range steps {
		steps[i] = step{f: "r", key: account(i)}
	}
	return history.Op{F: "read", Value: figures(steps)}
}

// Update implements [generator.Generator].
func (g *bankOps) Update(history.Op) {}

// Final implements [Operations]: each account by itself, since a transaction is not for every node.
func (g *bankOps) Final() []history.Op {
	var ops []history.Op
	for i := range g.n {
		ops = append(ops, history.Op{F: "balance", Key: account(i)})
	}
	return ops
}

// Do implements [Workload].
func (Bank) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	switch op.F {
	case "balance":
		v, err := conn.(sut.KV).Get(ctx, op.Key)
		if err != nil {
			return complete(op, true, nil, err)
		}
		return complete(op, true, held(v), nil)
	case "read":
		var steps []step
		if err := json.Unmarshal(op.Value, &steps); err != nil {
			return complete(op, true, nil, sut.Failed(err))
		}
		answer, err := readAll(ctx, conn, steps)
		return complete(op, true, answer, err)
	case "transfer":
		var t transfer
		if err := json.Unmarshal(op.Value, &t); err != nil {
			return complete(op, false, nil, sut.Failed(err))
		}
		steps, err := t.carryOut(ctx, conn)
		if steps != nil {
			op.Value = figures(steps) // what it wrote, if it happened, whoever knows that
		}
		return complete(op, false, nil, err)
	}
	return complete(op, false, nil, unknownFunction(op))
}

// readAll reads the keys of the steps at once.
func readAll(ctx context.Context, conn sut.Conn, steps []step) ([]step, error) {
	t := sut.Txn{}
	for _, s := range steps {
		t.Then = append(t.Then, sut.Step{Do: sut.StepGet, Key: s.key})
	}
	res, err := conn.(sut.Transactor).Txn(ctx, t)
	if err == nil && len(res.Values) != len(steps) {
		err = errors.New("the answer does not fit the transaction")
	}
	if err != nil {
		return nil, err
	}
	answer := make([]step, len(steps))
	for i, s := range steps {
		answer[i] = step{"r", s.key, held(res.Values[i])}
	}
	return answer, nil
}

// held is what an account holds, as JSON.
func held(v sut.Value) json.RawMessage {
	if !v.Present {
		return json.RawMessage("null")
	}
	return json.RawMessage(jsonText(v.Data))
}

// amount is how much stands in an account.
func amount(v sut.Value) (int, error) {
	if !v.Present {
		return balance, nil
	}
	text, _, _ := strings.Cut(v.Data, ":")
	return strconv.Atoi(text)
}

// carryOut makes the transfer. The steps are nil as long as nothing can have been written.
func (t transfer) carryOut(ctx context.Context, conn sut.Conn) ([]step, error) {
	gets := []sut.Step{{Do: sut.StepGet, Key: t.From}, {Do: sut.StepGet, Key: t.To}}
	res, err := conn.(sut.Transactor).Txn(ctx, sut.Txn{Then: gets})
	if err == nil && len(res.Values) != len(gets) {
		err = errors.New("the answer does not fit the transaction")
	}
	if err != nil {
		return nil, sut.Failed(err)
	}
	from, err1 := amount(res.Values[0])
	to, err2 := amount(res.Values[1])
	if err := errors.Join(err1, err2); err != nil {
		return nil, sut.Failed(err)
	}
	if from < t.Amount {
		return nil, sut.Failed(fmt.Errorf("%s holds %d and not %d", t.From, from, t.Amount))
	}
	text := func(n int) string { return fmt.Sprintf("%d:%d", n, t.ID) }
	puts := []sut.Step{{Do: sut.StepPut, Key: t.From, Value: text(from - t.Amount)},
		{Do: sut.StepPut, Key: t.To, Value: text(to + t.Amount)}}
	steps := []step{{"r", t.From, held(res.Values[0])}, {"r", t.To, held(res.Values[1])}}
	for _, p := range puts {
		steps = append(steps, step{"w", p.Key, json.RawMessage(jsonText(p.Value))})
	}
	return steps, commit(ctx, conn, sut.Txn{Then: puts, If: []sut.Condition{
		unchanged(t.From, res.Values[0]), unchanged(t.To, res.Values[1])}})
}
