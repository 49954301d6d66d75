package kv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func apply(m *Machine, c Command) Result { return m.Apply(m.Applied()+1, c.Encode()) }

func TestCommands(t *testing.T) {
	put := func(v string) Command { return Command{Op: OpPut, Key: "k", Value: v} }
	cas := func(old, value string) Command {
		return Command{Op: OpCAS, Key: "k", Old: old, Value: value}
	}
	create := Command{Op: OpCAS, Key: "k", OldAbsent: true, Value: "new"}
	get := Command{Op: OpGet, Key: "k"}
	del := Command{Op: OpDelete, Key: "k"}
	add := func(v string) Command { return Command{Op: OpAppend, Key: "k", Value: v} }

	cases := []struct {
		name   string
		before []Command
		do     Command
		want   Result
	}{
		{"a put says its version", nil, put("a"), Result{Done: true, Version: 1}},
		{"cas swaps what it expects", []Command{put("a")}, cas("a", "b"),
			Result{Done: true, Version: 2}},
		{"cas shows what it met instead", []Command{put("a")}, cas("x", "b"),
			Result{Found: true, Value: "a", Version: 1}},
		{"cas on nothing does nothing", nil, cas("", "b"), Result{}},
		{"cas creates where nothing stands", nil, create, Result{Done: true, Version: 1}},
		{"cas does not create over an empty value", []Command{put("")}, create,
			Result{Found: true, Version: 1}},
		{"delete says that there was something", []Command{put("a")}, del, Result{Done: true}},
		{"delete says that there was nothing", nil, del, Result{}},
		{"append to nothing", nil, add("1"), Result{Done: true, Value: "1", Version: 1}},
		{"append to something", []Command{add("1")}, add(" 2"),
			Result{Done: true, Value: "1 2", Version: 2}},
		{"append past the bound changes nothing", []Command{put(string(make([]byte, MaxValue)))},
			add("1"), Result{Code: CodeTooLarge, Version: 1}},
		{"get finds", []Command{put("a")}, get,
			Result{Done: true, Found: true, Value: "a", Version: 1}},
		{"get after delete", []Command{put("a"), del}, get, Result{Done: true}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := New()
			for _, b := range c.before {
				apply(m, b)
			}
			if d := cmp.Diff(c.want, apply(m, c.do)); d != "" {
				t.Errorf("got(+) want(-):\n%s", d)
			}
		})
	}
}

func TestUnknownCommandChangesNothing(t *testing.T) {
	m := New()
	for _, data := range [][]byte{nil, {200, 0, 1, 'k'}, {1}} {
		if r := m.Apply(m.Applied()+1, data); r.Code != CodeUnsupported {
			t.Errorf("%v: %+v", data, r)
		}
	}
	if m.Len() != 0 || m.Digest() != New().Digest() || m.Applied() != 3 {
		t.Errorf("state changed: %d keys, applied %d", m.Len(), m.Applied())
	}
}

