package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/raftcheck/raftcheck/harness/sut"
)

func TestAWriteIsSentOnceWhateverHappens(t *testing.T) {
	var writes atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			return
		}
		writes.Add(1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			_ = conn.Close()
		}
	}))
	defer server.Close()
	c := New(netip.MustParseAddrPort(server.Listener.Addr().String()))
	defer c.Close()
	for i, body := range [][]byte{nil, []byte("x")} {
		// A connection that is kept is what tempts net/http to try again.
		if _, _, err := c.Do(t.Context(), Request{Method: "GET", Path: "/"}); err != nil {
			t.Fatal(err)
		}
		_, _, err := c.Do(t.Context(), Request{Method: "PUT", Path: "/", Body: body})
		if err == nil || sut.Definite(err) {
			t.Errorf("got %v", err)
		}
		if got := writes.Load(); got != int32(i+1) {
			t.Errorf("%d writes arrived, want %d", got, i+1)
		}
	}
}

func TestNoRedirectIsFollowed(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/elsewhere" {
			t.Error("it went elsewhere")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	c := New(netip.MustParseAddrPort(server.Listener.Addr().String()))
	defer c.Close()
	status, _, err := c.Do(t.Context(), Request{Method: "PUT", Path: "/", Body: []byte("x")})
	if err != nil || status != http.StatusTemporaryRedirect {
		t.Errorf("got %d, %v", status, err)
	}
}
