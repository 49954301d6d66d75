package workloads

import (
	"math/rand/v2"
	"strconv"
	"strings"
)

// Load shapes what clients do. Zero fields are what the workload does by itself.
type Load struct {
	// Keys is how many objects are in use at once.
	Keys int
	// Skew makes some keys hot: their shares follow Zipf's law with this exponent, larger than 1.
	// Zero uses all alike.
	Skew float64
	// Reads is the share of operations that read, above 0 and below 1.
	Reads float64
	// ValueBytes is the size of the largest value, for workloads whose values can be padded. Half
	// of the values have it, the others are smaller: each size is half of the next.
	ValueBytes int
}

func (l Load) keys(own int) int {
	if l.Keys > 0 {
		return l.Keys
	}
	return own
}

func (l Load) reads(own float64) float64 {
	if l.Reads > 0 {
		return l.Reads
	}
	return own
}

// picker draws one of n.
func (l Load) picker(rng *rand.Rand, n int) func() int {
	if l.Skew <= 1 || n < 2 {
		return func() int { return rng.IntN(n) }
	}
	zipf := rand.NewZipf(rng, l.Skew, 1, uint64(n-1))
	return func() int { return int(zipf.Uint64()) }
}

// sizes draws the sizes of values, as powers of two; 0 for a value that is not padded.
func (l Load) sizes(rng *rand.Rand) func() int {
	largest := 0
	for 2<<largest <= l.ValueBytes {
		largest++
	}
	if largest == 0 {
		return func() int { return 0 }
	}
	return func() int {
		size := largest
		for size > 1 && rng.IntN(2) == 0 {
			size--
		}
		return size
	}
}

// The size of a padded value is part of the value, so that whoever compares or reads one knows the
// whole text without being told. Such values begin where others never come, and rise as they do.
const (
	sizedFrom  = 1 << 50
	sizedSpan  = 32
	sizedUntil = 1 << 53
)

// sized is the n-th value, padded to 2^size bytes, or not if size is 0.
func sized(n int64, size int) int64 {
	if size == 0 {
		return n
	}
	return sizedFrom + n*sizedSpan + int64(size)
}

// padded is the text of a value as it is stored: with blanks behind it, which JSON does not heed.
func padded(text string) string {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < sizedFrom || n >= sizedUntil {
		return text
	}
	size := 1 << (n % sizedSpan)
	return text + strings.Repeat(" ", max(0, size-len(text)))
}
