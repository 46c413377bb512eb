package packet

// maxVarint is the largest value of a Variable Byte Integer, and so the
// largest Remaining Length.
const maxVarint = 268_435_455

// varint reads a Variable Byte Integer from the front of b and tells how many
// bytes it takes: 0 if b ends before it does, -1 if it does not end within
// four bytes (MQTT 5, section 1.5.5).
func varint(b []byte) (value uint32, n int) {
	for n < 4 {
		if n == len(b) {
			return 0, 0
		}
		value |= uint32(b[n]&0x7f) << (7 * n)
		n++
		if b[n-1] < 0x80 {
			return value, n
		}
	}
	return 0, -1
}

// overlong reports whether n bytes are more than value needs. MQTT 5 forbids
// that [MQTT-1.5.5-1]; before, nobody did, and some small clients always write
// a Remaining Length of the same width.
func overlong(value uint32, n int) bool { return n != varintSize(value) }

// varintSize is the number of bytes that v takes.
func varintSize(v uint32) int {
	switch {
	case v < 1<<7:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<21:
		return 3
	default:
		return 4
	}
}

// appendVarint appends v, which must not exceed maxVarint.
func appendVarint(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}
