package docker

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// fakeEngine answers what version it is, and nothing else.
func fakeEngine(t *testing.T, api, os string) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", api)
		w.Header().Set("Ostype", os)
		if strings.HasSuffix(r.URL.Path, "/version") {
			fmt.Fprintf(w, `{"Version":"1.2.3","ApiVersion":%q,"Os":%q,"Arch":"amd64"}`, api, os)
		}
	}))
	t.Cleanup(srv.Close)
	t.Setenv("DOCKER_HOST", "tcp://"+srv.Listener.Addr().String())
	t.Setenv("DOCKER_TLS_VERIFY", "")
	t.Setenv("DOCKER_API_VERSION", "")
}

func TestConnectRefuses(t *testing.T) {
	for _, c := range []struct {
		name, api, os string
		problem, hint string
	}{
		{"an engine that is too old", "1.40", "linux", "too old: its API is 1.40, 1.41 is needed",
			"20.10"},
		{"an engine for Windows containers", "1.47", "windows", "windows containers", "Linux"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fakeEngine(t, c.api, c.os)
			_, err := Connect(t.Context(), nil)
			wantHint(t, err, c.problem, c.hint)
		})
	}
	t.Run("no engine", func(t *testing.T) {
		t.Setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
		_, err := Connect(t.Context(), nil)
		wantHint(t, err, "no Docker engine answers", "DOCKER_HOST")
	})
	t.Run("one that is new enough", func(t *testing.T) {
		fakeEngine(t, "1.51", "linux")
		e, err := Connect(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
	})
}

func wantHint(t *testing.T, err error, problem, hint string) {
	t.Helper()
	e, ok := asError(err)
	if !ok || !strings.Contains(err.Error(), problem) || !strings.Contains(e.Hint(), hint) {
		t.Errorf("got %v, want %q with a hint about %q", err, problem, hint)
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		have, want string
		ok         bool
	}{
		{"1.41", "1.41", true}, {"1.51", "1.41", true}, {"1.100", "1.41", true},
		{"2.0", "1.41", true}, {"1.40", "1.41", false}, {"1.9", "1.41", false},
		{"1", "1.41", false}, {"", "1.41", false}, {"6.18.44-fc", "6.15", true},
	} {
		if got := apiAtLeast(c.have, c.want); got != c.ok {
			t.Errorf("%q is at least %q: got %v", c.have, c.want, got)
		}
	}
}

// TestOneDockerClient guards the pins: a newer testcontainers brings a second Docker client with
// types of its own into the binary, and still compiles.
func TestOneDockerClient(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "all").Output()
	if err != nil {
		t.Skipf("needs go: %v", err)
	}
	list := string(out)
	if strings.Contains(list, "github.com/moby/moby/client") {
		t.Error("github.com/moby/moby/client is in the module graph")
	}
	if !strings.Contains(list, "github.com/docker/docker v28.") {
		t.Error("github.com/docker/docker v28 is not in the module graph")
	}
}
