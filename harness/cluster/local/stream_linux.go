package local

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
)

// streams are the three standard streams of a process, from our side.
type streams struct {
	in, out *os.File
	errs    tail

	once  sync.Once
	ended chan struct{} // closed when the process has closed its standard error
}

// newStreams makes them, and their other ends: input, output, errors. Those are the caller's.
func newStreams() (s *streams, theirs []*os.File, err error) {
	s = &streams{ended: make(chan struct{})}
	var all []*os.File
	for range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(all)
			return nil, nil, err
		}
		all = append(all, r, w)
	}
	s.in, s.out = all[1], all[2]
	errs := all[4]
	go func() {
		defer close(s.ended)
		_, _ = io.Copy(&s.errs, errs) // an error is the end
		errs.Close()
	}()
	return s, []*os.File{all[0], all[3], all[5]}, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// Read reads the process's output. An end of which it told the reason is no plain end.
func (s *streams) Read(p []byte) (int, error) {
	n, err := s.out.Read(p)
	if errors.Is(err, io.EOF) {
		<-s.ended
		if words := s.errs.String(); words != "" {
			err = fmt.Errorf("%w; its last words:\n  %s", io.ErrUnexpectedEOF,
				strings.ReplaceAll(words, "\n", "\n  "))
		}
	}
	return n, err
}

// Write writes to its input.
func (s *streams) Write(p []byte) (int, error) { return s.in.Write(p) }

// Close closes both. It is idempotent.
func (s *streams) Close() error {
	s.once.Do(func() {
		s.in.Close()
		s.out.Close()
	})
	return nil
}

// tailSize is how much of a program's last words is kept.
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
