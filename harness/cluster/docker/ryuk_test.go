package docker

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// TestRyuk decides whether testcontainers may use Ryuk: only where its image is there or comes at
// once, unless the user has decided.
func TestRyuk(t *testing.T) {
	for _, c := range []struct {
		name   string
		user   string // what the user has set
		engine http.HandlerFunc
		want   string
	}{
		{"the image is there", "", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"Id":"sha256:1"}`))
		}, ""},
		{"the image can not be had", "", func(w http.ResponseWriter, r *http.Request) {
			http.NotFound(w, r)
		}, "true"},
		{"the registry does not answer", "", func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/images/create") {
				<-r.Context().Done()
				return
			}
			http.NotFound(w, r)
		}, "true"},
		{"the user wants it whatever we find", "false", func(http.ResponseWriter, *http.Request) {
			t.Error("the engine was asked")
		}, "false"},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := httptest.NewServer(c.engine)
			defer srv.Close()
			t.Setenv("DOCKER_HOST", "tcp://"+srv.Listener.Addr().String())
			t.Setenv(envRyukDisabled, c.user)
			t.Setenv(envHubPrefix, "")
			begin := time.Now()
			e := unconnected(t)
			e.Host = os.Getenv("DOCKER_HOST")
			must(t, e.prepareTestcontainers(t.Context()))
			if got := os.Getenv(envRyukDisabled); got != c.want {
				t.Errorf("%s: got %q, want %q", envRyukDisabled, got, c.want)
			}
			if took := time.Since(begin); took > 2*ryukBudget {
				t.Errorf("it took %v, with a budget of %v", took, ryukBudget)
			}
		})
	}
}
