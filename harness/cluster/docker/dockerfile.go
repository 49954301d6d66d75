package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/pkg/jsonmessage"
	goarchive "github.com/moby/go-archive"
	"github.com/moby/patternmatcher/ignorefile"
)

// BuildDockerfile makes an image by a Dockerfile, with its directory for a context, less what a
// .dockerignore there names. It returns a reference that always means this image: the engine's
// cache makes it the same one as long as nothing changes.
func (e *Engine) BuildDockerfile(ctx context.Context, path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	dir, file := filepath.Split(path)
	if _, err := os.Stat(path); err != nil {
		return "", &Error{Problem: "read the Dockerfile", Err: err, Advice: "correct its path"}
	}
	ignored, err := ignoredIn(dir, file)
	if err != nil {
		return "", fmt.Errorf("build by %s: %w", path, err)
	}
	files, err := goarchive.TarWithOptions(dir, &goarchive.TarOptions{ExcludePatterns: ignored})
	if err != nil {
		return "", fmt.Errorf("build by %s: %w", path, err)
	}
	defer files.Close()
	label := imageName(filepath.Base(filepath.Clean(dir)))
	resp, err := e.cli.ImageBuild(ctx, files, build.ImageBuildOptions{
		Dockerfile: file, Version: build.BuilderV1, Remove: true, ForceRemove: true,
		Labels: map[string]string{LabelOurs: "true", LabelImage: label},
	})
	if err != nil {
		return "", fmt.Errorf("build by %s: %w", path, err)
	}
	defer resp.Body.Close()
	var said bytes.Buffer
	id := ""
	err = jsonmessage.DisplayJSONMessagesStream(resp.Body, &said, 0, false,
		func(m jsonmessage.JSONMessage) { id = builtID(m, id) })
	if err != nil {
		return "", &Error{Problem: fmt.Sprintf("build by %s:\n%s", path, lastOf(said.String())),
			Err: err, Advice: "see whether `docker build " + dir + "` works"}
	}
	if id == "" {
		return "", fmt.Errorf("build by %s: the engine did not say what it had built", path)
	}
	ref := "raftcheck-" + label + ":" + strings.TrimPrefix(id, "sha256:")[:12]
	if err := e.cli.ImageTag(ctx, id, ref); err != nil {
		return "", fmt.Errorf("name image %s: %w", ref, err)
	}
	e.dropOld(ctx, label, ref)
	return ref, nil
}

// ignoredIn reads the .dockerignore in dir. The Dockerfile itself is always sent.
func ignoredIn(dir, dockerfile string) ([]string, error) {
	f, err := os.Open(filepath.Join(dir, ".dockerignore"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	patterns, err := ignorefile.ReadAll(f)
	return append(patterns, "!"+dockerfile), err
}

// builtID is the image that a build says it made.
func builtID(m jsonmessage.JSONMessage, before string) string {
	if m.Aux == nil {
		return before
	}
	if _, id, found := bytes.Cut(*m.Aux, []byte(`"ID":"`)); found {
		if hash, _, ended := bytes.Cut(id, []byte(`"`)); ended {
			return string(hash)
		}
	}
	return before
}

// lastOf is the end of what a build printed.
func lastOf(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-10):], "\n  ")
}

// notInNames are runs of characters that the name of an image must not have.
var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// imageName makes the name of an image out of that of a file.
func imageName(file string) string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(file), "-"), "-")
	if name == "" {
		return "node"
	}
	return name
}

// BuildNodeImage makes an image of a node that is a static executable, which is its entry point.
func (e *Engine) BuildNodeImage(ctx context.Context, binary string) (string, error) {
	if _, err := os.Stat(binary); err != nil {
		return "", &Error{Problem: "read the node's executable", Err: err,
			Advice: "correct its path; examples/build.sh builds some real systems"}
	}
	name := imageName(filepath.Base(binary))
	return e.BuildImage(ctx, ImageSpec{
		Name: "raftcheck-" + name, Binary: binary, Program: "node", Label: name,
	})
}
