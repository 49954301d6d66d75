//go:build linux && !amd64

package agent

import (
	"context"
	"encoding/json"
	"runtime"

	"github.com/raftcheck/raftcheck/nemesis/agent/wire"
)

// clocks are skewed by machine code, which there is for amd64 only.
type clocks struct{ processes *processes }

func (c *clocks) handlers() map[string]handler {
	no := func(context.Context, json.RawMessage) (any, error) {
		return nil, wire.Errorf(wire.Unable, "%s", c.probe().Missing)
	}
	return map[string]handler{wire.OpSkew: no, wire.OpClocks: no}
}

func (c *clocks) probe() wire.Ability {
	return wire.Ability{Name: "skew clocks", Needs: "amd64, a vDSO, ptrace with CAP_SYS_PTRACE",
		Missing: "clocks can be skewed on amd64 only, this is " + runtime.GOARCH}
}

func (c *clocks) close() error { return nil }
