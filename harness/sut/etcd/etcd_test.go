package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/sut"
	"github.com/raftcheck/raftcheck/harness/sut/web"
)

// gateway is an etcd that answers each path with what the map holds, and remembers what it was
// asked.
type gateway struct {
	status  int
	answers map[string]string
	asked   map[string]map[string]any
	after   func(path string) // each answer; nil for nothing
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	path := strings.TrimPrefix(r.URL.Path, "/v3/")
	g.asked[path] = body
	answer, ok := g.answers[path]
	switch {
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		answer = `{"code":5, "message":"Not Found"}`
	case g.status != 0:
		w.WriteHeader(g.status)
	}
	_, _ = w.Write([]byte(answer))
	if g.after != nil {
		g.after(path)
	}
}

// serve connects a client of s with an etcd that gives answers, by path.
func serve(t *testing.T, s *System, status int, answers map[string]string) (*Conn, *gateway) {
	t.Helper()
	g := &gateway{status: status, answers: answers, asked: map[string]map[string]any{}}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	c := s.conn(sut.Node{ID: "n1", Addr: netip.MustParseAddr("127.0.0.1")})
	c.web = web.New(netip.MustParseAddrPort(server.Listener.Addr().String()))
	t.Cleanup(func() { _ = c.Close() })
	return c, g
}

func open(t *testing.T, options map[string]string) *System {
	t.Helper()
	s, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	return s.(*System)
}

func TestWhichErrorsOfEtcdAreDefinite(t *testing.T) {
	message := func(code int, text string) string {
		raw, _ := json.Marshal(map[string]any{"code": code, "message": text, "error": text})
		return string(raw)
	}
	for _, c := range []struct {
		name     string
		status   int
		body     string
		definite bool
	}{
		{"a timeout may have been proposed", 503,
			message(14, "etcdserver: request timed out"), false},
		{"so may what timed out when the leader was lost", 503,
			message(14, "etcdserver: request timed out, possibly due to previous leader failure"), false},
		{"a leader that changes may have committed", 503, message(14, "etcdserver: leader changed"),
			false},
		{"nobody says what a node without leader did", 503, message(14, "etcdserver: no leader"), false},
		{"a server that stops may have proposed", 503, message(14, "etcdserver: server stopped"), false},
		{"the gateway lost its server", 503, message(14, "error reading from server: EOF"), false},
		{"a deadline is none", 504, message(4, "context deadline exceeded"), false},
		{"an unknown error", 500, message(2, "raft: stopped"), false},
		{"an answer too large comes after the deed", 429,
			message(8, "grpc: received message larger than max"), false},
		{"not ours at all", 502, "<html>", false},
		{"an answer cut short", 200, `{"header":`, false},
		{"too many are waiting already", 429, message(8, "etcdserver: too many requests"), true},
		{"the disk is full", 429, message(8, "etcdserver: mvcc: database space exceeded"), true},
		{"too large to be proposed", 400, message(3, "etcdserver: request is too large"), true},
		{"a wrong argument", 400, message(3, "etcdserver: key is not provided"), true},
		{"a learner does not serve", 503, message(14, "etcdserver: rpc not supported for learner"), true},
		{"there is no such method", 404, "Not Found\n", true},
		{"3.5 has the message in another place", 429,
			`{"error":"etcdserver: too many requests","code":8}`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn, _ := serve(t, &System{}, c.status, map[string]string{"kv/put": c.body})
			err := conn.Put(t.Context(), "k", "1")
			if err == nil {
				t.Fatal("no error")
			}
			if sut.Definite(err) != c.definite {
				t.Errorf("definite %v, want %v: %v", sut.Definite(err), c.definite, err)
			}
		})
	}
}

func TestANodeThatIsNotThereIsDefiniteAndOneThatIsSilentIsNot(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-release
	}))
	addr := netip.MustParseAddrPort(server.Listener.Addr().String())
	conn := &Conn{web: web.New(addr)}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := conn.Put(ctx, "k", "1"); err == nil || sut.Definite(err) {
		t.Errorf("a silent node: %v", err)
	}
	close(release)
	server.Close()
	if err := conn.Put(t.Context(), "k", "1"); !sut.Definite(err) {
		t.Errorf("a node that is gone: %v", err)
	}
}

