package docker

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/pkg/jsonmessage"
)

// ImageSpec is an image of a single static binary, FROM scratch: it needs no registry.
type ImageSpec struct {
	// Name is that of the image; its tag is made from its content.
	Name string
	// Binary is the path of a static Linux executable for the engine's processor.
	Binary string
	// Program is its name within the image, where it is the entry point.
	Program string
	// Label is the value of [LabelImage].
	Label string
	// From is an image that the binary is added to; empty for none. KeepEntry leaves its entry
	// point.
	From      string
	KeepEntry bool
}

// BuildImage makes sure that the image exists and returns its reference, <name>:<first 12 digits of
// the hash of its content>. An image of the same content is not built again.
func (e *Engine) BuildImage(ctx context.Context, spec ImageSpec) (string, error) {
	if err := e.CheckBinary(spec.Binary); err != nil {
		return "", err
	}
	binary, err := os.ReadFile(spec.Binary)
	if err != nil {
		return "", err
	}
	dockerfile, err := e.dockerfileOf(ctx, spec)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, _ = io.WriteString(sum, dockerfile)
	_, _ = sum.Write(binary)
	ref := spec.Name + ":" + hex.EncodeToString(sum.Sum(nil))[:12]
	switch _, err := e.cli.ImageInspect(ctx, ref); {
	case err == nil:
		return ref, nil
	case !errdefs.IsNotFound(err):
		return "", fmt.Errorf("look for image %s: %w", ref, err)
	}
	begin := time.Now()
	files, err := archive(map[string][]byte{"Dockerfile": []byte(dockerfile), spec.Program: binary})
	if err != nil {
		return "", err
	}
	if err := e.build(ctx, ref, files); err != nil {
		return "", fmt.Errorf("build image %s: %w", ref, err)
	}
	e.dropOld(ctx, spec.Label, ref)
	e.log.Info("built image", "image", ref, "size_bytes", len(binary), "took",
		time.Since(begin).Round(time.Millisecond))
	return ref, nil
}

// dockerfileOf writes the Dockerfile of spec. It tells what the image that spec names is, so that
// another one of the same name makes another.
func (e *Engine) dockerfileOf(ctx context.Context, spec ImageSpec) (string, error) {
	text := "FROM scratch\n"
	if spec.From != "" {
		if err := e.haveImage(ctx, spec.From); err != nil {
			return "", err
		}
		info, err := e.cli.ImageInspect(ctx, spec.From)
		if err != nil {
			return "", fmt.Errorf("look for image %s: %w", spec.From, err)
		}
		text = fmt.Sprintf("FROM %s\nLABEL %s.from=%s\n", spec.From, LabelImage, info.ID)
	}
	text += fmt.Sprintf("LABEL %s=true %s=%s\nCOPY %s /%s\n", LabelOurs, LabelImage, spec.Label,
		spec.Program, spec.Program)
	if !spec.KeepEntry {
		text += fmt.Sprintf("USER 0\nENTRYPOINT [\"/%s\"]\nCMD []\n", spec.Program)
	}
	return text, nil
}

// Of each kind of image the newest are kept, and the others for a week: who develops a node builds
// one for each change.
const (
	keepImages    = 10
	keepImagesFor = 7 * 24 * time.Hour
)

// dropOld removes images of the same kind that nobody has used for long. It is no harm if that
// fails.
func (e *Engine) dropOld(ctx context.Context, label, just string) {
	images, err := e.cli.ImageList(ctx, image.ListOptions{Filters: filters.NewArgs(
		filters.Arg("label", LabelOurs+"=true"), filters.Arg("label", LabelImage+"="+label))})
	if err != nil {
		e.log.Debug("could not list old images", "err", err)
		return
	}
	for _, tag := range oldImages(images, just, time.Now()) {
		if err := e.remove(ctx, Item{"image", tag, tag}); err != nil { // in use, perhaps
			e.log.Debug("could not remove an old image", "image", tag, "err", err)
		}
	}
}

// oldImages are the tags of images that are to go.
func oldImages(images []image.Summary, just string, now time.Time) []string {
	slices.SortFunc(images, func(a, b image.Summary) int { return cmp.Compare(b.Created, a.Created) })
	var tags []string
	for _, i := range images[min(len(images), keepImages):] {
		if now.Sub(time.Unix(i.Created, 0)) > keepImagesFor && !slices.Contains(i.RepoTags, just) {
			tags = append(tags, i.RepoTags...)
		}
	}
	return tags
}

// build has the engine build. The classic builder is asked for: BuildKit wants a session, which the
// API alone does not give.
func (e *Engine) build(ctx context.Context, ref string, files io.Reader) error {
	resp, err := e.cli.ImageBuild(ctx, files, build.ImageBuildOptions{Tags: []string{ref},
		Version: build.BuilderV1, Remove: true, ForceRemove: true})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	// A build that fails says so in the stream, after a status that says it went well.
	return jsonmessage.DisplayJSONMessagesStream(resp.Body, io.Discard, 0, false, nil)
}

// archive is the same for the same files, to the byte.
func archive(files map[string][]byte) (io.Reader, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range sortedKeys(files) {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(files[name])),
			Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0)})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(files[name]); err != nil {
			return nil, err
		}
	}
	return &buf, w.Close()
}

// machines are Go's names for the processors that an engine may run on.
var machines = map[string]elf.Machine{
	"386": elf.EM_386, "amd64": elf.EM_X86_64, "arm": elf.EM_ARM, "arm64": elf.EM_AARCH64,
	"ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
}

// CheckBinary says why an executable can not run in an image FROM scratch on this engine, which
// would only say "no such file or directory".
func (e *Engine) CheckBinary(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("%s is no Linux executable: %w", path, err)
	}
	defer f.Close()
	if want, ok := machines[e.Arch]; ok && f.Machine != want {
		return fmt.Errorf("%s is for %v, the engine runs %s", path, f.Machine, e.Arch)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is not static: build it with CGO_ENABLED=0", path)
		}
	}
	return nil
}
