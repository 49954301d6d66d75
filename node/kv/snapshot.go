package kv

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// SnapshotVersion is the version of the encoding that [View.WriteTo] writes.
const SnapshotVersion = 1

// ErrSnapshot says that a snapshot cannot be read.
var ErrSnapshot = errors.New("bad snapshot")

// View is the state as it was at one index, while the machine goes on. It may be read by another
// goroutine than the machine's.
type View struct {
	items    tree
	sessions []session
	applied  uint64
	digest   uint64
}

// View takes a picture of the state, at the cost of a copy of the sessions.
func (m *Machine) View() View {
	v := View{items: m.items.snapshot(), applied: m.applied, digest: m.digest}
	// From the one used the longest time ago, so that reading them back restores the order.
	for e := m.sessions.used.Back(); e != nil; e = e.Prev() {
		s := *e.Value.(*session)
		s.replies = slices.Clone(s.replies)
		v.sessions = append(v.sessions, s)
	}
	return v
}

// Applied is the index of the last entry in the picture.
func (v *View) Applied() uint64 { return v.applied }

// WriteTo writes the picture out, keys in order, so that equal states give equal bytes.
//
//	uvarint version, uvarint applied, 8 bytes digest,
//	uvarint number of items, and each: string key, string value, uvarint version
//	uvarint number of sessions, and each: uvarint id, last use, floor, number of replies,
//	  and each reply: uvarint seq, result
//	result: string code, 1 byte done and found, string value, uvarint version,
//	  uvarint number of steps, and each: result
func (v *View) WriteTo(w io.Writer) (int64, error) {
	c := &counter{w: w}
	b := bufio.NewWriterSize(c, 64<<10)
	head := binary.AppendUvarint(nil, SnapshotVersion)
	head = binary.AppendUvarint(head, v.applied)
	head = binary.LittleEndian.AppendUint64(head, v.digest)
	head = binary.AppendUvarint(head, uint64(v.items.size))
	buf := head
	for key, item := range v.items.from("") {
		buf = appendString(buf, key)
		buf = appendString(buf, item.Value)
		buf = binary.AppendUvarint(buf, item.Version)
		if _, err := b.Write(buf); err != nil {
			return c.n, err
		}
		buf = buf[:0]
	}
	buf = binary.AppendUvarint(buf, uint64(len(v.sessions)))
	for i := range v.sessions {
		buf = v.sessions[i].append(buf)
		if _, err := b.Write(buf); err != nil {
			return c.n, err
		}
		buf = buf[:0]
	}
	if _, err := b.Write(buf); err != nil {
		return c.n, err
	}
	return c.n, b.Flush()
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (s *session) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, s.id)
	dst = binary.AppendUvarint(dst, s.lastUse)
	dst = binary.AppendUvarint(dst, s.floor)
	dst = binary.AppendUvarint(dst, uint64(len(s.replies)))
	for _, r := range s.replies {
		dst = binary.AppendUvarint(dst, r.seq)
		dst = r.Append(dst)
	}
	return dst
}

// Append encodes a result behind dst; [DecodeResult] reads it back.
func (r *Result) Append(dst []byte) []byte {
	dst = appendString(dst, string(r.Code))
	var flags byte
	if r.Done {
		flags |= 1
	}
	if r.Found {
		flags |= 2
	}
	dst = append(dst, flags)
	dst = appendString(dst, r.Value)
	dst = binary.AppendUvarint(dst, r.Version)
	dst = binary.AppendUvarint(dst, uint64(len(r.Steps)))
	for i := range r.Steps {
		dst = r.Steps[i].Append(dst)
	}
	return dst
}

// Restore returns the machine that a snapshot describes. It computes the digest anew and refuses a
// snapshot that does not have it.
func Restore(r io.Reader) (*Machine, error) {
	d := source{r: bufio.NewReaderSize(r, 64<<10)}
	if v := d.uvarint(); d.err == nil && v != SnapshotVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", ErrSnapshot, v, SnapshotVersion)
	}
	m := New()
	m.applied = d.uvarint()
	want := d.fixed()
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		key := d.string(MaxKey)
		m.set(key, Item{}, false, Item{Value: d.string(MaxValue), Version: d.uvarint()})
	}
	m.sessions.byID = map[uint64]*session{}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		s := &session{id: d.uvarint(), lastUse: d.uvarint(), floor: d.uvarint()}
		for k := d.uvarint(); k > 0 && d.err == nil; k-- {
			s.replies = append(s.replies, reply{d.uvarint(), d.result(0)})
		}
		m.addSession(s)
		m.rehash(s)
	}
	if _, err := d.r.ReadByte(); d.err == nil && !errors.Is(err, io.EOF) {
		d.err = errors.New("something follows the end")
	}
	if d.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSnapshot, d.err)
	}
	if m.digest != want {
		return nil, fmt.Errorf("%w: digest %016x, it should be %016x", ErrSnapshot, m.digest, want)
	}
	return m, nil
}

// DecodeResult reads what [Result.Append] wrote.
func DecodeResult(data []byte) (Result, error) {
	d := decoder{data: data}
	r := d.result(0)
	if d.bad || len(d.data) > 0 {
		return Result{}, fmt.Errorf("%w: malformed result", ErrBadCommand)
	}
	return r, nil
}

func (d *decoder) result(depth int) Result {
	r := Result{Code: Code(d.string())}
	flags := d.byte()
	r.Done, r.Found = flags&1 != 0, flags&2 != 0
	r.Value, r.Version = d.string(), d.uvarint()
	n := d.count(4)
	if depth > 0 && n > 0 {
		d.bad = true
		return r
	}
	for range n {
		r.Steps = append(r.Steps, d.result(depth+1))
	}
	return r
}

// source reads the values of a snapshot; after the first error it yields zeros.
type source struct {
	r   *bufio.Reader
	err error
}

func (d *source) uvarint() uint64 {
	if d.err != nil {
		return 0
	}
	v, err := binary.ReadUvarint(d.r)
	d.fail(err)
	return v
}

func (d *source) fail(err error) {
	if err != nil && d.err == nil {
		d.err = fmt.Errorf("cut short: %w", err)
	}
}

func (d *source) fixed() uint64 {
	var b [8]byte
	if d.err == nil {
		_, err := io.ReadFull(d.r, b[:])
		d.fail(err)
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (d *source) string(limit uint64) string {
	n := d.uvarint()
	if d.err == nil && n > limit {
		d.err = fmt.Errorf("a string of %d bytes", n)
	}
	if d.err != nil {
		return ""
	}
	b := make([]byte, n)
	_, err := io.ReadFull(d.r, b)
	d.fail(err)
	return string(b)
}

func (d *source) result(depth int) Result {
	r := Result{Code: Code(d.string(64))}
	var flags [1]byte
	if d.err == nil {
		_, err := io.ReadFull(d.r, flags[:])
		d.fail(err)
	}
	r.Done, r.Found = flags[0]&1 != 0, flags[0]&2 != 0
	r.Value, r.Version = d.string(MaxValue), d.uvarint()
	n := d.uvarint()
	if d.err == nil && (n > MaxTxnSteps || depth > 0 && n > 0) {
		d.err = fmt.Errorf("a result of %d steps", n)
	}
	for ; n > 0 && d.err == nil; n-- {
		r.Steps = append(r.Steps, d.result(depth+1))
	}
	return r
}
