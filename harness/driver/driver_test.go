package driver

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/history"
	"github.com/raftcheck/raftcheck/harness/sut"
)

// echo is a system whose client answers with the node that it was made for.
type echo struct{}

func (echo) Name() string                                 { return "echo" }
func (echo) Command(sut.Node, []sut.Node) (c sut.Command) { return c }
func (echo) Dial(_ context.Context, n sut.Node) (sut.Conn, error) {
	if n.ID == "n2" {
		return nil, errors.New("no route")
	}
	return echoConn{n.ID}, nil
}
func (echo) Status(_ context.Context, n sut.Node) (sut.Status, error) {
	if n.ID == "n2" {
		return sut.Status{}, errors.New("no route")
	}
	return sut.Status{ID: n.ID, Term: 7}, nil
}

type echoConn struct{ node sut.NodeID }

func (echoConn) Close() error       { return nil }
func (echoConn) Leader() sut.NodeID { return "n3" }

func do(ctx context.Context, conn sut.Conn, op history.Op) history.Op {
	if op.F == "hang" {
		<-ctx.Done()
		op.Type, op.Error = history.Info, ctx.Err().Error()
		return op
	}
	op.Type = history.Ok
	op.Value = []byte(`"` + string(conn.(echoConn).node) + `"`)
	return op
}

func nodes() []sut.Node {
	var all []sut.Node
	for i, id := range []sut.NodeID{"n1", "n2", "n3"} {
		all = append(all, sut.Node{ID: id, Addr: netip.AddrFrom4([4]byte{127, 0, 0, byte(i + 1)})})
	}
	return all
}

func lookup(system sut.Ref, _ string) (sut.System, Do, error) {
	if system.Name != "echo" {
		return nil, nil, errors.New("unknown system " + system.Name)
	}
	return echo{}, do, nil
}

// duplex is one end of two pipes.
type duplex struct {
	io.Reader
	io.WriteCloser
}

// connect starts a driver and returns the harness's end of its stream.
func connect(t *testing.T) duplex {
	t.Helper()
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	served := make(chan error, 1)
	go func() {
		err := Serve(t.Context(), inR, outW, lookup)
		outW.CloseWithError(io.EOF)
		served <- err
	}()
	t.Cleanup(func() {
		inW.Close()
		if err := <-served; err != nil && !strings.Contains(err.Error(), "unknown system") {
			t.Errorf("the driver: %v", err)
		}
	})
	return duplex{outR, inW}
}

func remote(t *testing.T, timeout time.Duration) (*Remote, func() time.Duration) {
	t.Helper()
	base := time.Now()
	now := func() time.Duration { return time.Since(base) }
	r, err := NewRemote(t.Context(), connect(t), Config{
		System: sut.Ref{Name: "echo"}, Workload: "any", Nodes: nodes(), Timeout: timeout, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r, now
}

func TestRemoteCarriesOutAtTheNodeThatIsAsked(t *testing.T) {
	r, now := remote(t, time.Minute)
	before := now()
	d := r.Do(t.Context(), history.Op{Process: 1, Type: history.Invoke, F: "read", Node: "n3"})
	if d.Op.Type != history.Ok || string(d.Op.Value) != `"n3"` || d.Leader != "n3" {
		t.Errorf("got %+v", d)
	}
	if d.Op.Start < before || d.Op.Time < d.Op.Start || d.Op.Time > now()+10*time.Millisecond {
		t.Errorf("it ran from %v to %v, but between %v and %v", d.Op.Start, d.Op.Time, before, now())
	}
	st, err := r.Status(t.Context(), "n1")
	if err != nil || st.Term != 7 {
		t.Errorf("status %+v, %v", st, err)
	}
}

func TestAnOperationThatCouldNotConnectHasFailed(t *testing.T) {
	r, _ := remote(t, time.Minute)
	d := r.Do(t.Context(), history.Op{Process: 1, Type: history.Invoke, F: "write", Node: "n2"})
	if d.Op.Type != history.Fail || !strings.Contains(d.Op.Error, "no route") {
		t.Errorf("got %+v", d.Op)
	}
	if _, err := r.Status(t.Context(), "n2"); err == nil {
		t.Error("a node without route has a status")
	}
}

func TestAnOperationOutlivesItsTimeByNothing(t *testing.T) {
	r, _ := remote(t, 50*time.Millisecond)
	d := r.Do(t.Context(), history.Op{Process: 1, Type: history.Invoke, F: "hang", Node: "n1"})
	if d.Op.Type != history.Info || d.Op.Time-d.Op.Start < 50*time.Millisecond {
		t.Errorf("got %+v", d.Op)
	}
}

func TestWhatWasUnderWayWhenTheDriverDiedIsIndeterminate(t *testing.T) {
	r, _ := remote(t, time.Minute)
	got := make(chan Done, 1)
	hang := history.Op{Process: 1, Type: history.Invoke, F: "hang", Node: "n1"}
	go func() { got <- r.Do(t.Context(), hang) }()
	for asked := 0; asked == 0; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		asked = len(r.waiting)
		r.mu.Unlock()
		if t.Context().Err() != nil {
			t.Fatal("nothing is asked")
		}
	}
	if err := r.stream.(duplex).Reader.(*io.PipeReader).Close(); err != nil {
		t.Fatal(err)
	}
	if d := <-got; d.Op.Type != history.Info {
		t.Errorf("got %+v", d.Op)
	}
	if d := r.Do(t.Context(), hang); d.Op.Type != history.Info {
		t.Errorf("after its end: %+v", d.Op)
	}
}

func TestAnUnknownSystemIsToldAtOnce(t *testing.T) {
	_, err := NewRemote(t.Context(), connect(t), Config{
		System: sut.Ref{Name: "nope"}, Timeout: time.Second, Now: func() time.Duration { return 0 },
	})
	if err == nil || !strings.Contains(err.Error(), "unknown system nope") {
		t.Errorf("got %v", err)
	}
}
