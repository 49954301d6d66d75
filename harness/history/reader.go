package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// Reader reads a history line by line, without holding it in memory. It is owned by one goroutine.
type Reader struct {
	header   Header
	in       *bufio.Reader
	zst      *zstd.Decoder // nil if the file is not compressed
	file     *os.File      // nil if it is not ours
	dec      decoder
	long     []byte // a line that does not fit the buffer of in
	line     int    // number of the line read last
	next     int64
	complete bool
	err      error
}

// Open opens the history file path. The content says whether it is compressed, not the name. The
// caller closes the reader.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	r, err := NewReader(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", path, err), f.Close())
	}
	r.file = f
	return r, nil
}

// NewReader reads the header from in, which may be compressed.
func NewReader(in io.Reader) (*Reader, error) {
	r := &Reader{in: bufio.NewReaderSize(in, 1<<16)}
	magic, err := r.in.Peek(4)
	if len(magic) == 0 {
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, errEmpty()
	}
	if bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		r.zst, err = zstd.NewReader(r.in, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(64<<20), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		r.in = bufio.NewReaderSize(r.zst, 1<<16)
	}
	if err := r.readHeader(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close frees what the reader holds. It does not close what [NewReader] was given.
func (r *Reader) Close() error {
	if r.zst != nil {
		r.zst.Close()
	}
	if r.file != nil {
		return r.file.Close()
	}
	return nil
}

// Header is what the file says of its run.
func (r *Reader) Header() Header { return r.header }

// Complete says that the mark of the end was read: nothing is missing.
func (r *Reader) Complete() bool { return r.complete }

// Line is the number of the line read last, from 1.
func (r *Reader) Line() int { return r.line }

// Next is the next operation. At the end it gives [io.EOF], be the file complete or cut short; a
// half line at the end of a file is dropped. What is broken in the middle is a [*FormatError].
func (r *Reader) Next() (Op, error) {
	if r.err != nil {
		return Op{}, r.err
	}
	line, whole, err := r.readLine()
	if err != nil {
		r.err = err
		return Op{}, err
	}
	if bytes.HasPrefix(line, []byte(`{"complete"`)) {
		r.err = r.readMark(line, whole)
		return Op{}, r.err
	}
	op, err := r.dec.op(line)
	switch {
	case err != nil && !whole:
		r.err = io.EOF
	case err != nil:
		r.err = errCorrupt(r.line, "%v", err)
	case op.Index != r.next:
		r.err = errCorrupt(r.line, "index %d follows %d: operations are missing or out of order",
			op.Index, r.next-1)
	}
	if r.err != nil {
		return Op{}, r.err
	}
	r.next++
	return op, nil
}

// All gives the operations that are left. It ends after the first error, which comes with no
// operation; the end of the file is none.
func (r *Reader) All() iter.Seq2[Op, error] {
	return func(yield func(Op, error) bool) {
		for {
			op, err := r.Next()
			if errors.Is(err, io.EOF) || !yield(op, err) || err != nil {
				return
			}
		}
	}
}

func (r *Reader) readHeader() error {
	line, whole, err := r.readLine()
	if errors.Is(err, io.EOF) {
		return errEmpty()
	}
	if err != nil {
		return err
	}
	var h struct {
		Format  string `json:"format"`
		Version int    `json:"version"`
	}
	if err := json.Unmarshal(line, &h); err != nil {
		if !whole && bytes.HasPrefix(line, []byte(`{"format":"`+Format)) {
			return errNotHistory("the header is cut short")
		}
		return errNotHistory("the first line is no header")
	}
	if h.Format != Format {
		return errNotHistory("the first line is no header")
	}
	if h.Version != Version {
		return errVersion(h.Version)
	}
	if !utf8.Valid(line) {
		return errCorrupt(1, "%v", errUTF8)
	}
	if err := json.Unmarshal(line, &r.header); err != nil {
		return errCorrupt(1, "%v", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(line, &all); err != nil {
		return errCorrupt(1, "%v", err)
	}
	for name := range headerFields() {
		delete(all, name)
	}
	if len(all) > 0 {
		r.header.Extra = all
	}
	return nil
}

// readMark reads the line that ends a complete file. What it returns is the end of the file if all
// is well.
func (r *Reader) readMark(line []byte, whole bool) error {
	var mark struct {
		Complete bool  `json:"complete"`
		Ops      int64 `json:"ops"`
	}
	if err := json.Unmarshal(line, &mark); err != nil || !mark.Complete {
		if !whole {
			return io.EOF
		}
		return errCorrupt(r.line, "the mark of the end is not legible")
	}
	if mark.Ops != r.next {
		return errCorrupt(r.line, "the mark of the end counts %d operations, there are %d",
			mark.Ops, r.next)
	}
	if _, _, err := r.readLine(); err == nil {
		return errCorrupt(r.line, "there is more after the mark of the end")
	} else if !errors.Is(err, io.EOF) {
		return err
	}
	r.complete = true
	return io.EOF
}

// readLine reads a line, without its end. whole is false for a last line that has none. The line
// is valid until the next call.
func (r *Reader) readLine() (line []byte, whole bool, err error) {
	r.long = r.long[:0]
	for {
		part, err := r.in.ReadSlice('\n')
		if len(r.long)+len(part) > MaxLine {
			return nil, false, errCorrupt(r.line+1, "it is longer than %d MiB", MaxLine>>20)
		}
		if err == nil && len(r.long) == 0 {
			r.line++
			return part[:len(part)-1], true, nil
		}
		r.long = append(r.long, part...)
		switch {
		case err == nil:
			r.line++
			return r.long[:len(r.long)-1], true, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
			if len(r.long) == 0 {
				return nil, false, io.EOF
			}
			r.line++
			return r.long, false, nil
		case r.zst != nil:
			return nil, false, errCorrupt(r.line+1, "decompress: %v", err)
		default:
			return nil, false, fmt.Errorf("line %d: %w", r.line+1, err)
		}
	}
}

// Read reads a whole history, which may be compressed.
func Read(in io.Reader) (*History, error) {
	r, err := NewReader(in)
	if err != nil {
		return nil, err
	}
	return r.rest()
}

// ReadFile reads the whole history file path.
func ReadFile(path string) (*History, error) {
	r, err := Open(path)
	if err != nil {
		return nil, err
	}
	h, err := r.rest()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return h, nil
}

// sampleOps is after how many operations it is guessed how many there are in the file.
const sampleOps = 4096

// rest reads what is left and closes r.
func (r *Reader) rest() (*History, error) {
	h := &History{Header: r.Header()}
	for op, err := range r.All() {
		if err != nil {
			return nil, errors.Join(err, r.Close())
		}
		if len(h.Ops) == sampleOps {
			h.Ops = slices.Grow(h.Ops, r.guess())
		}
		h.Ops = append(h.Ops, op)
	}
	h.Complete = r.Complete()
	return h, r.Close()
}

// guess is about how many operations are left, so that a long history need not be moved in memory
// again and again. It is 0 if there is nothing to go by.
func (r *Reader) guess() int {
	if r.file == nil || r.zst != nil {
		return 0
	}
	info, err := r.file.Stat()
	if err != nil {
		return 0
	}
	at, err := r.file.Seek(0, io.SeekCurrent)
	if at -= int64(r.in.Buffered()); err != nil || at <= 0 {
		return 0
	}
	return int(float64(info.Size()) / float64(at) * sampleOps * 21 / 20)
}
