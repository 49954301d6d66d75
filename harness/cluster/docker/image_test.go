package docker

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"

	"github.com/raftcheck/raftcheck/harness/cluster"
	"github.com/raftcheck/raftcheck/harness/cluster/clustertest"
)

// TestImageIsMadeOnce: the same content has the same name, another has another.
func TestImageIsMadeOnce(t *testing.T) {
	e := testEngine(t)
	first := testImage(t, e)
	info, err := e.cli.ImageInspect(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	if info.Config.Labels[LabelOurs] != "true" || info.Config.Labels[LabelImage] != "testnode" {
		t.Errorf("labels: got %v", info.Config.Labels)
	}
	if len(info.Config.Volumes)+len(info.Config.ExposedPorts) > 0 {
		t.Errorf("the image has volumes %v and ports %v, want none", info.Config.Volumes,
			info.Config.ExposedPorts)
	}
	if again := testImage(t, e); again != first {
		t.Errorf("again: got %s, want %s", again, first)
	}
	later, err := e.cli.ImageInspect(t.Context(), first)
	if err != nil || later.Created != info.Created {
		t.Errorf("made again: %v at %s, was %s", err, later.Created, info.Created)
	}
}

// TestOverlay compiles a changed file without touching it.
func TestOverlay(t *testing.T) {
	e := testEngine(t)
	checkout, err := FindCheckout(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "main.go")
	must(t, os.WriteFile(changed,
		[]byte("package main\nfunc main() { println(\"changed\") }\n"), 0o644))
	empty := filepath.Join(dir, "empty.go")
	must(t, os.WriteFile(empty, []byte("package main\n"), 0o644))
	base := filepath.Join(checkout, "harness/cluster/clustertest/testnode")
	overlay := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(overlay, []byte(`{"Replace":{"`+base+`/main.go":"`+changed+`","`+base+
		`/node.go":"`+empty+`","`+base+`/driver.go":"`+empty+`"}}`), 0o644))
	err = e.Build(t.Context(), GoBuild{Checkout: checkout, Overlay: overlay,
		Package: "./harness/cluster/clustertest/testnode"}, func(binary string) error {
		var said bytes.Buffer
		cmd := exec.Command(binary)
		cmd.Stderr = &said
		if err := cmd.Run(); err != nil || said.String() != "changed\n" {
			t.Errorf("the changed program: got %q, %v", said.String(), err)
		}
		return nil
	})
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFindCheckout(t *testing.T) {
	here, err := FindCheckout(".")
	must(t, err)
	if _, err := os.Stat(filepath.Join(here, "harness/cluster/docker")); err != nil {
		t.Errorf("checkout %s: %v", here, err)
	}
	_, err = FindCheckout(t.TempDir())
	wantHint(t, err, "is not within a checkout", "--image")
}

func TestBuildTellsWhatGoSays(t *testing.T) {
	e := &Engine{Arch: "amd64"}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module x\ngo 1.26\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "x.go"),
		[]byte("package main\nfunc main() { nonsense }\n"), 0o644))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("GOCACHE", goEnv(t, "GOCACHE"))
	err := e.Build(t.Context(), GoBuild{Checkout: dir, Package: "."},
		func(string) error { return nil })
	wantHint(t, err, "undefined: nonsense", "go build")
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Skipf("needs go: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func TestCheckBinary(t *testing.T) {
	dir := t.TempDir()
	src := filepath.Join(dir, "main.go")
	must(t, os.WriteFile(src, []byte("package main\nfunc main() {}\n"), 0o644))
	compile := func(name string, env ...string) string {
		out := filepath.Join(dir, name)
		cmd := exec.CommandContext(t.Context(), "go", "build", "-o", out, src)
		cmd.Env = append(os.Environ(), append(env, "GOOS=linux")...)
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return out
	}
	static := compile("static", "CGO_ENABLED=0", "GOARCH=amd64")
	other := compile("other", "CGO_ENABLED=0", "GOARCH=arm64")
	pie := compile("pie", "CGO_ENABLED=0", "GOARCH=amd64", "GOFLAGS=-buildmode=pie")
	e := &Engine{Arch: "amd64"}
	for _, c := range []struct{ name, path, why string }{
		{"a static program", static, ""},
		{"one for another processor", other, "EM_AARCH64"},
		{"one that wants a loader", pie, "CGO_ENABLED=0"},
		{"a text", src, "no Linux executable"},
		{"nothing", filepath.Join(dir, "none"), "none"},
	} {
		err := e.CheckBinary(c.path)
		if (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.why)
		}
	}
}

// TestNoSuchImage is told before anything is made.
func TestNoSuchImage(t *testing.T) {
	e := testEngine(t)
	run := newRun(t)
	_, err := testRuntime(t, e, testImage(t, e)).Up(t.Context(), cluster.Spec{Run: run,
		System: clustertest.System{}, Image: "127.0.0.1:1/no-such-image:1", Nodes: 3})
	wantHint(t, err, "127.0.0.1:1/no-such-image:1", "docker load")
	mustBeLeft(t, e, run, 0)
}

func TestSpecIsRefused(t *testing.T) {
	e := testEngine(t)
	rt := testRuntime(t, e, "unused")
	for _, c := range []struct {
		why  string
		spec cluster.Spec
	}{
		{"0 nodes", cluster.Spec{Run: "r", Nodes: 0}},
		{"201 nodes", cluster.Spec{Run: "r", Nodes: 201}},
		{`run "a b"`, cluster.Spec{Run: "a b", Nodes: 1}},
		{`run ""`, cluster.Spec{Nodes: 1}},
	} {
		if _, err := rt.Up(t.Context(), c.spec); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got %v", c.why, err)
		}
	}
}

func TestOldImages(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	var all []image.Summary
	for day := range 20 {
		all = append(all, image.Summary{RepoTags: []string{"raftcheck-x:" + strconv.Itoa(day)},
			Created: now.Add(-time.Duration(day) * 24 * time.Hour).Unix()})
	}
	slices.Reverse(all)
	got := oldImages(all, "raftcheck-x:12", now)
	want := []string{"10", "11", "13", "14", "15", "16", "17", "18", "19"}
	for i, w := range want {
		want[i] = "raftcheck-x:" + w
	}
	if !slices.Equal(got, want) {
		t.Errorf("of 20, one a day: got %v, want %v", got, want)
	}
	for i := range all {
		all[i].Created = now.Add(-time.Hour).Unix()
	}
	if got := oldImages(all, "", now); len(got) != 0 {
		t.Errorf("of 20 of today: got %v, want none", got)
	}
}
