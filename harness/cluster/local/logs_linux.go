package local

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/raftcheck/raftcheck/harness/sut"
)

// nodeLog copies what a node writes into <id>.log as it writes it, across restarts. Each process
// has a pipe of its own, so that half a line of one that was killed is not taken for the beginning
// of a line of the next.
type nodeLog struct {
	tell func(line []byte) // told each whole line; nil for nobody

	mu    sync.Mutex // guards the fields below, and is held from a read to the end of its write
	file  *os.File   // nil if nobody wants the log, or after stop
	pipes map[*os.File]bool
	last  tail // the last words of the process that runs

	copying sync.WaitGroup
}

func openLog(dir string, id sut.NodeID, lines func(sut.NodeID, []byte)) (*nodeLog, error) {
	l := &nodeLog{pipes: map[*os.File]bool{}}
	if lines != nil {
		l.tell = func(line []byte) { lines(id, line) }
	}
	if dir == "" {
		return l, nil
	}
	var err error
	l.file, err = os.OpenFile(filepath.Join(dir, string(id)+".log"),
		os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	return l, err
}

// pipe makes the pipe of a process that is about to start. The end to write to is the caller's.
func (l *nodeLog) pipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.pipes[r] = true
	l.last.reset()
	l.mu.Unlock()
	l.copying.Go(func() { l.copy(r) })
	return w, nil
}

// copy copies whole lines until the pipe ends; of the last one the end is made up for.
func (l *nodeLog) copy(r *os.File) {
	defer r.Close()
	raw, err := r.SyscallConn()
	if err != nil {
		return
	}
	var rest []byte
	buf := make([]byte, 64<<10)
	for err == nil {
		rerr := raw.Read(func(fd uintptr) bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			var n int
			n, err = unix.Read(int(fd), buf)
			switch {
			case errors.Is(err, unix.EAGAIN):
				err = nil
				return false // wait until there is something
			case errors.Is(err, unix.EINTR):
				err = nil
			case err == nil && n == 0:
				err = io.EOF
			case err == nil:
				rest = l.write(append(rest, buf[:n]...))
			}
			return true
		})
		err = errors.Join(err, rerr)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(rest) > 0 {
		l.write(append(rest, '\n'))
	}
	delete(l.pipes, r)
}

// write writes the whole lines of data, and returns what is left of it. mu is held.
func (l *nodeLog) write(data []byte) []byte {
	end := bytes.LastIndexByte(data, '\n') + 1
	_, _ = l.last.Write(data[:end])
	if l.file != nil {
		// A log that can not be written is found out by Collect, which closes it.
		_, _ = l.file.Write(data[:end])
	}
	if l.tell != nil {
		for line := range bytes.Lines(data[:end]) {
			l.tell(bytes.TrimSuffix(line, []byte("\n")))
		}
	}
	return bytes.Clone(data[end:])
}

// drain returns when all that the node has written up to now is in the file.
func (l *nodeLog) drain() {
	for {
		l.mu.Lock()
		waits := false
		for r := range l.pipes {
			raw, err := r.SyscallConn()
			if err != nil {
				continue // it is closed
			}
			_ = raw.Control(func(fd uintptr) {
				n, err := unix.IoctlGetInt(int(fd), unix.TIOCINQ)
				waits = waits || err == nil && n > 0
			})
		}
		l.mu.Unlock()
		if !waits {
			return
		}
	}
}

// stop waits for the end of all pipes, whose writers must be gone, and closes the file.
func (l *nodeLog) stop() error {
	l.copying.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}

// reset forgets everything.
func (t *tail) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = nil
}
