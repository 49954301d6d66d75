package kv

import (
	"hash/crc32"
	"unsafe"
)

// Digest sums up the whole state, sessions included: equal states have equal digests, in whatever
// order they came about, and unequal ones differ with all but a chance of 2⁻⁶⁴ as far as accidents
// go. It is kept up to date with each change, so asking costs nothing.
//
// It is a hash of a multiset (Clarke et al., "Incremental Multiset Hash Functions", ASIACRYPT 2003,
// the additive kind) over key, version and value. It guards against bugs, not against an adversary.
func (m *Machine) Digest() uint64 { return m.digest }

// itemHash takes the two CRCs that processors compute in hardware, which are independent of each
// other, and mixes them with the version.
func itemHash(key string, item Item) uint64 {
	k, v := stringBytes(key), stringBytes(item.Value)
	a := crc32.Update(crc32.Checksum(k, castagnoli), castagnoli, v)
	b := crc32.Update(crc32.Checksum(k, crc32.IEEETable), crc32.IEEETable, v)
	h := mix(uint64(a)<<32 | uint64(b))
	h = mix(h ^ uint64(len(key))<<32 ^ uint64(len(item.Value)))
	return mix(h ^ item.Version*0x9e3779b97f4a7c15)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mix spreads each bit over all (the finisher of SplitMix64; Steele, Lea and Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// stringBytes looks at a string as bytes without copying; they must not be changed.
func stringBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
