package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// maxLent bounds the packets that are lent: a larger payload is better shared than
// copied.
const maxLent = 4 << 10

// lending is how a decoder hands out a PUBLISH without allocating it.
type lending struct {
	on      bool
	out     bool    // the packet that was returned last is lent
	whole   []byte  // that packet as it came
	publish Publish // and decoded, its payload a part of whole
}

// Lend has [Decoder.Next], from now on or no more, return a PUBLISH in memory of
// the decoder if any receiver of the same version may get it as it came: with QoS
// 0, neither retained nor with an alias or other properties, and encoded in the
// shortest way. Such a packet and its payload are valid until the next call of
// Next, Fill or Release; [Decoder.Lent] tells that it is one.
func (d *Decoder) Lend(on bool) { d.lending.on = on }

// Lent returns the packet that Next has returned last as it came, and true, if
// it is lent. It is valid as long as the packet is.
func (d *Decoder) Lent() (whole []byte, ok bool) { return d.lending.whole, d.lending.out }

// lends reports whether a PUBLISH is lent, the cursor being behind its topic.
func (d *Decoder) lends(c *cursor, topic []byte, flags byte) bool {
	if !d.lending.on || flags != 0 || len(topic) == 0 || len(c.buf) > maxLent {
		return false
	}
	if d.version == mqtt.V5 && (c.left() == 0 || c.buf[c.pos] != 0) {
		return false // it has properties
	}
	// The fixed header is what is before the topic and its length.
	head := c.pos - len(topic) - 2
	return !overlong(uint32(len(c.buf)-head), head-1) //nolint:gosec // at most the size of a packet
}

// lend makes the PUBLISH at hand, the cursor being behind its topic.
func (d *Decoder) lend(c *cursor, topic string) *Publish {
	l := &d.lending
	if d.version == mqtt.V5 {
		c.take(1) // the length of no properties
	}
	l.publish = Publish{}
	l.publish.Message.Topic, l.publish.Message.Payload = topic, c.rest()
	l.whole, l.out = c.buf, true
	return &l.publish
}
