// Package sut says what a system under test is: how its nodes are started, how a client talks to
// one, and which errors are definite. There is one folder per adapter beside it.
package sut

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// NodeID names a node: "n1", "n2" and so on.
type NodeID string

// Node is a member of the cluster and where it is reached.
type Node struct {
	ID   NodeID     `json:"id"`
	Addr netip.Addr `json:"addr"`
}

// Command is how a node's process is started.
type Command struct {
	// Args follow the entry point of the image. Env is added to that of the image.
	Args []string
	Env  map[string]string
	// Entrypoint replaces that of the image; empty leaves it.
	Entrypoint []string
	// DataDir is where a volume is mounted that survives kill and restart.
	DataDir string
	// WorkDir is where the process starts; empty leaves what the image says. A system that writes
	// its data to where it starts has WorkDir within DataDir.
	WorkDir string
}

// System is a store that can be put to the test. Its methods may be called concurrently.
type System interface {
	// Name is what --system takes.
	Name() string
	// Command says how to start self as a member of the cluster of all, which holds self.
	Command(self Node, all []Node) Command
	// Dial makes a client that talks to n and to no other node: it never redirects and never
	// retries. It need not connect yet.
	Dial(ctx context.Context, n Node) (Conn, error)
	// Status asks n about itself. An error means only that it did not answer.
	Status(ctx context.Context, n Node) (Status, error)
}

// Builder is a System whose node can be built from this checkout.
type Builder interface {
	// MainPackage is the path of the node's main package in the checkout, e.g. "./cmd/raftnode".
	MainPackage() string
}

// Source says what a node's image is made of: at most one of an image by reference, a static
// executable, and a Dockerfile.
type Source struct{ Image, Binary, Dockerfile string }

// Sourced is a System that says itself what its nodes are.
type Sourced interface{ Source() Source }

// Timing is a System that knows how long its elections take; faults are shaped by it.
type Timing interface {
	// ElectionTimeout is how long, at the most, a healthy majority takes to notice that its leader
	// is gone.
	ElectionTimeout() time.Duration
}

// Leaderless is a System whose nodes do not say who leads. Then a node whose Status answers is
// ready; no fault can aim at the leader, and no change of the leader can be seen.
type Leaderless interface {
	// Leaderless says whether it is so.
	Leaderless() bool
}

// Limited is a System that can not do all that a workload asks for.
type Limited interface {
	// Lacks says whether the function of a workload, "cas" say, is one that it has not.
	Lacks(function string) bool
}

// Ref names a system so that it can be opened elsewhere: what --system and --system-option say.
type Ref struct {
	// Name is that of a built-in system, or the path of the file that Spec was read from.
	Name string `json:"name"`
	// Options are those of the system, by name.
	Options map[string]string `json:"options,omitempty"`
	// Spec is the text of the file; empty for a built-in system.
	Spec string `json:"spec,omitempty"`
}

// Status is what a node says of itself. Empty and zero mean that it did not say.
type Status struct {
	ID      NodeID `json:"id"`
	Term    uint64 `json:"term"`
	Role    string `json:"role"`   // "leader", "follower", "candidate", …
	Leader  NodeID `json:"leader"` // as far as this node knows
	Commit  uint64 `json:"commit"`
	Applied uint64 `json:"applied"`
	// Digest identifies the state after applying up to Applied: two nodes with equal Applied must
	// have equal Digest.
	Digest string `json:"digest"`
}

// Conn is one client of one node. It does one thing at a time. What else it can do is found by
// type assertion, [KV] for instance.
type Conn interface {
	Close() error
}

// KV is a client of a key-value store.
//
// Every method answers one question by its error, see [Definite]: did it happen?
type KV interface {
	Conn
	// Get reads. An absent key is not an error: it is a Value that is not Present.
	Get(ctx context.Context, key string) (Value, error)
	// Put writes, whatever was there.
	Put(ctx context.Context, key, value string) error
	// CAS writes new if the value is old. That the value was another is not an error.
	CAS(ctx context.Context, key, old, new string) (CASResult, error)
}

// Value is what a read found.
type Value struct {
	Data    string
	Present bool
	// Version counts up with each change of the key; zero if the system has none.
	Version uint64
}

// CASResult is the answer to a compare-and-set that was decided.
type CASResult struct {
	Swapped bool
	// Found is what stood there when it was not swapped; nil if the system does not tell.
	Found *Value
}

// definite marks an error after which the operation certainly has not happened and never will.
type definite struct{ error }

func (d definite) Unwrap() error { return d.error }

// Failed marks err as definite: the operation has not happened and never will. Adapters call it
// only where the system, or the network layer before a byte was sent, proves that.
func Failed(err error) error {
	if err == nil {
		return nil
	}
	return definite{err}
}

// Definite says whether err proves that the operation did not happen. In doubt it did not prove it.
func Definite(err error) bool {
	_, ok := errors.AsType[definite](err)
	return ok
}
