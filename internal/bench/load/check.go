package load

import "encoding/binary"

// MinPayload is what the checks need of a payload: publisher, number, time.
const MinPayload = 20

// Check tells lost, repeated and late messages from those that came in order.
// The zero value expects number 0 first.
type Check struct {
	next    uint64
	missing uint64

	Received   uint64
	Duplicates uint64
	Disorder   uint64 // came after a later one
}

// Saw takes the number of a message that arrived.
func (c *Check) Saw(seq uint64) {
	switch {
	case seq == c.next:
		c.next++
	case seq > c.next:
		c.missing += seq - c.next
		c.next = seq + 1
	case c.missing > 0:
		c.missing--
		c.Disorder++
	default:
		c.Duplicates++
		return
	}
	c.Received++
}

// Lost counts what is missing of the first sent messages.
func (c *Check) Lost(sent uint64) uint64 { return c.missing + sent - c.next }

// SetNumber writes the number of a message into its payload, which has at least
// [MinPayload] bytes.
func SetNumber(payload []byte, n uint64) { binary.BigEndian.PutUint64(payload[4:], n) }

// Number reads it.
func Number(payload []byte) uint64 { return binary.BigEndian.Uint64(payload[4:]) }
