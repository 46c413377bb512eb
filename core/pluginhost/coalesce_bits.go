package pluginhost

import "math/bits"

// frameBits says something of each item of a frame.
type frameBits [maxFrameItems / 64]uint64

// mark sets the bits from to to-1. It reports false, and sets none, if one of
// them is set.
func (b *frameBits) mark(from, to int) bool {
	var m frameBits
	for i := from; i < to; {
		end := min(to, i|63+1)
		m[i/64] = ^uint64(0) >> (64 - (end - i)) << (i % 64)
		if b[i/64]&m[i/64] != 0 {
			return false
		}
		i = end
	}
	for i := from / 64; i*64 < to; i++ {
		b[i] |= m[i]
	}
	return true
}

// all reports whether the first n bits are set and no others.
func (b *frameBits) all(n int) bool { return b.count() == n }

func (b *frameBits) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}

// gap returns the first bit that is not set.
func (b *frameBits) gap() int {
	for i, w := range b {
		if w != ^uint64(0) {
			return i*64 + bits.TrailingZeros64(^w)
		}
	}
	return len(b) * 64
}
