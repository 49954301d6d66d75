package driver

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// clique is a system whose members can be changed; n2 refuses, and n3 does not know.
type clique struct{ echo }

func (clique) Joining(sut.Node, []sut.Node, []sut.Node) (j sut.Joining) { return j }
func (clique) Members(_ context.Context, n sut.Node) ([]sut.NodeID, error) {
	return []sut.NodeID{n.ID}, nil
}
func (clique) SetMembers(_ context.Context, n sut.Node, want []sut.Node) error {
	switch {
	case n.ID == "n2":
		return sut.Failed(errors.New("not the leader"))
	case n.ID == "n3":
		return errors.New("lost")
	case len(want) != 2 || want[1].ID != "n3":
		return sut.Failed(errors.New("wrong"))
	}
	return nil
}
func (clique) Transfer(context.Context, sut.Node, sut.Node) error { return errors.ErrUnsupported }

func TestChangesOfTheMembersGoThroughTheStreamWithWhatTheirErrorsMean(t *testing.T) {
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- Serve(t.Context(), b, b, func(sut.Ref, string) (sut.System, Do, error) {
			return clique{}, do, nil
		})
		b.Close()
	}()
	start := time.Now()
	r, err := NewRemote(t.Context(), a, Config{Nodes: nodes(), Timeout: time.Second,
		Now: func() time.Duration { return time.Since(start) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), <-done }()
	if ids, err := r.Members(t.Context(), "n2"); err != nil || !slices.Equal(ids, []sut.NodeID{"n2"}) {
		t.Errorf("members: got %v, %v", ids, err)
	}
	want := []sut.NodeID{"n1", "n3"}
	if err := r.SetMembers(t.Context(), "n1", want); err != nil {
		t.Error(err)
	}
	if err := r.SetMembers(t.Context(), "n2", want); !sut.Definite(err) {
		t.Errorf("refused: got %v, want it definite", err)
	}
	if err := r.SetMembers(t.Context(), "n3", want); err == nil || sut.Definite(err) {
		t.Errorf("lost: got %v, want it not definite", err)
	}
	if err := r.SetMembers(t.Context(), "n1", []sut.NodeID{"n9"}); !sut.Definite(err) {
		t.Errorf("a node that there is not: got %v", err)
	}
	if err := r.Transfer(t.Context(), "n1", "n2"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("transfer: got %v", err)
	}
	_, err = NewLocal(echo{}, nodes(), do, time.Second, nil).Members(t.Context(), "n1")
	if !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a system without changes: got %v", err)
	}
}
