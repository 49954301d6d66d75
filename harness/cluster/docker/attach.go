package docker

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// attachment is the standard input and output of a container, and the end of its standard error.
// It depends on no network under test, and works with any engine that speaks the API.
type attachment struct {
	hijacked types.HijackedResponse
	out      *io.PipeReader
	errs     tail

	closeOnce sync.Once
	done      chan struct{} // closed when the container's output has ended
}

// attach must be called before the container starts: what it writes first would be lost otherwise.
func (e *Engine) attach(ctx context.Context, id string) (*attachment, error) {
	hijacked, err := e.cli.ContainerAttach(ctx, id, container.AttachOptions{
		Stream: true, Stdin: true, Stdout: true, Stderr: true})
	if err != nil {
		return nil, fmt.Errorf("attach to container %.12s: %w", id, err)
	}
	r, w := io.Pipe()
	a := &attachment{hijacked: hijacked, out: r, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		_, err := stdcopy.StdCopy(w, &a.errs, hijacked.Reader)
		w.CloseWithError(err)
	}()
	return a, nil
}

// Read reads the container's standard output.
func (a *attachment) Read(p []byte) (int, error) { return a.out.Read(p) }

// Write writes to its standard input.
func (a *attachment) Write(p []byte) (int, error) { return a.hijacked.Conn.Write(p) }

// CloseWrite ends its standard input; its output goes on.
func (a *attachment) CloseWrite() error { return a.hijacked.CloseWrite() }

// Close detaches. It is idempotent.
func (a *attachment) Close() error {
	a.closeOnce.Do(func() {
		a.hijacked.Close()
		a.out.Close()
		<-a.done
	})
	return nil
}

// tailSize is how much of a container's last words is kept.
const tailSize = 4096

// tail is a writer that keeps the end of what was written.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailSize; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(bytes.ToValidUTF8(t.buf, []byte("?"))))
}
