package vectors

import (
	"bytes"
	"fmt"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// direction is who sends a packet.
type direction string

const (
	toServer direction = "client to server"
	toClient direction = "server to client"
)

// directions returns who may send a packet of this type.
func directions(t packet.Type) []direction {
	switch t {
	case packet.CONNECT, packet.SUBSCRIBE, packet.UNSUBSCRIBE, packet.PINGREQ:
		return []direction{toServer}
	case packet.CONNACK, packet.SUBACK, packet.UNSUBACK, packet.PINGRESP:
		return []direction{toClient}
	default:
		return []direction{toServer, toClient}
	}
}

// decode reads one packet with our decoder. It is nil without an error if the
// bytes are not all of it. What is behind the packet is an error.
func decode(raw []byte, v mqtt.Version, d direction) (packet.Packet, error) {
	dec := packet.NewClientDecoder(v, 0)
	if d == toServer {
		dec = packet.NewDecoder(0)
		if packet.Type(raw[0]>>4) != packet.CONNECT {
			if err := connect(dec, v); err != nil {
				return nil, err
			}
		}
	}
	for in := bytes.NewReader(raw); in.Len() > 0; {
		if err := dec.Fill(in); err != nil {
			return nil, err
		}
	}
	p, err := dec.Next()
	if err == nil && p != nil && dec.Buffered() > 0 {
		return nil, fmt.Errorf("%d bytes are left over", dec.Buffered())
	}
	return p, err
}

// connect shows a decoder a CONNECT, which it wants to see first. Whatever a
// later packet needs is in there.
func connect(dec *packet.Decoder, v mqtt.Version) error {
	p := &packet.Connect{
		Version: v, CleanStart: true, ClientID: "vectors", ReceiveMaximum: 65_535, RequestProblemInfo: true,
	}
	if v == mqtt.V5 {
		p.SessionExpiry, p.HasSessionExpiry = 100, true
		p.AuthMethod, p.HasAuthMethod = "SHA-1", true
	}
	raw, err := (&packet.Encoder{Version: v}).Append(nil, p)
	if err != nil {
		return err
	}
	if err := dec.Fill(bytes.NewReader(raw)); err != nil {
		return err
	}
	_, err = dec.Next()
	return err
}

// decodeAny decodes a packet in whichever direction it is legal.
func decodeAny(raw []byte, v mqtt.Version) (p packet.Packet, err error) {
	for _, d := range directions(packet.Type(raw[0] >> 4)) {
		if p, err = decode(raw, v, d); err == nil && p != nil {
			return p, nil
		}
	}
	return p, err
}

// decodeNone returns the direction in which somebody would take these bytes
// for a packet, and that packet; nil if it is right in none.
func decodeNone(raw []byte, v mqtt.Version) (packet.Packet, direction) {
	for _, d := range directions(packet.Type(raw[0] >> 4)) {
		if p, err := decode(raw, v, d); err == nil && p != nil {
			return p, d
		}
	}
	return nil, ""
}

// difference says in what two packets differ; "" if they say the same. Those
// that we write as the same bytes do, and only the others are worth a long look.
func difference(v mqtt.Version, want, got packet.Packet) string {
	e := packet.Encoder{Version: v}
	a, err := e.Append(nil, want)
	if err == nil {
		if b, err := e.Append(nil, got); err == nil && bytes.Equal(a, b) {
			return ""
		}
	}
	return cmp.Diff(want, got, cmpopts.EquateEmpty())
}