func encode(m *Machine) []byte {
	var b bytes.Buffer
	v := m.View()
	if _, err := v.WriteTo(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func randomStep(rng *rand.Rand) Step {
	ops := []Op{OpPut, OpDelete, OpAppend, OpGet, OpIncrement}
	s := Step{Op: ops[rng.IntN(len(ops))], Key: fmt.Sprint("k", rng.IntN(20))}
	switch s.Op {
	case OpPut, OpAppend:
		s.Value = fmt.Sprint(rng.IntN(5))
	case OpIncrement:
		s.Delta = rng.Int64N(100) - 50
	}
	return s
}

func randomSteps(rng *rand.Rand) []Step {
	var steps []Step
	for range rng.IntN(4) {
		steps = append(steps, randomStep(rng))
	}
	return steps
}

func randomCommand(rng *rand.Rand) Command {
	var c Command
	switch rng.IntN(12) {
	case 0:
		return Command{Op: OpOpenSession}
	case 1:
		c = Command{Op: OpKeepSession}
	case 2:
		c = Command{Op: OpTxn, Txn: &Txn{
			Compare: []Compare{{Key: "k1", Target: Target(1 + rng.IntN(4)), Value: "1", Version: 7}},
			Then:    randomSteps(rng), Else: randomSteps(rng),
		}}
	case 3, 4:
		c = Command{Op: OpCAS, Key: fmt.Sprint("k", rng.IntN(20)), Value: fmt.Sprint(rng.IntN(5)),
			Old: fmt.Sprint(rng.IntN(5)), OldAbsent: rng.IntN(4) == 0}
	default:
		s := randomStep(rng)
		c = Command{Op: s.Op, Key: s.Key, Value: s.Value, Delta: s.Delta}
	}
	if c.Op == OpKeepSession || rng.IntN(3) == 0 {
		c.Session = Session{ID: 1 + rng.Uint64N(50), Seq: 1 + rng.Uint64N(10), Ack: rng.Uint64N(5)}
		if rng.IntN(20) == 0 {
			c = Command{Op: OpCloseSession, Session: c.Session}
		}
	}
	return c
}

func TestDigestDependsOnTheStateAlone(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		a, b := New(), New()
		for i := range uint64(200) {
			c := randomCommand(rng)
			ra, rb := a.Apply(i+1, c.Encode()), b.Apply(i+1, c.Encode())
			if d := cmp.Diff(ra, rb); d != "" {
				t.Fatalf("seed %d: %+v: %s", seed, c, d)
			}
			// b comes to the same state another way: out of a snapshot.
			if i%50 == 49 {
				var err error
				if b, err = Restore(bytes.NewReader(encode(b))); err != nil {
					t.Fatal(err)
				}
			}
			if a.Digest() != b.Digest() {
				t.Fatalf("seed %d: digests differ after %d", seed, i)
			}
		}
		if !bytes.Equal(encode(a), encode(b)) {
			t.Errorf("seed %d: snapshots differ", seed)
		}
	}
}

func TestDigestTellsStatesApart(t *testing.T) {
	seen := map[uint64]string{}
	for _, key := range []string{"a", "b", "ab", "ba"} {
		for _, value := range []string{"", "a", "b", "ab", "ba"} {
			for version := range uint64(20) {
				m := New()
				m.set(key, Item{}, false, Item{value, version})
				name := fmt.Sprintf("%s=%s@%d", key, value, version)
				if other, dup := seen[m.Digest()]; dup {
					t.Errorf("%s and %s have the same digest", name, other)
				}
				seen[m.Digest()] = name
			}
		}
	}
}

func TestDamagedSnapshotIsRefused(t *testing.T) {
	m := New()
	for i := range 5 {
		apply(m, Command{Op: OpPut, Key: fmt.Sprint("k", i), Value: "v"})
	}
	data := encode(m)
	for i := range data {
		if i == 1 {
			continue // the applied index is vouched for by whoever keeps the snapshot
		}
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		if _, err := Restore(bytes.NewReader(flipped)); err == nil {
			t.Errorf("restored with byte %d flipped", i)
		}
		if _, err := Restore(bytes.NewReader(data[:i])); err == nil {
			t.Errorf("restored from the first %d bytes", i)
		}
	}
}

func FuzzDecode(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		c := randomCommand(rng)
		f.Add(c.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Decode(c.Encode())
		if d := cmp.Diff(c, again); err != nil || d != "" {
			t.Errorf("round trip: %v, %s", err, d)
		}
	})
}

func FuzzRestore(f *testing.F) {
	f.Add(encode(New()))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := Restore(bytes.NewReader(data)); err == nil {
			if _, err := Restore(bytes.NewReader(encode(m))); err != nil {
				t.Error(err)
			}
		}
	})
}

func BenchmarkApply(b *testing.B) {
	m := New()
	var data [1024][]byte
	for i := range data {
		c := Command{Op: OpPut, Key: fmt.Sprint("key", i), Value: string(make([]byte, 256))}
		data[i] = c.Encode()
	}
	b.ReportAllocs()
	for b.Loop() {
		i := m.Applied() + 1
		m.Apply(i, data[i%1024])
	}
}
