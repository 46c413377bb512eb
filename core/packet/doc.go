// Package packet is the codec for MQTT 3.1, 3.1.1 and 5: bytes in, packets
// out, and back.
//
// A [Decoder] turns the bytes of one connection into packets and is strict:
// whatever a specification calls malformed or a protocol error is answered by
// an [*Error] that carries the reason code to tell the peer. It knows which
// version the connection speaks, because it has seen the CONNECT packet, and
// it refuses packets that may not come first, twice, or from that side. An
// [Encoder] appends packets in the form of one version and leaves out what
// that version, or the receiver, does not want.
//
// The package has no goroutine, no log, no clock and no network, and it knows
// nothing about sessions. Three things of the protocol are checked elsewhere:
// the syntax of topic names and filters (package topic), what needs the state
// of a session (topic aliases in use, Receive Maximum, packet identifiers), and
// whether a payload is the UTF-8 that its Payload Format Indicator promises.
//
//	d := packet.NewDecoder(1 << 20)
//	for {
//		if err := d.Fill(conn); err != nil {
//			return err
//		}
//		for {
//			p, err := d.Next()
//			if err != nil {
//				return err // *packet.Error: its Code is for the peer
//			}
//			if p == nil {
//				break // read on
//			}
//			handle(p)
//		}
//		d.Release()
//	}
package packet
