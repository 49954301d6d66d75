package workloads

import (
	"context"

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// Stale is the register workload with reads that ask for what a node has, whether or not that is
// the newest. It is a control: judged as if the reads were linearizable, it has to be found Invalid
// as soon as a follower is behind.
type Stale struct{ Register }

// Name implements [Workload].
func (Stale) Name() string { return "register-stale" }

// Doc implements [Workload].
func (Stale) Doc() string {
	return "the register with reads that may be stale by request: a control that must be found"
}

// Needs implements [Workload].
func (Stale) Needs() []sut.Ability { return []sut.Ability{sut.AbleKV, sut.AbleStale} }

// Do implements [Workload].
func (s Stale) Do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	if op.F != "read" {
		return s.Register.Do(ctx, conn, op)
	}
	v, err := conn.(sut.StaleReader).GetStale(ctx, op.Key)
	if err != nil {
		return complete(op, true, nil, err)
	}
	raw, err := registerValue(v)
	return complete(op, true, raw, err)
}
