package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// flushEvery is how much of the run's time may pass until what was appended is handed to the
// operating system, so that it outlives the harness.
const flushEvery = time.Second

// Recorder writes a history to a file while it happens. It is owned by one goroutine: no two calls
// of its methods may overlap. The first error stays: after it nothing more is written.
//
//	Append ─► line ─► buffer ─► [zstd] ─► file
//	                    ▲
//	        Flush, each second of the run's time, Close
type Recorder struct {
	out     *bufio.Writer
	zst     *zstd.Encoder // nil if the file is not compressed
	file    *os.File      // nil if it is not ours
	next    int64
	line    []byte
	flushed time.Duration // time of the last operation that was flushed by itself
	err     error
}

// NewRecorder writes the header to w and returns the recorder for what follows. w stays the
// caller's, who closes it after [Recorder.Close].
func NewRecorder(w io.Writer, h Header) (*Recorder, error) {
	r := &Recorder{out: bufio.NewWriterSize(w, 1<<16)}
	line, err := appendHeader(nil, h)
	if err != nil {
		return nil, fmt.Errorf("write the header: %w", err)
	}
	r.put(line)
	return r, r.Flush()
}

// Create makes the file path, which must not exist, and writes the header. If path ends in ".zst"
// the file is compressed. The recorder closes the file.
func Create(path string, h Header) (*Recorder, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	var w io.Writer = f
	var zst *zstd.Encoder
	if strings.HasSuffix(path, ".zst") {
		zst, err = zstd.NewWriter(f, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		w = zst
	}
	r, err := NewRecorder(w, h)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r.file, r.zst = f, zst
	return r, r.Flush()
}

// Append writes op as the next line and gives it the next index, whatever op.Index says. It keeps
// nothing of op. An operation that could not be read back is refused, and nothing is written. What
// was observed before the run's clock was zero is written as if it had been then.
func (r *Recorder) Append(op Op) error {
	if r.err != nil {
		return r.err
	}
	op.Index = r.next
	if !op.Process.IsClient() {
		op.Time = max(op.Time, 0)
	}
	line, err := appendOp(r.line[:0], &op)
	if err != nil {
		return fmt.Errorf("operation %d: %w", op.Index, err)
	}
	r.line = line
	r.next++
	r.put(line)
	if op.Time-r.flushed >= flushEvery {
		r.flushed = op.Time
		return r.Flush()
	}
	return r.err
}

// Len is the number of operations appended.
func (r *Recorder) Len() int64 { return r.next }

// Flush hands what was appended to the operating system. [Recorder.Append] does so by itself when a
// second of the run's time has passed since it last did; the owner calls Flush when nothing has
// happened for a while.
func (r *Recorder) Flush() error {
	if r.err != nil {
		return r.err
	}
	r.err = r.out.Flush()
	if r.err == nil && r.zst != nil {
		r.err = r.zst.Flush()
	}
	return r.err
}

// Close marks the history complete, and brings it to the disk. A history whose recorder was not
// closed can still be judged.
func (r *Recorder) Close() error {
	if r.err == nil {
		line := append(r.line[:0], `{"complete":true,"ops":`...)
		line = strconv.AppendInt(line, r.next, 10)
		r.put(append(line, "}\n"...))
	}
	return r.Abandon()
}

// Abandon brings the history to the disk and does not mark it complete.
func (r *Recorder) Abandon() error {
	err := r.Flush()
	if r.err == nil {
		r.err = errors.New("the history is closed")
	}
	if r.zst != nil {
		err = errors.Join(err, r.zst.Close())
	}
	if r.file != nil {
		err = errors.Join(err, r.file.Sync(), r.file.Close())
	}
	return err
}

func (r *Recorder) put(line []byte) {
	if r.err == nil {
		_, r.err = r.out.Write(line)
	}
}

// appendHeader appends the header's line. A header is written once, so encoding/json will do.
func appendHeader(b []byte, h Header) ([]byte, error) {
	h.Format, h.Version = Format, Version
	raw, err := json.Marshal(h)
	if err != nil {
		return b, err
	}
	known := headerFields()
	b = append(b, raw[:len(raw)-1]...)
	if b, err = appendExtra(b, h.Extra, func(name string) bool { return known[name] }); err != nil {
		return b, err
	}
	if len(b) > MaxLine-2 {
		return b, fmt.Errorf("a header of %d bytes is too long", len(b))
	}
	return append(b, "}\n"...), nil
}

// headerFields are the names of the fields of a header that this version knows.
func headerFields() map[string]bool {
	known := map[string]bool{}
	t := reflect.TypeFor[Header]()
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		known[name] = true
	}
	return known
}
