package workloads

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// script is a store that answers as told.
type script struct {
	value sut.Value
	cas   sut.CASResult
	err   error
}

func (s script) Close() error                                   { return nil }
func (s script) Get(context.Context, string) (sut.Value, error) { return s.value, s.err }
func (s script) Put(context.Context, string, string) error      { return s.err }
func (s script) CAS(_ context.Context, _, _, _ string) (sut.CASResult, error) {
	return s.cas, s.err
}

func TestHowARegisterOperationEndsFollowsFromWhatTheStoreAnswers(t *testing.T) {
	lost := errors.New("EOF")
	refused := sut.Failed(errors.New("refused"))
	found := func(v sut.Value) sut.CASResult { return sut.CASResult{Found: &v} }
	for _, c := range []struct {
		name, f, arg string
		store        script
		want         history.Type
		value        string
	}{
		{"a read that finds nothing says so", "read", "", script{}, history.Ok, "null"},
		{"a read finds a value", "read", "",
			script{value: sut.Value{Data: "17", Present: true}}, history.Ok, "17"},
		{"a read finds what nobody can have written", "read", "",
			script{value: sut.Value{Data: "x y", Present: true}}, history.Ok, `"x y"`},
		{"a read without answer has failed", "read", "", script{err: lost}, history.Fail, ""},
		{"a write is acknowledged", "write", "17", script{}, history.Ok, "17"},
		{"a write without answer may have happened", "write", "17", script{err: lost},
			history.Info, "17"},
		{"a write that was refused did not happen", "write", "17", script{err: refused},
			history.Fail, "17"},
		{"a cas swaps", "cas", "[17,18]", script{cas: sut.CASResult{Swapped: true}},
			history.Ok, `{"swapped":true}`},
		{"a cas finds another value", "cas", "[17,18]",
			script{cas: found(sut.Value{Data: "5", Present: true})},
			history.Ok, `{"swapped":false,"found":5}`},
		{"a cas finds nothing", "cas", "[17,18]", script{cas: found(sut.Value{})},
			history.Ok, `{"swapped":false,"found":null}`},
		{"a cas without answer may have happened", "cas", "[17,18]", script{err: lost},
			history.Info, "[17,18]"},
		{"nonsense does not happen", "juggle", "", script{}, history.Fail, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			op := history.Op{F: c.f, Key: "k", Type: history.Invoke}
			if c.arg != "" {
				op.Value = []byte(c.arg)
			}
			got := Register{}.Do(t.Context(), c.store, op)
			if got.Type != c.want || string(got.Value) != c.value {
				t.Errorf("got %s %s, want %s %s", got.Type, got.Value, c.want, c.value)
			}
			if (got.Error != "") != (got.Type != history.Ok) {
				t.Errorf("%s with the error %q", got.Type, got.Error)
			}
		})
	}
}

func TestRegisterOperationsAreTheSameForTheSameSeedAndWriteNoValueTwice(t *testing.T) {
	drawn := func(seed uint64) (ops []history.Op) {
		g := Register{}.Operations(rand.New(rand.NewPCG(seed, 1)), Load{})
		for range 5000 {
			op, _ := g.Next(0, 0)
			ops = append(ops, op)
			if op.F == "write" {
				op.Type = history.Ok
				g.Update(op)
			}
		}
		return ops
	}
	ops := drawn(1)
	if diff := cmp.Diff(ops, drawn(1)); diff != "" {
		t.Errorf("the same seed draws others:\n%s", diff)
	}
	if cmp.Equal(ops, drawn(2)) {
		t.Error("another seed draws the same")
	}
	count := map[string]int{}
	written := map[string]bool{}
	for _, op := range ops {
		count[op.F]++
		if op.F == "write" {
			if written[string(op.Value)] {
				t.Errorf("%s is written twice", op.Value)
			}
			written[string(op.Value)] = true
		}
	}
	for _, f := range (Register{}).Functions() {
		if count[f] < len(ops)/10 {
			t.Errorf("only %d of %d operations are a %s", count[f], len(ops), f)
		}
	}
}
