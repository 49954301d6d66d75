package report_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/raftcheck/raftcheck/harness/report"
)

// site is a store with one run of each kind.
func site(t *testing.T, public bool) http.Handler {
	t.Helper()
	store := fstest.MapFS{
		"latest": {Data: []byte("a link")}, "empty/x": {}, ".hidden/history.jsonl": {},
		"20261121T091500Z-set-07/history.jsonl": {Data: []byte("going on")},
		"secret.txt":                            {Data: []byte("secret")},
	}
	for name, run := range runs {
		in := run(t)
		in.Run.ID = "run-" + name
		store["run-"+name+"/history.jsonl"] = &fstest.MapFile{Data: []byte("the history")}
		store["run-"+name+"/private.key"] = &fstest.MapFile{Data: []byte("secret")}
		store["run-"+name+"/nodes/n1.log"] = &fstest.MapFile{Data: []byte("<b>n1</b>")}
		store["run-"+name+"/report.html"] =
			&fstest.MapFile{Data: render(t, in, renderings["html"])}
		store["run-"+name+"/report.json"] =
			&fstest.MapFile{Data: render(t, in, renderings["json"])}
	}
	return report.Site{Store: store, Public: public, Log: slog.New(slog.DiscardHandler)}.Handler()
}

func get(h http.Handler, url, host string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodGet, url, nil)
	req.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	return w
}

func TestTheSiteListsWhatIsAskedFor(t *testing.T) {
	h := site(t, false)
	all := []string{"run-valid", "run-stale", "run-unknown", "run-short", "run-hostile",
		"run-nothing", "20261121T091500Z-set-07"}
	for _, c := range []struct {
		why, query string
		want       []string
	}{
		{"everything", "", all},
		{"by verdict", "?verdict=INVALID", []string{"run-stale", "run-hostile"}},
		{"a harness failure is no verdict", "?verdict=HARNESS+FAILURE", []string{"run-short"}},
		{"what is going on", "?verdict=NO+VERDICT", []string{"20261121T091500Z-set-07"}},
		{"by each word", "?q=Stale+K3", []string{"run-stale"}},
		{"by fault and verdict", "?fault=kill&verdict=VALID", []string{"run-valid"}},
		{"nothing like that", "?q=nonsense", nil},
	} {
		w := get(h, "/"+c.query, "localhost:8080")
		if w.Code != http.StatusOK {
			t.Errorf("%s: got status %d", c.why, w.Code)
		}
		for _, id := range all {
			want := false
			for _, x := range c.want {
				want = want || x == id
			}
			if got := strings.Contains(w.Body.String(), "/run/"+id+"/history.jsonl"); got != want {
				t.Errorf("%s: lists %s: got %v want %v", c.why, id, got, want)
			}
		}
	}
	if body := get(h, "/", "localhost").Body.String(); strings.Contains(body, "<script") {
		t.Error("the list has a script element")
	}
}

func TestTheSiteSendsFilesOfRunsAndNothingElse(t *testing.T) {
	h := site(t, false)
	for _, c := range []struct {
		why, path, kind, body string
		code                  int
	}{
		{"the page", "/run/run-stale/", "text/html; charset=utf-8", "<h1>INVALID</h1>", 200},
		{"the document", "/run/run-stale/report.json", "application/json", `"schema": 1`, 200},
		{"a log is text", "/run/run-stale/nodes/n1.log", "text/plain; charset=utf-8",
			"<b>n1</b>", 200},
		{"the history", "/run/run-stale/history.jsonl", "text/plain; charset=utf-8",
			"the history", 200},
		{"a file of no known name", "/run/run-stale/private.key", "", "", 404},
		{"no such run", "/run/nope/", "", "", 404},
		{"no such log", "/run/run-stale/nodes/n9.log", "", "", 404},
		{"out of the run", "/run/run-stale/nodes/..%2F..%2Fsecret.log", "", "", 404},
		{"out of the store", "/run/..%2F../report.json", "", "", 404},
		{"a hidden directory", "/run/.hidden/history.jsonl", "", "", 404},
		{"a directory", "/run/run-stale/nodes", "", "", 404},
		{"beside the runs", "/secret.txt", "", "", 404},
	} {
		w := get(h, c.path, "127.0.0.1:8080")
		if w.Code != c.code || !strings.Contains(w.Body.String(), c.body) {
			t.Errorf("%s: got status %d, body %.60q", c.why, w.Code, w.Body)
		}
		if c.kind != "" && w.Header().Get("Content-Type") != c.kind {
			t.Errorf("%s: got type %q want %q", c.why, w.Header().Get("Content-Type"), c.kind)
		}
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: the secret is out", c.why)
		}
	}
}

func TestTheSiteAnswersThisMachineOnlyUnlessItIsPublic(t *testing.T) {
	for _, c := range []struct {
		host   string
		public bool
		want   int
	}{
		{"localhost:8080", false, 200}, {"127.0.0.1", false, 200}, {"[::1]:80", false, 200},
		{"evil.example", false, 403}, {"evil.example:8080", false, 403}, {"", false, 403},
		{"192.168.1.2:8080", false, 403}, {"localhost.evil.example", false, 403},
		{"ci.example", true, 200},
	} {
		if got := get(site(t, c.public), "/", c.host).Code; got != c.want {
			t.Errorf("host %q, public %v: got %d want %d", c.host, c.public, got, c.want)
		}
	}
	w := httptest.NewRecorder()
	req := httptest.NewRequest(http.MethodPost, "/", nil)
	req.Host = "localhost"
	site(t, false).ServeHTTP(w, req)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a POST: got %d", w.Code)
	}
}
