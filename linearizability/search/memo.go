package search

import "math/bits"

// memo is a set of states that lead nowhere, or are on the way. A state is known by 128 bits of
// hash; see Decide for what a collision would mean.
type memo struct {
	keys []sum // a zero is an empty place
	n    int
}

// sum is a hash.
type sum [2]uint64

// mix spreads x over two words, differently for each kind.
func mix(kind, x uint64) sum {
	h1, l1 := bits.Mul64(x^0x9e3779b97f4a7c15, kind*2+0xd6e8feb86659fd93)
	h2, l2 := bits.Mul64(x+0xa0761d6478bd642f, kind*2+0xe7037ed1a0b428db)
	return sum{final(h1 ^ l1 + kind), final(h2 ^ l2 - kind)}
}

func final(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func (s sum) plus(o sum) sum { return sum{s[0] + o[0], s[1] + o[1]} }

// chain hashes s together with two more words.
func (s sum) chain(a, b uint64) sum {
	h1, l1 := bits.Mul64(s[0]^a^0x8ebc6af09c88c6e3, s[1]^b^0x589965cc75374cc3)
	h2, l2 := bits.Mul64(s[0]+b^0x1d8e4e27c47d124f, s[1]+a^0xeb44accab455d165)
	return sum{final(h1 ^ l1 ^ a), final(h2 ^ l2 ^ b)}
}

// add adds s; false if it was there.
func (m *memo) add(s sum) bool {
	if s == (sum{}) {
		s[0] = 1
	}
	if 2*m.n >= len(m.keys) {
		m.grow()
	}
	if !m.put(s) {
		return false
	}
	m.n++
	return true
}

func (m *memo) put(s sum) bool {
	last := uint64(len(m.keys) - 1)
	for at := s[0] & last; ; at = (at + 1) & last {
		switch m.keys[at] {
		case s:
			return false
		case sum{}:
			m.keys[at] = s
			return true
		}
	}
}

func (m *memo) grow() {
	old := m.keys
	m.keys = make([]sum, max(1024, 2*len(old)))
	for _, s := range old {
		if s != (sum{}) {
			m.put(s)
		}
	}
}

// bytes is how much memory m takes.
func (m *memo) bytes() int64 { return 16 * int64(len(m.keys)) }
