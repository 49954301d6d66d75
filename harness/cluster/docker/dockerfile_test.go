package docker

import (
	"os"
	"path/filepath"
	"testing"
)

func TestAnImageIsMadeByADockerfile(t *testing.T) {
	e := testEngine(t)
	dir := t.TempDir()
	write := func(name, text string) {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	write("Dockerfile", "FROM scratch\nCOPY wanted secret* /in/\n")
	write("wanted", "1")
	write("secret", "2")
	write(".dockerignore", "secret\nDockerfile\n")
	path := filepath.Join(dir, "Dockerfile")
	first, err := e.BuildDockerfile(t.Context(), path)
	must(t, err)
	info, err := e.cli.ImageInspect(t.Context(), first)
	must(t, err)
	if info.Config.Labels[LabelOurs] != "true" || info.Size != 1 {
		t.Errorf("labels %v, %d bytes, want ours and 1 byte", info.Config.Labels, info.Size)
	}
	if again, err := e.BuildDockerfile(t.Context(), path); err != nil || again != first {
		t.Errorf("again: got %s, %v, want %s", again, err, first)
	}
	write("wanted", "11")
	if other, err := e.BuildDockerfile(t.Context(), path); err != nil || other == first {
		t.Errorf("changed: got %s, %v, want another than %s", other, err, first)
	}
	write("Dockerfile", "FROM scratch\nCOPY nothing /in/\n")
	_, err = e.BuildDockerfile(t.Context(), path)
	wantHint(t, err, "COPY failed", "docker build")
	_, err = e.BuildDockerfile(t.Context(), filepath.Join(dir, "Missing"))
	wantHint(t, err, "read the Dockerfile", "correct its path")
}

func TestANodeThatIsNoStaticExecutableIsRefused(t *testing.T) {
	e := &Engine{Arch: "amd64"}
	_, err := e.BuildNodeImage(t.Context(), filepath.Join(t.TempDir(), "nothing"))
	wantHint(t, err, "read the node's executable", "examples/build.sh")
}

func TestImageNamesAreWhatTheEngineTakes(t *testing.T) {
	for file, want := range map[string]string{
		"etcd-3.6.16": "etcd-3-6-16", "My Store": "my-store", "--": "node", "nats_2": "nats-2",
	} {
		if got := imageName(file); got != want {
			t.Errorf("%q: got %q, want %q", file, got, want)
		}
	}
}
