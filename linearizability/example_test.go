package linearizability_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/linearizability"
	"github.com/raftcheck/raftcheck/linearizability/edn"
	"github.com/raftcheck/raftcheck/linearizability/register"
)

// Decide needs nothing but operations with their times. Here the second read comes after both
// writes, but finds what the first one wrote.
func ExampleDecide() {
	ops := []register.Op{
		{Kind: register.Write, B: 1, Call: 10, Ret: 20, ID: 0},
		{Kind: register.Read, A: 1, Call: 30, Ret: 40, ID: 1},
		{Kind: register.Write, B: 2, Call: 50, Ret: 60, ID: 2},
		{Kind: register.Read, A: 1, Call: 70, Ret: 80, ID: 3},
	}
	d := linearizability.Decide(context.Background(), ops, linearizability.DefaultBudget())
	fmt.Println(d.Answer, "by", d.Engine)
	for _, o := range linearizability.Minimize(context.Background(), ops, d.Core) {
		fmt.Println(o.ID, o.String())
	}
	// Output:
	// illegal by zones
	// 0 write 1
	// 2 write 2
	// 3 read=1
}

// A Checker judges a whole history, Jepsen's too, and puts what it finds into words.
func ExampleChecker() {
	h, err := edn.Read(strings.NewReader(`
{:process 0, :type :invoke, :f :write, :value 7, :time 1000000}
{:process 0, :type :ok,     :f :write, :value 7, :time 2000000}
{:process 1, :type :invoke, :f :read,  :value nil, :time 3000000}
{:process 1, :type :ok,     :f :read,  :value nil, :time 4000000}
`), edn.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	checker := linearizability.NewChecker(linearizability.Options{Model: "cas-register"})
	res := checker.Check(context.Background(), &check.Input{History: h})
	fmt.Println(res.Validity)
	fmt.Println(res.Findings[0].Class)
	for sentence := range strings.SplitSeq(res.Findings[0].Text, ". ") {
		fmt.Println(sentence)
	}
	// Output:
	// invalid
	// lost write
	// The write of 7 by process 0 was acknowledged (from 0.001000 to 0.002000 s)
	// Process 1 read absent from 0.003000 to 0.004000 s
	// What process 1 got, absent, was out of date before it asked.
}

// A Live is given each operation as it is recorded, and tells of the first violation at once.
func ExampleLive() {
	live := linearizability.NewLive()
	for i, op := range []history.Op{
		{Process: 0, Type: history.Invoke, F: "write", Key: "x", Value: json.RawMessage("1")},
		{Process: 0, Type: history.Ok, F: "write", Key: "x", Time: time.Millisecond},
		{Process: 1, Type: history.Invoke, F: "read", Key: "x", Time: 2 * time.Millisecond},
		{Process: 1, Type: history.Ok, F: "read", Key: "x", Value: json.RawMessage("null"),
			Time: 3 * time.Millisecond},
	} {
		op.Index = int64(i)
		if bad := live.Append(op); bad != nil {
			fmt.Printf("%s of %s at operation %d\n", bad.Class, bad.Key, bad.Ops[0])
		}
	}
	// Output:
	// stale read of x at operation 3
}
