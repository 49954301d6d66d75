package etcd

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// real starts etcd itself, as a cluster of three on loopback addresses.
type real struct {
	t      *testing.T
	system Changing
	binary string
	dir    string
	nodes  []sut.Node
}

// startReal skips the test where nobody named an etcd: examples/build.sh makes one.
func startReal(t *testing.T) *real {
	t.Helper()
	binary := os.Getenv("RAFTCHECK_ETCD")
	if binary == "" {
		t.Skip("needs etcd: set RAFTCHECK_ETCD to a binary that examples/build.sh has made")
	}
	r := &real{t: t, system: Changing{&System{}}, binary: binary, dir: t.TempDir()}
	for i := range 4 {
		r.nodes = append(r.nodes, sut.Node{ID: sut.NodeID(fmt.Sprintf("n%d", i+1)),
			Addr: netip.AddrFrom4([4]byte{127, 77, byte(os.Getpid()), byte(i + 1)})})
	}
	for _, n := range r.nodes[:3] {
		r.start(r.system.Command(n, r.nodes[:3]), n)
	}
	r.eventually("a leader", func() error { _, err := r.leader(); return err })
	return r
}

func (r *real) start(c sut.Command, n sut.Node) {
	r.t.Helper()
	args := slices.Clone(c.Args)
	for i, a := range args {
		if a == dataDir {
			args[i] = filepath.Join(r.dir, string(n.ID))
		}
	}
	cmd := exec.Command(r.binary, args...)
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

func (r *real) eventually(what string, ok func() error) {
	r.t.Helper()
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if err = ok(); err == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.t.Fatalf("%s: %v", what, err)
}

func (r *real) leader() (sut.Node, error) {
	for _, n := range r.nodes[:3] {
		if st, err := r.system.Status(r.t.Context(), n); err == nil && st.Role == "leader" {
			return n, nil
		}
	}
	return sut.Node{}, fmt.Errorf("no node leads")
}

func (r *real) conn(n sut.Node) *Conn {
	c := r.system.conn(n)
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestRealEtcdDoesWhatTheAdapterSays(t *testing.T) {
	r := startReal(t)
	t.Run("keys", r.keys)
	t.Run("transactions", r.transactions)
	t.Run("watch", r.watch)
	t.Run("digests agree when all is quiet", r.digests)
	t.Run("leadership is handed over", r.transfer)
	t.Run("a member joins and another leaves", r.members)
}

func (r *real) keys(t *testing.T) {
	c, ctx := r.conn(r.nodes[0]), t.Context()
	if v, err := c.Get(ctx, "k/1"); err != nil || v.Present {
		t.Errorf("absent: %v, %v", v, err)
	}
	first, err := c.PutVersioned(ctx, "k/1", "one")
	if err != nil || first == 0 {
		t.Fatalf("put: %d, %v", first, err)
	}
	v, err := c.Get(ctx, "k/1")
	if want := (sut.Value{Data: "one", Present: true, Version: first}); err != nil || v != want {
		t.Errorf("get: %v, %v, want %v", v, err, want)
	}
	if res, err := c.CAS(ctx, "k/1", "two", "three"); err != nil || res.Swapped || *res.Found != v {
		t.Errorf("cas from another: %+v, %v", res, err)
	}
	if res, err := c.CAS(ctx, "k/0", "", "x"); err != nil || res.Swapped || res.Found.Present {
		t.Errorf("cas of an absent key: %+v, %v", res, err)
	}
	res, second, err := c.CASVersioned(ctx, "k/1", "one", "two")
	if err != nil || !res.Swapped || second <= first {
		t.Errorf("cas: %+v, version %d, %v", res, second, err)
	}
	for i, want := range []bool{true, false} {
		if ok, err := c.PutGuarded(ctx, "k/", "k/2", "x"); err != nil || ok != want {
			t.Errorf("guarded put %d: %v, %v, want %v", i+1, ok, err, want)
		}
	}
	items, err := c.Range(ctx, "k/")
	if err != nil || len(items) != 2 || items[0].Key != "k/1" || items[1].Data != "x" {
		t.Errorf("range: %v, %v", items, err)
	}
	for i, want := range []bool{true, false} {
		if ok, err := c.Delete(ctx, "k/2"); err != nil || ok != want {
			t.Errorf("delete %d: %v, %v, want %v", i+1, ok, err, want)
		}
	}
	r.eventually("a stale read", func() error {
		v, err := r.conn(r.nodes[2]).GetStale(ctx, "k/1")
		if err == nil && v.Data != "two" {
			err = fmt.Errorf("it reads %v", v)
		}
		return err
	})
}

func (r *real) transactions(t *testing.T) {
	c, ctx := r.conn(r.nodes[1]), t.Context()
	yes, no, one := true, false, "1"
	version, err := c.PutVersioned(ctx, "t/a", "1")
	if err != nil {
		t.Fatal(err)
	}
	zero := uint64(0)
	res, err := c.Txn(ctx, sut.Txn{
		If: []sut.Condition{{Key: "t/a", Value: &one}, {Key: "t/a", Version: &version},
			{Key: "t/a", Exists: &yes}, {Key: "t/b", Exists: &no}, {Key: "t/b", Version: &zero}},
		Then: []sut.Step{{Do: sut.StepPut, Key: "t/b", Value: "2"}, {Do: sut.StepGet, Key: "t/b"},
			{Do: sut.StepDelete, Key: "t/a"}, {Do: sut.StepGet, Key: "t/a"}},
	})
	want := sut.TxnResult{Succeeded: true, Version: version + 1, Values: []sut.Value{
		{}, {Data: "2", Present: true, Version: version + 1}, {}, {}}}
	if diff := cmp.Diff(want, res); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	res, err = c.Txn(ctx, sut.Txn{
		If:   []sut.Condition{{Key: "t/a", Value: &one}},
		Else: []sut.Step{{Do: sut.StepGet, Key: "t/b"}},
	})
	if err != nil || res.Succeeded || len(res.Values) != 1 || res.Version != 0 {
		t.Errorf("the other way: %+v, %v", res, err)
	}
	_, err = c.Txn(ctx, sut.Txn{Then: []sut.Step{{Do: sut.StepPut, Key: "t/c", Value: "1"},
		{Do: sut.StepPut, Key: "t/c", Value: "2"}}})
	if !sut.Definite(err) {
		t.Errorf("two writes of a key: %v", err)
	}
}

func (r *real) watch(t *testing.T) {
	writer, watcher := r.conn(r.nodes[0]), r.conn(r.nodes[1])
	before, err := writer.PutVersioned(t.Context(), "w/1", "before")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	err = watcher.Watch(ctx, "w/", before-1, func() {
		if err := writer.Put(ctx, "w/2", "after"); err != nil {
			t.Error(err)
		}
		if _, err := writer.Delete(ctx, "w/1"); err != nil {
			t.Error(err)
		}
	}, func(e sut.Event) {
		if got = append(got, fmt.Sprint(e.Key, e.Data, e.Present)); len(got) == 3 {
			cancel()
		}
	})
	want := []string{"w/1beforetrue", "w/2aftertrue", "w/1false"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func (r *real) digests(t *testing.T) {
	r.eventually("equal digests", func() error {
		var digests []string
		for _, n := range r.nodes[:3] {
			st, err := r.system.Status(t.Context(), n)
			if err != nil || st.Digest == "" {
				return fmt.Errorf("%s has %+v, %w", n.ID, st, err)
			}
			digests = append(digests, st.Digest)
		}
		if len(slices.Compact(digests)) != 1 {
			return fmt.Errorf("they differ: %s", strings.Join(digests, ", "))
		}
		return nil
	})
}

func (r *real) transfer(t *testing.T) {
	from, err := r.leader()
	if err != nil {
		t.Fatal(err)
	}
	to := r.nodes[0]
	if from.ID == to.ID {
		to = r.nodes[1]
	}
	if err := r.system.Transfer(t.Context(), to, from); !sut.Definite(err) {
		t.Errorf("asked of a follower: %v", err)
	}
	if err := r.system.Transfer(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	r.eventually("the new leader", func() error {
		if n, err := r.leader(); err != nil || n.ID != to.ID {
			return fmt.Errorf("%s leads, %w", n.ID, err)
		}
		return nil
	})
}

func (r *real) members(t *testing.T) {
	three, four := r.nodes[:3], r.nodes
	at, added := r.nodes[0], r.nodes[3]
	ask := func(n sut.Node, want []sut.Node) func() error {
		return func() error {
			got, err := r.system.Members(t.Context(), n)
			if slices.Sort(got); err == nil && len(got) != len(want) {
				err = fmt.Errorf("members %v", got)
			}
			return err
		}
	}
	r.eventually("add", func() error { return r.system.SetMembers(t.Context(), at, four) })
	join := r.system.Joining(added, three, four)
	if !join.AddFirst || !join.Wipe {
		t.Errorf("joining %+v", join)
	}
	r.start(join.Command, added)
	r.eventually("the new member knows all", ask(added, four))
	if err := r.system.SetMembers(t.Context(), at, r.nodes[:2]); err == nil || !sut.Definite(err) {
		t.Errorf("two steps at once: %v", err)
	}
	r.eventually("remove", func() error {
		return r.system.SetMembers(t.Context(), at, []sut.Node{r.nodes[0], r.nodes[1], added})
	})
	r.eventually("the others know", ask(at, three))
}

func TestEtcdsClientsCanDoWhatTheSystemClaims(t *testing.T) {
	for _, a := range (&System{}).Abilities() {
		if !sut.Can(&Conn{}, a) {
			t.Errorf("a client can not %s", a)
		}
	}
}
