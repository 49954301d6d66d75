package search

import (
	"context"
	"testing"

	"github.com/raftcheck/raftcheck/linearizability/register"
)

// TestAntichains holds which states are dominated: those that used no fewer of anything.
func TestAntichains(t *testing.T) {
	a := newAntichains(make([]class, 2))
	tests := []struct {
		name string
		used []int32
		want bool
	}{
		{"the first", []int32{2, 2}, true},
		{"the same", []int32{2, 2}, false},
		{"more", []int32{2, 3}, false},
		{"fewer of one, more of the other", []int32{1, 3}, true},
		{"fewer of the first, more than the second", []int32{1, 4}, false},
		{"fewer than all", []int32{1, 1}, true},
		{"more than that", []int32{1, 2}, false},
	}
	for _, tc := range tests {
		if got := a.add(sum{1, 1}, tc.used); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
	if !a.add(sum{1, 2}, []int32{9, 9}) {
		t.Error("another state is dominated")
	}
}

// TestWriteOfTheSame holds that a write may be needed although what it writes stands there: it
// absorbs another one, whose value was seen by nobody.
func TestWriteOfTheSame(t *testing.T) {
	const never = register.Never
	ops := []register.Op{
		{Kind: register.Write, B: 1, Call: 17, Ret: 32},
		{Kind: register.Read, A: 3, Call: 23, Ret: 39},
		{Kind: register.Write, B: 0, Call: 12, Ret: never, Maybe: true},
		{Kind: register.Write, B: 3, Call: 16, Ret: never, Maybe: true},
		{Kind: register.CAS, A: 0, B: 2, Call: 15, Ret: never, Maybe: true},
		{Kind: register.CAS, A: 2, B: 2, Call: 17, Ret: 18},
		{Kind: register.Read, A: 2, Call: 39, Ret: 58},
		{Kind: register.Read, A: 2, Call: 16, Ret: 32},
	}
	d := Decide(t.Context(), ops, register.Budget{Steps: 1 << 20, Bytes: 1 << 20})
	if d.Answer != register.Legal {
		t.Errorf("got %v, want legal", d.Answer)
	}
}

// TestBudget holds that a search that is given up says so, and how far it came.
func TestBudget(t *testing.T) {
	var ops []register.Op
	for i := range int64(200) {
		o := register.Op{Kind: register.Write, B: register.Value(1 + i%3), Call: 10 * i, Ret: 10*i + 95}
		if i%2 == 0 {
			o = register.Op{Kind: register.Read, A: register.Value(1 + i%3), Call: 10 * i, Ret: 10*i + 75}
		}
		ops = append(ops, o)
	}
	free := Decide(t.Context(), ops, register.Budget{Steps: 1 << 30, Bytes: 1 << 30})
	if free.Answer == register.Undecided {
		t.Fatalf("without bounds it is undecided: %s", free.Reason)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name   string
		ctx    context.Context
		budget register.Budget
		reason string
	}{
		{"steps", t.Context(), register.Budget{Steps: 50, Bytes: 1 << 30}, "it ran out of steps"},
		{"memory", t.Context(), register.Budget{Steps: 1 << 30}, "it ran out of memory"},
		{"time", ctx, register.Budget{Steps: 1 << 30, Bytes: 1 << 30}, "it ran out of time"},
	}
	for _, tc := range tests {
		d := Decide(tc.ctx, ops, tc.budget)
		if d.Answer != register.Undecided || d.Reason != tc.reason {
			t.Errorf("%s: got %v (%s), want %s", tc.name, d.Answer, d.Reason, tc.reason)
		}
		if tc.name == "steps" && (d.Upto <= 0 || d.Steps != 51) {
			t.Errorf("%s: got up to %d in %d steps", tc.name, d.Upto, d.Steps)
		}
	}
}
