package report_test

import (
	"fmt"
	"os"

	"github.com/raftcheck/raftcheck/harness/check"
	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/report"
)

func ExampleBuild() {
	h := &history.History{Complete: true, Ops: []history.Op{
		{Index: 0, Type: history.Invoke, F: "write", Key: "a", Value: []byte("1"), Time: ms(10)},
		{Index: 1, Type: history.Ok, F: "write", Key: "a", Value: []byte("1"), Time: ms(12)},
	}}
	r := report.Build(report.Input{
		Run: report.Run{Workload: "register", Seed: 7}, History: h, Verdict: check.Valid,
		Results: []check.Result{{Property: "linearizable reads and writes",
			Validity: check.Valid, Summary: "1 operation on 1 key"}},
	})
	if err := r.WriteText(os.Stdout, report.Options{Brief: true}); err != nil {
		fmt.Println(err)
	}
	// Output:
	//   verdict   promise                        how it was judged
	//   valid     linearizable reads and writes  1 operation on 1 key
	//
	//   VALID  Every promise that could be observed was put to the test and kept.
}
