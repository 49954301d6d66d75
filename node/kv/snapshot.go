package kv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// SnapshotVersion is the version of the encoding that [View.Append] writes.
const SnapshotVersion = 1

// ErrSnapshot says that a snapshot cannot be read.
var ErrSnapshot = errors.New("bad snapshot")

// View is the state as it was at one index, while the machine goes on.
type View struct {
	items   map[string]Item
	applied uint64
	digest  uint64
}

// View takes a picture of the state.
func (m *Machine) View() View { return View{maps.Clone(m.items), m.applied, m.digest} }

// Applied is the index of the last entry in the picture.
func (v View) Applied() uint64 { return v.applied }

// Encode writes the picture out, keys in order, so that equal states give equal bytes.
//
//	uvarint version, uvarint applied, 8 bytes digest, uvarint count,
//	and for each item: string key, string value, uvarint version
func (v View) Encode() []byte {
	dst := binary.AppendUvarint(nil, SnapshotVersion)
	dst = binary.AppendUvarint(dst, v.applied)
	dst = binary.LittleEndian.AppendUint64(dst, v.digest)
	dst = binary.AppendUvarint(dst, uint64(len(v.items)))
	for _, key := range slices.Sorted(maps.Keys(v.items)) {
		item := v.items[key]
		dst = appendString(dst, key)
		dst = appendString(dst, item.Value)
		dst = binary.AppendUvarint(dst, item.Version)
	}
	return dst
}

// Restore returns the machine that a snapshot describes. It computes the digest anew and refuses a
// snapshot that does not have it.
func Restore(data []byte) (*Machine, error) {
	d := decoder{data: data}
	if v := d.uvarint(); v != SnapshotVersion {
		return nil, fmt.Errorf("%w: version %d, this program reads %d", ErrSnapshot, v, SnapshotVersion)
	}
	m := New()
	m.applied = d.uvarint()
	if len(d.data) < 8 {
		return nil, fmt.Errorf("%w: too short", ErrSnapshot)
	}
	want := binary.LittleEndian.Uint64(d.data)
	d.data = d.data[8:]
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		key := d.string()
		m.set(key, Item{}, false, Item{Value: d.string(), Version: d.uvarint()})
	}
	if d.bad || len(d.data) > 0 {
		return nil, fmt.Errorf("%w: malformed", ErrSnapshot)
	}
	if m.digest != want {
		return nil, fmt.Errorf("%w: digest %016x, it should be %016x", ErrSnapshot, m.digest, want)
	}
	return m, nil
}
