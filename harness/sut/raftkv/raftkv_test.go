package raftkv

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// serve starts a node that answers every request with handler.
func serve(t *testing.T, handler http.HandlerFunc) *Conn {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	c := newConn(sut.Node{ID: "n1", Addr: netip.MustParseAddr("127.0.0.1")})
	t.Cleanup(func() { _ = c.Close() })
	c.base = s.URL
	return c
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func hangUp(w http.ResponseWriter, _ *http.Request) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

func TestWhetherAnErrorIsDefiniteIsWhatTheNodeSaysAndOtherwiseNo(t *testing.T) {
	for _, c := range []struct {
		name     string
		handler  http.HandlerFunc
		definite bool
	}{
		{"the node says that nothing happened",
			answering(421, `{"error":"no","code":"not_leader","definite":true,"leader":"n2"}`), true},
		{"the node says that it does not know",
			answering(503, `{"error":"lost","code":"leadership_lost","definite":false}`), false},
		{"the node does not say", answering(503, `{"error":"?","code":"x"}`), false},
		{"an error without our body", answering(500, `oops`), false},
		{"a body that claims and is not ours", answering(502, `{"definite":true}`), false},
		{"an answer that is cut short", answering(200, `{"version":`), false},
		{"the connection is closed", hangUp, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := serve(t, c.handler)
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

func TestATimeoutIsIndefinite(t *testing.T) {
	release := make(chan struct{})
	conn := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := conn.Put(ctx, "k", "1"); err == nil || sut.Definite(err) {
		t.Errorf("got %v", err)
	}
}

func TestARefusedConnectionIsDefinite(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(sut.Node{ID: "n1", Addr: netip.MustParseAddr("127.0.0.1")})
	c.base = "http://" + l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Put(t.Context(), "k", "1"); !sut.Definite(err) {
		t.Errorf("got %v", err)
	}
}

func TestNothingIsEverSentTwice(t *testing.T) {
	var requests atomic.Int64
	conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 1 {
			hangUp(w, r) // on a connection that was used before
			return
		}
		answering(200, `{"version":1}`)(w, r)
	})
	if err := conn.Put(t.Context(), "k", "1"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Put(t.Context(), "k", "2"); err == nil {
		t.Error("a request without answer has succeeded")
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("the node saw %d requests of 2 operations", n)
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/elsewhere") {
			t.Error("it was followed")
		}
		u := url.URL{Path: "/elsewhere"}
		http.Redirect(w, r, u.String(), http.StatusTemporaryRedirect)
	})
	if err := conn.Put(t.Context(), "k", "1"); err == nil || sut.Definite(err) {
		t.Errorf("got %v", err)
	}
}

func TestAnswersAreUnderstood(t *testing.T) {
	conn := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/get":
			answering(200, `{"found":true,"value":"17","version":9}`)(w, r)
		case "/v1/cas":
			answering(200, `{"swapped":false,"found":true,"value":"18","version":9}`)(w, r)
		}
	})
	v, err := conn.Get(t.Context(), "k")
	if want := (sut.Value{Data: "17", Present: true, Version: 9}); err != nil || v != want {
		t.Errorf("get: %+v, %v", v, err)
	}
	res, err := conn.CAS(t.Context(), "k", "1", "2")
	if err != nil || res.Swapped || res.Found == nil || res.Found.Data != "18" {
		t.Errorf("cas: %+v, %v", res, err)
	}
	refusing := serve(t, answering(421,
		`{"error":"no","code":"not_leader","definite":true,"leader":"n2"}`))
	if err := refusing.Put(t.Context(), "k", "1"); err == nil || refusing.Leader() != "n2" {
		t.Errorf("leader %q, %v", refusing.Leader(), err)
	}
}
