package docker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ModulePath is that of raftcheck itself.
const ModulePath = "github.com/raftcheck/raftcheck"

// FindCheckout walks up from dir to the root of a checkout of raftcheck.
func FindCheckout(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		mod, err := os.ReadFile(filepath.Join(at, "go.mod"))
		if err == nil && moduleOf(mod) == ModulePath {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", &Error{Problem: dir + " is not within a checkout of " + ModulePath,
				Advice: "run raftcheck in its checkout, or name an image with --image"}
		}
	}
}

// moduleOf is the path in a go.mod.
func moduleOf(mod []byte) string {
	for line := range strings.Lines(string(mod)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "module" {
			return strings.Trim(f[1], `"`)
		}
	}
	return ""
}

// GoBuild says what to compile for the engine.
type GoBuild struct {
	// Checkout is the root of the module, Package a main package in it, "./cmd/raftnode" say.
	Checkout, Package string
	// Overlay replaces files of the checkout, as `go build -overlay` takes it; empty for none.
	Overlay string
}

// Build compiles a static binary for the engine's processor and calls use with its path, which is
// valid only until use returns. Without an overlay the binary is kept in the user's cache
// directory, so that go has nothing to do where nothing changed.
func (e *Engine) Build(ctx context.Context, b GoBuild, use func(binary string) error) error {
	return b.Run(ctx, e.Arch, use)
}

// Run is [Engine.Build] for a Linux machine with a processor named as Go names it.
func (b GoBuild) Run(ctx context.Context, arch string, use func(binary string) error) error {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return &Error{Problem: "compile " + b.Package, Err: err,
			Advice: "install Go, or name an image with --image"}
	}
	dir, leave, err := b.dir(arch)
	if err != nil {
		return fmt.Errorf("compile %s: %w", b.Package, err)
	}
	defer leave()
	binary := filepath.Join(dir, path.Base(b.Package))
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", binary}
	if b.Overlay != "" {
		overlay, err := filepath.Abs(b.Overlay)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.CommandContext(ctx, goTool, append(args, b.Package)...)
	cmd.Dir = b.Checkout
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return &Error{Problem: fmt.Sprintf("compile %s in %s: %v\n%s", b.Package, b.Checkout, err,
			bytes.TrimSpace(out)),
			Advice: "see whether `go build " + b.Package + "` works in the checkout"}
	}
	return use(binary)
}

// dir makes the directory for the binary of b, and gives it to nobody else until leave.
func (b GoBuild) dir(arch string) (dir string, leave func(), err error) {
	if b.Overlay != "" { // changed sources are compiled once
		dir, err = os.MkdirTemp("", "raftcheck-build-")
		return dir, func() { _ = os.RemoveAll(dir) }, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	id := sha256.Sum256([]byte(strings.Join([]string{b.Checkout, b.Package, arch}, "\n")))
	dir = filepath.Join(cache, "raftcheck", "build", hex.EncodeToString(id[:6]))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	leave, err = lockDir(dir)
	return dir, leave, err
}

// BuildGoImage compiles a main package of the checkout and makes an image of it. spec.Binary is
// filled in; empty names are made from the package's.
func (e *Engine) BuildGoImage(ctx context.Context, b GoBuild, spec ImageSpec) (string, error) {
	base := path.Base(b.Package)
	if spec.Name == "" {
		spec.Name = "raftcheck-" + base
	}
	if spec.Program == "" {
		spec.Program = base
	}
	if spec.Label == "" {
		spec.Label = base
	}
	var ref string
	err := e.Build(ctx, b, func(binary string) (err error) {
		spec.Binary = binary
		ref, err = e.BuildImage(ctx, spec)
		return err
	})
	return ref, err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
