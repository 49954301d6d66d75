package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// follower copies what a node writes into <id>.log as it writes it, across restarts, every line
// once and unchanged.
//
// The engine's stream ends with each process. The next one resumes a little before the last line,
// and lines that were copied already are left out. A line is known by its stream, its time stamp
// and its number among those of the same stream and stamp: stamps only grow within standard output
// and within standard error, but not between the two.
type follower struct {
	engine    *Engine
	container string

	started chan struct{} // holds a token if a start was not yet followed
	ctx     context.Context
	cancel  context.CancelFunc
	ended   sync.WaitGroup

	tell func(line []byte) // told each whole line; nil for nobody

	mu     sync.Mutex // guards the fields below; several streams may be copied at once
	file   *os.File   // nil if nobody wants the log, or after stop
	copied [3]mark    // by stream
	begun  [3][]byte  // a line that did not end yet, by stream
}

// mark is a line's place in one stream.
type mark struct {
	at time.Time
	n  int // from 1, among the lines with that stamp
}

// resumeSlack is how far before the last line a stream resumes.
const resumeSlack = 2 * time.Second

// newFollower opens the log of a node. It must be stopped.
func newFollower(e *Engine, container, dir string, id sut.NodeID) (*follower, error) {
	f := &follower{engine: e, container: container, started: make(chan struct{}, 1)}
	if dir != "" {
		file, err := os.OpenFile(filepath.Join(dir, string(id)+".log"),
			os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return nil, err
		}
		f.file = file
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.ended.Go(f.run)
	return f, nil
}

// follow tells that the container was started.
func (f *follower) follow() {
	select {
	case f.started <- struct{}{}:
	default: // a token is there already
	}
}

// drain copies all that the node has written up to now.
func (f *follower) drain(ctx context.Context) error { return f.copy(ctx, false) }

// stop ends the copying and closes the file. It is idempotent.
func (f *follower) stop() {
	f.cancel()
	f.ended.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file != nil {
		f.file.Close()
		f.file = nil
	}
}

func (f *follower) run() {
	for {
		select {
		case <-f.ctx.Done():
			return
		case <-f.started:
		}
		for f.ctx.Err() == nil {
			err := f.copy(f.ctx, true)
			if err == nil {
				break // the process has ended
			}
			if f.ctx.Err() == nil {
				f.engine.log.Warn("follow a node's log", "container", f.container, "err", err)
				pause(f.ctx, time.Second)
			}
		}
	}
}

// pause waits for d or for the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// copy reads the engine's stream to its end, which with follow is that of the process.
func (f *follower) copy(ctx context.Context, follow bool) error {
	opts := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true,
		Follow: follow}
	f.mu.Lock()
	latest := f.copied[stdcopy.Stdout].at
	if t := f.copied[stdcopy.Stderr].at; t.After(latest) {
		latest = t
	}
	f.mu.Unlock()
	if !latest.IsZero() {
		opts.Since = stamp(latest.Add(-resumeSlack))
	}
	body, err := f.engine.cli.ContainerLogs(ctx, f.container, opts)
	if err != nil {
		return err
	}
	defer body.Close()
	var here [3]mark
	r := bufio.NewReader(body)
	for {
		stream, payload, err := readFrame(r)
		if errors.Is(err, io.EOF) {
			if follow {
				return f.endLines()
			}
			return nil // the process may be in the middle of a line
		}
		if err != nil {
			return err
		}
		if err := f.line(stream, payload, &here[stream]); err != nil {
			return err
		}
	}
}

// line copies one line, or a piece of one, unless it was copied before. here is the place in this
// reading of the stream.
func (f *follower) line(stream stdcopy.StdType, payload []byte, here *mark) error {
	at, text, err := splitStamp(payload)
	if err != nil {
		return err
	}
	if at.Equal(here.at) {
		here.n++
	} else {
		*here = mark{at: at, n: 1}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	done := &f.copied[stream]
	if at.Before(done.at) || at.Equal(done.at) && here.n <= done.n {
		return nil
	}
	*done = *here
	f.begun[stream] = append(f.begun[stream], text...)
	if !bytes.HasSuffix(f.begun[stream], []byte("\n")) {
		return nil // the engine cuts lines of more than 16 KiB
	}
	return f.flush(stream)
}

// endLines writes out what the process left without a line's end.
func (f *follower) endLines() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	var errs []error
	for s, begun := range f.begun {
		if len(begun) > 0 {
			f.begun[s] = append(begun, '\n')
			errs = append(errs, f.flush(stdcopy.StdType(s)))
		}
	}
	return errors.Join(errs...)
}

// flush writes the line of a stream. The caller holds mu.
func (f *follower) flush(stream stdcopy.StdType) error {
	if f.tell != nil {
		f.tell(f.begun[stream])
	}
	var err error
	if f.file != nil {
		_, err = f.file.Write(f.begun[stream])
	}
	f.begun[stream] = f.begun[stream][:0]
	return err
}

// maxFrame bounds a frame of the engine's stream; a line comes in pieces of 16 KiB.
const maxFrame = 1 << 24

// readFrame reads one frame: the stream's number, three zeros, a length, and the payload. It is
// read here and not by stdcopy, since the engine puts a stamp before each frame.
func readFrame(r io.Reader) (stdcopy.StdType, []byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	stream := stdcopy.StdType(head[0])
	size := binary.BigEndian.Uint32(head[4:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("a frame of %d bytes", size)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("a frame cut short: %w", err)
	}
	if stream != stdcopy.Stdout && stream != stdcopy.Stderr {
		return 0, nil, fmt.Errorf("the engine says: %s", payload)
	}
	return stream, payload, nil
}

// splitStamp takes the engine's time stamp off a line.
func splitStamp(payload []byte) (time.Time, []byte, error) {
	head, text, ok := bytes.Cut(payload, []byte(" "))
	if !ok {
		return time.Time{}, nil, fmt.Errorf("a log line without a time stamp: %.80q", payload)
	}
	at, err := time.Parse(time.RFC3339Nano, string(head))
	return at, text, err
}

// stamp is a time as the engine reads it.
func stamp(t time.Time) string {
	return strconv.FormatInt(t.Unix(), 10) + fmt.Sprintf(".%09d", t.Nanosecond())
}

// lastLines are the last lines that a container wrote, without stamps.
func (e *Engine) lastLines(ctx context.Context, id string, n int) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	body, err := e.cli.ContainerLogs(ctx, id, container.LogsOptions{ShowStdout: true,
		ShowStderr: true, Tail: strconv.Itoa(n)})
	if err != nil {
		return "", err
	}
	defer body.Close()
	var text bytes.Buffer
	_, err = stdcopy.StdCopy(&text, &text, body)
	return strings.TrimSpace(text.String()), err
}
