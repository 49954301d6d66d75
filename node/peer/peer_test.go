package peer

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/raftcheck/raftcheck/node/raft"
)

func randomMessage(rng *rand.Rand) raft.Message {
	num := func() uint64 { return rng.Uint64() >> rng.IntN(64) }
	m := raft.Message{
		Kind: raft.MessageKind(1 + rng.IntN(int(raft.MsgReadIndexResp))),
		From: raft.ID(num()), To: raft.ID(num()), Term: raft.Term(num()),
		Index: raft.Index(num()), LogTerm: raft.Term(num()), Commit: raft.Index(num()),
		Refused: raft.Index(num()), Context: num(),
		Reject: rng.IntN(2) == 0, Force: rng.IntN(2) == 0,
	}
	first := raft.Index(rng.Uint32()) + 1
	for i := range rng.IntN(4) {
		e := raft.Entry{Index: first + raft.Index(i), Term: raft.Term(num()),
			Kind: raft.EntryKind(rng.IntN(3))}
		if n := rng.IntN(50); n > 0 {
			e.Data = make([]byte, n)
		}
		m.Entries = append(m.Entries, e)
	}
	if rng.IntN(4) == 0 {
		m.Snapshot = &raft.SnapshotMeta{Index: raft.Index(num()), Term: raft.Term(num()),
			Config: raft.Config{Voters: []raft.ID{1, 2}, Old: []raft.ID{3}, Learners: []raft.ID{9}}}
	}
	return m
}

func TestMessagesComeBackAsTheyWere(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var stream []byte
	var want []Envelope
	for range 500 {
		m := Envelope{randomMessage(rng), rng.Uint64()}
		want = append(want, m)
		stream = AppendFrame(stream, &m)
	}
	r := bytes.NewReader(stream)
	for i := range want {
		got, err := ReadFrame(r)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if d := cmp.Diff(want[i], got); d != "" {
			t.Fatalf("message %d: got(+) want(-):\n%s", i, d)
		}
	}
	if _, err := ReadFrame(r); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestNoFlippedBitGoesUnnoticed(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	m := Envelope{randomMessage(rng), 7}
	frame := AppendFrame(nil, &m)
	for i := range frame {
		for bit := range 8 {
			flipped := bytes.Clone(frame)
			flipped[i] ^= 1 << bit
			if got, err := ReadFrame(bytes.NewReader(flipped)); err == nil {
				t.Errorf("bit %d of byte %d: read as %+v", bit, i, got)
			}
		}
		if _, err := ReadFrame(bytes.NewReader(frame[:i])); err == nil {
			t.Errorf("read from the first %d bytes", i)
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	rng := rand.New(rand.NewPCG(3, 3))
	for range 20 {
		m := randomMessage(rng)
		f.Add(AppendFrame(nil, &Envelope{m, 7}))
		f.Add(AppendMessage(nil, &m))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = ReadFrame(bytes.NewReader(data))
		m, err := DecodeMessage(data)
		if err != nil {
			return
		}
		again, err := DecodeMessage(AppendMessage(nil, &m))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, again); d != "" {
			t.Errorf("round trip: %s", d)
		}
	})
}

// node is a transport with a mailbox.
type node struct {
	*Transport
	mu  sync.Mutex
	got []Envelope
	any chan struct{}
}

func startNode(t *testing.T, id raft.ID, ln net.Listener, change func(*Options)) *node {
	t.Helper()
	n := &node{any: make(chan struct{}, 1)}
	opts := Options{
		ID: id, Cluster: "test", Addr: ln.Addr().String(), Listener: ln,
		Log: slog.New(slog.DiscardHandler), Stuck: 300 * time.Millisecond,
		Receive: func(m []Envelope) {
			n.mu.Lock()
			n.got = append(n.got, m...)
			n.mu.Unlock()
			signal(n.any)
		},
	}
	if change != nil {
		change(&opts)
	}
	n.Transport = Start(opts)
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

// sendUntil sends numbered messages from one to the other until one arrives.
func sendUntil(t *testing.T, from, to *node, number uint64) {
	t.Helper()
	m := raft.Message{Kind: raft.MsgHeartbeat, From: from.opts.ID, To: to.opts.ID, Context: number}
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		from.Send(Envelope{Message: m})
		select {
		case <-to.any:
			to.mu.Lock()
			last := to.got[len(to.got)-1].Context
			to.mu.Unlock()
			if last == number {
				return
			}
		case <-tick.C:
		case <-deadline:
			t.Fatalf("message %d from %s never arrives at %s", number, from.opts.ID, to.opts.ID)
		}
	}
}

func TestARestartedPeerIsReachedAgain(t *testing.T) {
	la, lb := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	addrB := lb.Addr().String()
	a := startNode(t, 1, la, func(o *Options) { o.Peers = map[raft.ID]string{2: addrB} })
	b := startNode(t, 2, lb, nil)
	sendUntil(t, a, b, 1)
	// b was not told of a, but a called, and said where it listens.
	sendUntil(t, b, a, 2)
	for i := range uint64(3) {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = startNode(t, 2, listen(t, addrB), nil)
		sendUntil(t, a, b, 10+i)
	}
}

func TestStrangersAreRefused(t *testing.T) {
	cases := map[string]func(*Options){
		"another cluster":  func(o *Options) { o.Cluster = "other" },
		"not who it seems": func(o *Options) { o.ID = 3 },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			lb := listen(t, "127.0.0.1:0")
			b := startNode(t, 2, lb, change)
			a := startNode(t, 1, listen(t, "127.0.0.1:0"), nil)
			_, err := a.dial(t.Context(), 2, lb.Addr().String(), purposeMessages)
			if _, refused := asRefused(err); !refused {
				t.Errorf("dial: %v", err)
			}
			if b.Stats().Received != 0 {
				t.Error("messages came through")
			}
		})
	}
}

// TestAStuckLinkHealsQuickly has a relay between two nodes that swallows everything for a while, as
// a cut link does.
func TestAStuckLinkHealsQuickly(t *testing.T) {
	lb := listen(t, "127.0.0.1:0")
	b := startNode(t, 2, lb, nil)
	relay := newRelay(t, lb.Addr().String())
	a := startNode(t, 1, listen(t, "127.0.0.1:0"), func(o *Options) {
		o.Peers = map[raft.ID]string{2: relay.addr()}
	})
	sendUntil(t, a, b, 1)
	relay.cut(true)
	// Large messages fill the pipe until a write is stuck.
	big := raft.Message{Kind: raft.MsgAppend, From: 1, To: 2,
		Entries: []raft.Entry{{Index: 1, Data: make([]byte, 1<<20)}}}
	deadline := time.Now().Add(10 * time.Second)
	for before := a.Stats().Dropped; a.Stats().Dropped == before; {
		if time.Now().After(deadline) {
			t.Fatal("a cut link swallows without end")
		}
		a.Send(Envelope{Message: big})
		time.Sleep(time.Millisecond) // paces the sender; what is waited for is the drop
	}
	relay.cut(false)
	healed := time.Now()
	sendUntil(t, a, b, 2)
	t.Logf("back after %v", time.Since(healed))
}
