package docker

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/testcontainers/testcontainers-go"
)

const (
	envRyukDisabled = "TESTCONTAINERS_RYUK_DISABLED"
	envHubPrefix    = "TESTCONTAINERS_HUB_IMAGE_NAME_PREFIX"
	envHostOverride = "TESTCONTAINERS_HOST_OVERRIDE"
)

// ryukBudget bounds how long it may take to learn that Ryuk's image can not be had.
const ryukBudget = 3 * time.Second

// ryukImage is where Ryuk's image would come from.
func ryukImage() string {
	img := testcontainers.ReaperDefaultImage //nolint:staticcheck // its only public name
	if p := os.Getenv(envHubPrefix); p != "" {
		img = strings.TrimSuffix(p, "/") + "/" + img
	}
	return img
}

// hasRyuk says whether Ryuk's image is there, or came within its budget.
func (e *Engine) hasRyuk(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, ryukBudget)
	defer cancel()
	if _, err := e.cli.ImageInspect(ctx, ryukImage()); err == nil {
		return true
	}
	progress, err := e.cli.ImagePull(ctx, ryukImage(), image.PullOptions{})
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, progress) // whether it came is asked below
	progress.Close()
	_, err = e.cli.ImageInspect(ctx, ryukImage())
	return err == nil
}

// prepareTestcontainers settles what testcontainers reads from the environment, once and for the
// whole process, at its first call: which engine, and whether Ryuk guards as well. What the user
// has set is respected.
func (e *Engine) prepareTestcontainers(ctx context.Context) error {
	set := map[string]string{"DOCKER_HOST": e.Host}
	if strings.HasPrefix(e.Host, "unix://") {
		// Inside a container testcontainers takes the gateway for the engine's address, wrongly so
		// where the socket is at hand.
		set[envHostOverride] = "127.0.0.1"
	}
	if os.Getenv(envRyukDisabled) == "" && !e.hasRyuk(ctx) {
		e.log.Debug("no Ryuk: its image can not be had; the guardian and the labels clean up",
			"image", ryukImage())
		set[envRyukDisabled] = "true"
	}
	for name, value := range set {
		if os.Getenv(name) == "" {
			if err := os.Setenv(name, value); err != nil {
				return err
			}
		}
	}
	return nil
}