func TestReadsAndSwapsAreReadOffTheAnswers(t *testing.T) {
	one := `{"kvs":[{"key":"aw==","value":"MTc=","mod_revision":"9","version":"2"}],"count":"1"}`
	conn, g := serve(t, &System{}, 0, map[string]string{"kv/range": one})
	v, err := conn.Get(t.Context(), "k")
	if want := (sut.Value{Data: "17", Present: true, Version: 9}); err != nil || v != want {
		t.Errorf("got %v, %v, want %v", v, err, want)
	}
	if g.asked["kv/range"]["serializable"] == any(true) {
		t.Errorf("asked %v, want a linearizable read", g.asked["kv/range"])
	}
	conn, _ = serve(t, &System{}, 0, map[string]string{"kv/range": `{"header":{}}`})
	if v, err := conn.Get(t.Context(), "k"); err != nil || v.Present {
		t.Errorf("an absent key: got %v, %v", v, err)
	}
	found := sut.Value{Data: "17", Present: true, Version: 9}
	for answer, want := range map[string]sut.CASResult{
		`{"succeeded":true,"responses":[{"response_put":{}}]}`: {Swapped: true},
		`{"responses":[{"response_range":` + one + `}]}`:       {Found: &found},
		`{"responses":[{"response_range":{}}]}`:                {Found: &sut.Value{}},
	} {
		conn, _ := serve(t, &System{}, 0, map[string]string{"kv/txn": answer})
		got, err := conn.CAS(t.Context(), "k", "1", "2")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", answer, err, diff)
		}
	}
}

func TestOptionsChangeWhatIsAsked(t *testing.T) {
	conn, g := serve(t, open(t, map[string]string{"reads": "serializable"}), 0,
		map[string]string{"kv/range": `{}`})
	_, err := conn.Get(t.Context(), "k")
	if stale := g.asked["kv/range"]["serializable"]; err != nil || stale != any(true) {
		t.Errorf("asked %v, %v, want a serializable read", g.asked["kv/range"], err)
	}
	args := open(t, map[string]string{"args": "--snapshot-count 100"}).Command(
		sut.Node{ID: "n1", Addr: netip.MustParseAddr("10.0.0.1")}, nil).Args
	if !slices.Contains(args, "--snapshot-count") {
		t.Errorf("started with %v", args)
	}
	if s, err := New(map[string]string{"members": "change"}); err != nil {
		t.Error(err)
	} else if _, ok := s.(sut.Membership); !ok {
		t.Error("the members of one that is to change can not be changed")
	}
	for _, wrong := range []map[string]string{
		{"reads": "quick"}, {"read": "x"}, {"retries": "0"}, {"members": "x"},
	} {
		if _, err := New(wrong); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}

const members = `{"members":[{"ID":"11","name":"n1"},{"ID":"12","name":"n2"},{"ID":"13"}]}`

func TestStatusTellsWhoLeads(t *testing.T) {
	for answer, want := range map[string]sut.Status{
		`{"header":{"member_id":"11"},"leader":"12","raftTerm":"4","raftIndex":"8",
			"raftAppliedIndex":"7"}`: {ID: "n1", Term: 4, Role: "follower", Leader: "n2", Commit: 8, Applied: 7},
		`{"header":{"member_id":"11"},"leader":"11","raftTerm":"4","raftIndex":"8",
			"raftAppliedIndex":"8"}`: {ID: "n1", Term: 4, Role: "leader", Leader: "n1", Commit: 8, Applied: 8},
		`{"header":{"member_id":"11"},"raftTerm":"5","raftIndex":"8",
			"raftAppliedIndex":"8"}`: {ID: "n1", Term: 5, Role: "candidate", Commit: 8, Applied: 8},
	} {
		s := &System{}
		conn, _ := serve(t, s, 0, map[string]string{
			"maintenance/status": answer, "cluster/member/list": members, "kv/range": "{}"})
		got, err := s.status(t.Context(), sut.Node{ID: "n1"}, conn)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", answer, err, diff)
		}
	}
}

