package driver

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// file is a system's file with every kind of answer in it.
const file = `
name: store
options: {mode: slow}
node:
  args: ["--id={{.Node.Number}}", '--all={{nodes "ID=ADDR:1" "," .Nodes}}', "--{{.Options.mode}}"]
  env: {NAME: "{{.Node.ID}}"}
  data: /data
port: 80
get:
  path: /get/{{path .Key}}?mode={{.Options.mode}}
  answers:
    - {status: [200], when: '{{eq .JSON.found false}}', is: absent}
    - {status: [200], is: ok}
  value: "{{.JSON.value}}"
put:
  method: PUT
  path: /put
  body: '{"k":{{json .Key}},"v":{{json .Value}}}'
  answers: [{status: [200, 204], is: ok}]
cas:
  method: POST
  path: /cas
  body: "{{.Key}} {{.Old}} {{.New}}"
  answers: [{status: [200], is: ok}, {status: [409], is: other}]
  value: "{{.Body}}"
errors:
  - {status: [503], when: '{{contains .Body "certainly not"}}', is: fail}
  - {status: [421], is: fail}
status:
  path: /status
  answers: [{status: [200], is: ok}]
  leader: "n{{.JSON.leader}}"
  term: "{{.JSON.term}}"
`

func open(t *testing.T, text string, options map[string]string) *System {
	t.Helper()
	s, err := New(sut.Ref{Name: "dir/store.yaml", Spec: text, Options: options})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve starts a node of s that answers everything with status and body. What it was asked last is
// in the string.
func serve(t *testing.T, s *System, status int, body string) (sut.Node, *string) {
	t.Helper()
	asked := new(string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ := io.ReadAll(r.Body)
		*asked = strings.TrimSpace(r.Method + " " + r.URL.String() + " " + string(got))
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	addr := netip.MustParseAddrPort(server.Listener.Addr().String())
	s.spec.Port = addr.Port()
	return sut.Node{ID: "n1", Addr: addr.Addr()}, asked
}

func dial(t *testing.T, s *System, n sut.Node) sut.KV {
	t.Helper()
	conn, err := s.Dial(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(sut.KV)
}

func TestARequestIsFilledInAndItsAnswerIsRead(t *testing.T) {
	s := open(t, file, map[string]string{"mode": "quick"})
	n, asked := serve(t, s, 200, `{"found":true,"value":12345678901234567890}`)
	v, err := dial(t, s, n).Get(t.Context(), "a/b")
	if want := (sut.Value{Data: "12345678901234567890", Present: true}); err != nil || v != want {
		t.Errorf("got %v, %v, want %v", v, err, want)
	}
	if want := "GET /get/a%2Fb?mode=quick"; *asked != want {
		t.Errorf("asked %q, want %q", *asked, want)
	}
	n, _ = serve(t, s, 200, `{"found":false}`)
	if v, err := dial(t, s, n).Get(t.Context(), "k"); err != nil || v.Present {
		t.Errorf("an absent key: got %v, %v", v, err)
	}
	n, asked = serve(t, s, 204, "")
	err = dial(t, s, n).Put(t.Context(), "k", `"x"`)
	if want := `PUT /put {"k":"k","v":"\"x\""}`; err != nil || *asked != want {
		t.Errorf("asked %q, %v, want %q", *asked, err, want)
	}
	for status, want := range map[int]sut.CASResult{
		200: {Swapped: true}, 409: {Found: &sut.Value{Data: "17", Present: true}},
	} {
		n, asked = serve(t, s, status, "17")
		got, err := dial(t, s, n).CAS(t.Context(), "k", "1", "2")
		if diff := cmp.Diff(want, got); err != nil || diff != "" || *asked != "POST /cas k 1 2" {
			t.Errorf("asked %q, %v\n%s", *asked, err, diff)
		}
	}
}

func TestOnlyWhatTheFileCallsSoIsDefinite(t *testing.T) {
	for _, c := range []struct {
		name     string
		status   int
		body     string
		definite bool
	}{
		{"by its status", 421, "", true},
		{"by what it says", 503, "certainly not", true},
		{"it says something else", 503, "perhaps", false},
		{"nobody said what it means", 500, "", false},
		{"found nothing means nothing to a write", 404, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, file, nil)
			n, _ := serve(t, s, c.status, c.body)
			err := dial(t, s, n).Put(t.Context(), "k", "v")
			if err == nil || sut.Definite(err) != c.definite {
				t.Errorf("got %v, want definite %v", err, c.definite)
			}
		})
	}
	s := open(t, file, nil)
	n, _ := serve(t, s, 200, `no JSON`)
	if v, err := dial(t, s, n).Get(t.Context(), "k"); err == nil {
		t.Errorf("an answer that can not be read: got %v", v)
	}
}

func TestTheNodesCommandIsFilledIn(t *testing.T) {
	s := open(t, file, nil)
	all := []sut.Node{{ID: "n1", Addr: netip.MustParseAddr("10.0.0.1")},
		{ID: "n2", Addr: netip.MustParseAddr("10.0.0.2")}}
	want := sut.Command{
		Args: []string{"--id=2", "--all=n1=10.0.0.1:1,n2=10.0.0.2:1", "--slow"},
		Env:  map[string]string{"NAME": "n2"}, DataDir: "/data",
	}
	if diff := cmp.Diff(want, s.Command(all[1], all)); diff != "" {
		t.Error(diff)
	}
}

func TestStatusIsReadOffTheAnswer(t *testing.T) {
	s := open(t, file, nil)
	n, _ := serve(t, s, 200, `{"leader":2,"term":7}`)
	got, err := s.Status(t.Context(), n)
	want := sut.Status{ID: "n1", Leader: "n2", Term: 7}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if s.Leaderless() {
		t.Error("a system that tells its leader is called leaderless")
	}
}

func TestANodeThatTellsNothingIsReadyWhenItShowsWhatWasWritten(t *testing.T) {
	before, after, _ := strings.Cut(file, "status:\n")
	s := open(t, before+"#"+strings.ReplaceAll(after, "\n", "\n#"), nil)
	n, asked := serve(t, s, 200, `{"found":false}`)
	if _, err := s.Status(t.Context(), n); err == nil || !strings.Contains(*asked, probeKey) ||
		!strings.HasPrefix(*asked, "PUT") {
		t.Errorf("asked %q, %v, want a write and not to be ready", *asked, err)
	}
	n, _ = serve(t, s, 200, `{"found":true,"value":1}`)
	if _, err := s.Status(t.Context(), n); err != nil {
		t.Errorf("it shows it: %v", err)
	}
	n, asked = serve(t, s, 200, `{"found":false}`)
	if _, err := s.Status(t.Context(), n); err != nil || strings.HasPrefix(*asked, "PUT") {
		t.Errorf("asked %q, %v: what is lost later is for the checker to see", *asked, err)
	}
	if !s.Leaderless() {
		t.Error("a system that tells no leader is not called leaderless")
	}
}

func TestWhatIsWrongWithAFileIsSaid(t *testing.T) {
	change := func(old, new string) string { return strings.Replace(file, old, new, 1) }
	for _, c := range []struct{ name, text, want string }{
		{"it is empty", "", "it is empty"},
		{"it is no YAML", "a: [", "sequence"},
		{"an unknown field", file + "colour: red\n", "colour"},
		{"no name", change("name: store", "name: ''"), "name: want one"},
		{"two images", file + "image: a\nbinary: b\n", "want one of them at most"},
		{"no port", change("port: 80", ""), "port: want"},
		{"a write by GET", change("method: PUT", "method: GET"), "a GET may be sent twice"},
		{"a template that does not end", change("{{.JSON.value}}", "{{.JSON"), "template"},
		{"a template of a command that asks for nonsense", change("{{.Node.Number}}", "{{.Node.Age}}"),
			"Age"},
		{"an answer that a write can not have", change("[200, 204], is: ok", "[200], is: absent"),
			`is "absent"`},
		{"no client at all", "name: x\n", "want get and put, or a program"},
		{"two kinds of client", file + "program: {binary: x}\n", "either it or get"},
		{"a wrong duration", file + "election_timeout: soon\n", "want a duration"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(sut.Ref{Name: "store.yaml", Spec: c.text})
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "store.yaml") {
				t.Errorf("got %v, want one with %q", err, c.want)
			}
		})
	}
	_, err := New(sut.Ref{Name: "x", Spec: file, Options: map[string]string{"speed": "1"}})
	if err == nil || !strings.Contains(err.Error(), `no option "speed"; it has: mode`) {
		t.Errorf("an unknown option: %v", err)
	}
}

func TestTheFilesThatComeWithRaftcheckAreRight(t *testing.T) {
	for _, name := range []string{"raftexample", "hashicorp"} {
		s, err := Builtin(name, nil)
		if err != nil || s.Name() != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := Builtin("raftexample", nil); err != nil || !s.Lacks("cas") || s.Lacks("read") {
		t.Error("raftexample has no cas, and can read")
	}
}
