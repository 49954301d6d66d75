package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/txn"
)

// bankSum judges each read of all accounts by itself: the sum, and that nothing is below nothing.
type bankSum struct{}

// Name implements [check.Checker].
func (bankSum) Name() string { return "bank" }

// Check implements [check.Checker].
func (bankSum) Check(_ context.Context, in *check.Input) check.Result {
	res := check.Result{Property: "transfers keep the sum of all accounts"}
	calls, err := in.History.Calls()
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	reads, wrong := 0, map[string]int{}
	for _, c := range calls {
		op := &in.History.Ops[c.Invoke]
		if op.F != "read" || c.Outcome != history.Ok {
			continue
		}
		reads++
		class, text := balanced(in.History.Ops[c.Done].Value)
		if class == "" {
			continue
		}
		if wrong[class]++; wrong[class] <= maxFindings {
			res.Findings = append(res.Findings, check.Finding{
				Class: class, Node: op.Node, Time: c.From, Ops: []int64{op.Index},
				Text: fmt.Sprintf("Process %v read all accounts on %s (%s): %s", op.Process, op.Node,
					span(c), text),
			})
		}
	}
	res.Summary = fmt.Sprintf("%d reads of all accounts", reads)
	switch {
	case len(res.Findings) > 0:
		res.Validity, res.Reason = check.Invalid, classCounts(wrong)
	case reads == 0:
		res.Reason = "nobody read the accounts"
	default:
		res.Validity = check.Valid
	}
	return res
}

// balanced says what is wrong with what all accounts hold; the class is empty if nothing is.
func balanced(raw json.RawMessage) (class, text string) {
	var steps []step
	if err := json.Unmarshal(raw, &steps); err != nil {
		return "garbage", err.Error()
	}
	sum := 0
	for _, s := range steps {
		n := balance
		if string(s.value) != "null" {
			var held string
			err := json.Unmarshal(s.value, &held)
			if err == nil {
				held, _, _ = strings.Cut(held, ":")
				n, err = strconv.Atoi(held)
			}
			if err != nil {
				return "garbage", fmt.Sprintf("%s holds %.60s, which is no balance.", s.key, s.value)
			}
		}
		if n < 0 {
			return "overdrawn", fmt.Sprintf("%s holds %d, and no transfer takes more than there is.",
				s.key, n)
		}
		sum += n
	}
	if want := balance * len(steps); sum != want {
		return "wrong sum", fmt.Sprintf("they hold %d together, and never anything but %d.", sum, want)
	}
	return "", ""
}

// bankOrder judges whether transfers and reads can have happened one after the other. Each version
// of an account names the transfer that made it, and each transfer reads what it overwrites, so
// that the judgement is exact. What a transfer without an answer would have written is in its
// completion; where there is none (the run was cut short) it is taken from those who read it.
type bankOrder struct{}

// Name implements [check.Checker].
func (bankOrder) Name() string { return "snapshots" }

// Check implements [check.Checker].
func (bankOrder) Check(_ context.Context, in *check.Input) check.Result {
	res := check.Result{Property: "transfers and snapshots of all accounts are linearizable"}
	calls, err := in.History.Calls()
	if err != nil {
		res.Reason = err.Error()
		return res
	}
	txns := make([]txn.Txn, len(calls))
	byID := map[string]int{} // of transfers of which nobody noted what they write
	for i, c := range calls {
		op := &in.History.Ops[c.Invoke]
		t := txn.Txn{From: int64(c.From), To: int64(c.To)}
		value := op.Value
		if c.Done >= 0 {
			value = in.History.Ops[c.Done].Value
		}
		switch c.Outcome {
		case history.Ok:
			t.Fate = txn.Committed
		case history.Fail:
			t.Fate = txn.Aborted
		default:
			t.Fate, t.To = txn.Open, math.MaxInt64
		}
		var steps []step
		if op.F == "balance" {
			if t.Fate == txn.Committed {
				steps = []step{{"r", op.Key, value}}
			}
			value = figures(steps)
		}
		if json.Unmarshal(value, &steps) == nil {
			if t.Steps, err = txnSteps(steps); err != nil {
				res.Reason = fmt.Sprintf("operation %d: %v", op.Index, err)
				return res
			}
		} else {
			var tr transfer
			if err := json.Unmarshal(value, &tr); err != nil || t.Fate == txn.Committed {
				res.Reason = fmt.Sprintf("operation %d: a bank has no %s of %.60s", op.Index, op.F, value)
				return res
			}
			byID[strconv.Itoa(tr.ID)] = i
		}
		txns[i] = t
	}
	supply(txns, byID)
	return judgeTxns(res, in.History, calls, txns)
}

// supply gives transfers of which nobody noted what they write the writes that were read of them.
// Transfers that had no answer, of which something was read, have happened: what they read in turn
// is known.
func supply(txns []txn.Txn, byID map[string]int) {
	writer := map[[2]string]int{}
	var todo []int
	for i := range txns {
		if txns[i].Fate != txn.Aborted {
			todo = append(todo, i)
		}
		for _, s := range txns[i].Steps {
			if s.Kind == txn.Write {
				writer[[2]string{s.Key, s.Value}] = i
			}
		}
	}
	for _, i := range todo {
		for _, s := range txns[i].Steps {
			if s.Kind != txn.Read || len(s.Values) == 0 {
				continue
			}
			at, known := writer[[2]string{s.Key, s.Values[0]}]
			id := strings.Split(strings.Trim(s.Values[0], `"`)+":", ":")[1]
			if blind, open := byID[id]; !known && open {
				write := txn.Step{Kind: txn.Write, Key: s.Key, Value: s.Values[0]}
				txns[blind].Steps = append(txns[blind].Steps, write)
				writer[[2]string{s.Key, s.Values[0]}] = blind
			} else if known && txns[at].Fate == txn.Open && reads(&txns[at]) {
				txns[at].Fate = txn.Committed
			}
		}
	}
}

// reads says whether it is known what a transaction read.
func reads(t *txn.Txn) bool { return len(t.Steps) > 0 && t.Steps[0].Kind == txn.Read }