func TestALeaderThatIsNotSureOfItsTermIsACandidate(t *testing.T) {
	status := func(term string) string {
		return `{"header":{"member_id":"11"},"leader":"11","raftTerm":"` + term + `"}`
	}
	for name, change := range map[string]func(map[string]string){
		"it can not read": func(m map[string]string) { delete(m, "kv/range") },
		"its first entry was applied just now": func(m map[string]string) {
			m["maintenance/status"] = status("5")
		},
	} {
		s := &System{}
		answers := map[string]string{
			"maintenance/status": status("4"), "cluster/member/list": members, "kv/range": "{}"}
		conn, g := serve(t, s, 0, answers)
		g.after = func(path string) {
			if path == "maintenance/status" {
				change(answers)
			}
		}
		got, err := s.status(t.Context(), sut.Node{ID: "n1"}, conn)
		if err != nil || got.Role != "candidate" || got.Term != 4 {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestTheDigestIsToldOnlyWhenNothingIsApplied(t *testing.T) {
	s := &System{}
	status := func(applied string) string {
		return `{"header":{"member_id":"11"},"leader":"12","raftAppliedIndex":"` + applied + `"}`
	}
	answers := map[string]string{
		"maintenance/status": status("7"), "cluster/member/list": members,
		"maintenance/hashkv": `{"header":{"revision":"5"},"hash":255}`,
	}
	conn, _ := serve(t, s, 0, answers)
	for i, want := range []string{"", "000000ff at revision 5"} {
		got, err := s.status(t.Context(), sut.Node{ID: "n1"}, conn)
		if err != nil || got.Digest != want {
			t.Errorf("time %d: got %q, %v, want %q", i+1, got.Digest, err, want)
		}
	}
	answers["maintenance/status"] = status("8")
	got, err := s.status(t.Context(), sut.Node{ID: "n1"}, conn)
	if err != nil || got.Digest != "" {
		t.Errorf("after a change: got %q, %v, want none", got.Digest, err)
	}
}

func TestPrefixEndIsTheFirstKeyBehind(t *testing.T) {
	for prefix, want := range map[string]string{"a": "b", "k/": "k0", "a\xff": "b", "\xff": "\x00"} {
		if got := prefixEnd(prefix); got != want {
			t.Errorf("%q: got %q, want %q", prefix, got, want)
		}
	}
}

func TestATransactionIsAskedForAsEtcdWantsIt(t *testing.T) {
	conn, g := serve(t, &System{}, 0, map[string]string{
		"kv/txn": `{"succeeded":true,"header":{"revision":"9"},"responses":[{"response_put":{}}]}`})
	one, four, no := "1", uint64(4), false
	res, err := conn.Txn(t.Context(), sut.Txn{
		If: []sut.Condition{{Key: "a", Value: &one}, {Key: "b", Version: &four},
			{Key: "c", Exists: &no}},
		Then: []sut.Step{{Do: sut.StepPut, Key: "a", Value: "2"}},
	})
	want := sut.TxnResult{Succeeded: true, Version: 9, Values: []sut.Value{{}}}
	if diff := cmp.Diff(want, res); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	raw, _ := json.Marshal(g.asked["kv/txn"])
	const asked = `{"compare":[{"key":"YQ==","result":"EQUAL","target":"VALUE","value":"MQ=="},` +
		`{"key":"Yg==","mod_revision":"4","result":"EQUAL","target":"MOD"},` +
		`{"key":"Yw==","result":"EQUAL","target":"VERSION","version":"0"}],"failure":[],` +
		`"success":[{"request_put":{"key":"YQ==","value":"Mg=="}}]}`
	if string(raw) != asked {
		t.Errorf("asked %s, want %s", raw, asked)
	}
	steps := []sut.Step{{Do: sut.StepAppend, Key: "a"}}
	if _, err := conn.Txn(t.Context(), sut.Txn{Then: steps}); !sut.Definite(err) {
		t.Errorf("an append: %v", err)
	}
}

func TestMembersAreChangedOneAtATime(t *testing.T) {
	node := func(i byte) sut.Node {
		return sut.Node{ID: sut.NodeID([]byte{'n', '0' + i}), Addr: netip.AddrFrom4([4]byte{10, 0, 0, i})}
	}
	for _, c := range []struct {
		name        string
		want        []sut.Node
		path        string
		unsupported bool
	}{
		{"nothing to do", []sut.Node{node(1), node(2), node(3)}, "", false},
		{"one more", []sut.Node{node(1), node(2), node(3), node(4)}, "cluster/member/add", false},
		{"one less", []sut.Node{node(1), node(3)}, "cluster/member/remove", false},
		{"one for another", []sut.Node{node(1), node(2), node(4)}, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Changing{&System{}}
			s.knows(node(3)) // which has been added and has not started: it has no name yet
			conn, g := serve(t, s.System, 0, map[string]string{
				"cluster/member/add": "{}", "cluster/member/remove": "{}",
				"cluster/member/list": `{"members":[{"ID":"11","name":"n1"},{"ID":"12","name":"n2"},
					{"ID":"13","peerURLs":["http://10.0.0.3:2380"]}]}`})
			err := s.setMembers(t.Context(), conn, c.want)
			if errors.Is(err, errors.ErrUnsupported) != c.unsupported || sut.Definite(err) != c.unsupported {
				t.Errorf("got %v", err)
			}
			for _, path := range []string{"cluster/member/add", "cluster/member/remove"} {
				if asked := g.asked[path] != nil; asked != (path == c.path) {
					t.Errorf("%s was asked: %v", path, asked)
				}
			}
		})
	}
}

func TestOnlyTheClientThatIsAskedToTriesAgain(t *testing.T) {
	for retries, want := range map[string]int{"": 1, "3": 4} {
		s := &System{}
		if retries != "" {
			s = open(t, map[string]string{"retries": retries})
		}
		conn, g := serve(t, s, 503, map[string]string{"kv/put": `{"code":14,"message":"leader changed"}`})
		asked := 0
		g.after = func(string) { asked++ }
		if err := conn.Put(t.Context(), "k", "v"); err == nil || sut.Definite(err) || asked != want {
			t.Errorf("retries %q: asked %d times, %v, want %d times", retries, asked, err, want)
		}
		if broken := s.Name() != Name; broken != (retries != "") {
			t.Errorf("retries %q: called %q", retries, s.Name())
		}
	}
}
