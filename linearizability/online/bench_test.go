package online_test

import (
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/raftcheck/raftcheck/linearizability/online"
	"github.com/raftcheck/raftcheck/linearizability/register"
	"github.com/raftcheck/raftcheck/linearizability/simulate"
)

type moment struct {
	at  int64
	op  int32
	end bool
}

// BenchmarkOnline decides about one register that 20 clients use. It reports the time for each
// operation.
func BenchmarkOnline(b *testing.B) {
	for _, info := range []float64{0, .05} {
		b.Run("indeterminate="+strconv.FormatFloat(info, 'f', 2, 64), func(b *testing.B) {
			ops := simulate.Run(simulate.Params{
				Ops: 1_000_000, Clients: 20, Keys: 1, Reads: .5, Indeterminate: info, Seed: 1})[0]
			var ms []moment
			for i, o := range ops {
				ret := o.Ret
				if o.Maybe {
					ret = o.Call + 10e6
				}
				ms = append(ms, moment{o.Call, int32(i), false}, moment{ret, int32(i), true})
			}
			slices.SortStableFunc(ms, func(a, b moment) int { return int(a.at - b.at) })
			open := make([]*online.Op, len(ops))
			runtime.GC()
			for b.Loop() {
				c := online.New()
				for _, m := range ms {
					o := &ops[m.op]
					switch {
					case !m.end:
						open[m.op] = c.Begin(o.Kind, online.Value(o.A), online.Value(o.B), o.Call, 0)
					case o.Maybe:
						c.Info(open[m.op], o.Call)
					default:
						c.Ok(open[m.op], online.Value(o.A), o.Call, o.Ret)
					}
				}
				if c.Violation() != nil || c.Undecided() != "" {
					b.Fatal(c.Violation(), c.Undecided())
				}
			}
			_ = register.Absent
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(ops)), "ns/operation")
		})
	}
}
