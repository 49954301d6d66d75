package driver

import (
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// protocolVersion is said by both sides first; they come from the same binary, so that a mismatch
// means a wrong image.
const protocolVersion = 2

// hello is the first line to the driver.
type hello struct {
	Version  int           `json:"raftcheck_driver"`
	System   sut.Ref       `json:"system"`
	Workload string        `json:"workload"`
	Nodes    []sut.Node    `json:"nodes"`
	Timeout  time.Duration `json:"timeout_ns"`
}

// request is each further line to the driver. Exactly one of Op, Status and Change is set, or none:
// then it is a ping.
type request struct {
	ID     uint64      `json:"id"`
	Op     *history.Op `json:"op,omitempty"`
	Status sut.NodeID  `json:"status,omitempty"`
	Change *change     `json:"change,omitempty"`
}

// reply answers a request, in any order. Now is the driver's clock when it was written.
type reply struct {
	ID     uint64        `json:"id"`
	Now    time.Duration `json:"now_ns"`
	Op     *history.Op   `json:"op,omitempty"`
	Leader sut.NodeID    `json:"leader,omitempty"`
	Status *sut.Status   `json:"status,omitempty"`
	Error  string        `json:"error,omitempty"`

	Changed *changed `json:"changed,omitempty"`
}
