package workloads

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability/txn"
)

// lockChecker judges locks and what they guard. Whoever takes a lock, writes to the guarded thing
// that looks at tokens, or gives a lock back does so over what was read, in a transaction; so the
// order of versions is known and the judgement of these is exact, but for the times: each of the
// steps of a hold is given the time of the whole. Beyond that no token may be given to two, and
// none may go over a newer one.
//
// The guarded thing that does not look at tokens is no promise of the store's. How often a holder
// whose lease was over wrote there over a newer one is counted, and told.
type lockChecker struct{}

// Name implements [check.Checker].
func (lockChecker) Name() string { return "lock" }

// lockJudge collects what is judged.
type lockJudge struct {
	calls  []history.Call // of the transaction at the same position
	txns   []txn.Txn
	byID   map[string]int         // of holds of which nothing is known but the holder
	tokens map[[2]string]struct{} // given, by lock
	res    check.Result

	holds, lapsed, refused, unprotected int
}

// Check implements [check.Checker].
func (lockChecker) Check(_ context.Context, in *check.Input) check.Result {
	j := &lockJudge{byID: map[string]int{}, tokens: map[[2]string]struct{}{}}
	j.res.Property = "a token protects what a lock guards"
	calls, err := in.History.Calls()
	if err != nil {
		j.res.Reason = err.Error()
		return j.res
	}
	for _, c := range calls {
		if err := j.take(in.History, c); err != nil {
			op := &in.History.Ops[c.Invoke]
			j.res.Reason = fmt.Sprintf("operation %d: %v", op.Index, err)
			return j.res
		}
	}
	supply(j.txns, j.byID)
	broken := slices.Clone(j.res.Findings)
	res := judgeTxns(j.res, in.History, j.calls, j.txns)
	res.Summary = fmt.Sprintf("%d holds, %d of which outlived their lease; %d of their writes were "+
		"refused by token; without tokens %d writes went over a newer one", j.holds, j.lapsed,
		j.refused, j.unprotected)
	res.Details = figures(map[string]int{"holds": j.holds, "lapsed": j.lapsed,
		"refused_by_token": j.refused, "unprotected_overwrites": j.unprotected})
	switch {
	case len(broken) > 0:
		res.Validity = check.Invalid
		res.Reason = strings.TrimPrefix(broken[0].Class+"; "+res.Reason, "; ")
	case j.holds == 0 && res.Validity == check.Valid:
		res.Validity, res.Reason = check.Unknown, "no lock was ever taken"
	}
	return res
}

// take adds the transactions of an operation.
func (j *lockJudge) take(h *history.History, c history.Call) error {
	op := &h.Ops[c.Invoke]
	value := op.Value
	if c.Done >= 0 {
		value = h.Ops[c.Done].Value
	}
	switch {
	case op.F != "read" && op.F != "hold":
		return fmt.Errorf("a lock has no function %q", op.F)
	case c.Outcome == history.Fail:
		return nil
	case op.F == "read":
		if c.Outcome != history.Ok || strings.HasPrefix(op.Key, lockKeys[2]) {
			return nil
		}
		values, err := readValues(value)
		j.add(c, txn.Committed, txn.Step{Kind: txn.Read, Key: op.Key, Values: values})
		return err
	}
	answer, known := decodeHeld(value)
	if !known {
		if c.Outcome == history.Ok {
			return fmt.Errorf("the answer %.60s is none of a hold", value)
		}
		j.byID[string(op.Value)] = len(j.txns)
		j.add(c, txn.Open)
		return nil
	}
	j.change(c, op.Key, &answer.Lock)
	if c.Outcome == history.Ok {
		j.hold(op, c, &answer)
	}
	return nil
}

func (j *lockJudge) add(c history.Call, fate txn.Fate, steps ...txn.Step) {
	t := txn.Txn{Fate: fate, From: int64(c.From), To: int64(c.To), Steps: steps}
	if fate == txn.Open {
		t.To = math.MaxInt64
	}
	j.calls, j.txns = append(j.calls, c), append(j.txns, t)
}

// change adds what was found and what was written over it. Of what was refused nothing is taken.
func (j *lockJudge) change(c history.Call, key string, ch *change) {
	if ch == nil || ch.Outcome == "refused" {
		return
	}
	read := txn.Step{Kind: txn.Read, Key: key}
	if ch.Found != nil {
		read.Values = []string{jsonText(*ch.Found)}
	}
	fate := txn.Committed
	if ch.Outcome == "unknown" {
		fate = txn.Open
	}
	j.add(c, fate, read, txn.Step{Kind: txn.Write, Key: key, Value: jsonText(ch.Wrote)})
}

// hold judges a lock that was taken.
func (j *lockJudge) hold(op *history.Op, c history.Call, a *holding) {
	j.holds++
	j.change(c, lockKeys[1]+strings.TrimPrefix(op.Key, lockKeys[0]), a.Fenced)
	j.change(c, op.Key, a.Released)
	if a.Lapsed {
		j.lapsed++
	}
	token := [2]string{op.Key, fmt.Sprint(a.Token)}
	if _, twice := j.tokens[token]; twice {
		j.found("one token for two", op, c, "Process %v on %s took lock %s with token %d (%s), which "+
			"another has had before.", op.Process, op.Node, op.Key, a.Token, span(c))
	}
	j.tokens[token] = struct{}{}
	if a.Fenced != nil {
		found, _, _ := lockParts(a.Fenced.Found)
		switch {
		case a.Fenced.Outcome == "written" && found > a.Token:
			j.found("old token accepted", op, c, "Process %v on %s wrote with token %d over %d (%s).",
				op.Process, op.Node, a.Token, found, span(c))
		case a.Fenced.Outcome == "refused" && found > a.Token:
			j.refused++
		}
	}
	if a.Open != nil && a.Open.Outcome == "written" {
		if found, _, _ := lockParts(a.Open.Found); found > a.Token {
			j.unprotected++
		}
	}
}

func (j *lockJudge) found(
	class string, op *history.Op, c history.Call, format string, args ...any,
) {
	j.res.Findings = append(j.res.Findings, check.Finding{Class: class, Key: op.Key, Node: op.Node,
		Time: c.From, Ops: []int64{op.Index}, Text: fmt.Sprintf(format, args...)})
}
