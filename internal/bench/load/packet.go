package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Packet types, as the first half of the first byte.
const (
	connack = 2
	publish = 3
	puback  = 4
	pubrec  = 5
	pubrel  = 6
	pubcomp = 7
	suback  = 9

	disconnect = 14
)

// Packet is a packet that arrived.
type Packet struct {
	Type  byte
	Flags byte
	Body  []byte // after the fixed header
}

var errMalformed = errors.New("the broker sent a malformed packet")

// split hands the complete packets of data on and returns the rest.
func split(data []byte, handle func(Packet)) (rest []byte, err error) {
	for {
		length, n := binary.Uvarint(data[min(1, len(data)):min(5, len(data))])
		if n < 0 || n == 0 && len(data) >= 5 {
			return nil, errMalformed
		}
		if n == 0 || uint64(len(data)-1-n) < length {
			return data, nil
		}
		end := 1 + n + int(length)
		handle(Packet{Type: data[0] >> 4, Flags: data[0] & 15, Body: data[1+n : end]})
		data = data[end:]
	}
}

// ID is the packet identifier of an acknowledgement.
func (p Packet) ID() uint16 {
	if len(p.Body) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(p.Body)
}

// message takes a PUBLISH apart.
func (p Packet) message() (qos byte, id uint16, payload []byte, err error) {
	qos = p.Flags >> 1 & 3
	b := p.Body
	if len(b) < 2 {
		return 0, 0, nil, errMalformed
	}
	topic := int(binary.BigEndian.Uint16(b))
	after := 2 + topic
	if qos > 0 {
		after += 2
	}
	if len(b) < after {
		return 0, 0, nil, errMalformed
	}
	if qos > 0 {
		id = binary.BigEndian.Uint16(b[after-2:])
	}
	return qos, id, b[after:], nil
}

func packet(first byte, body []byte) []byte {
	out := binary.AppendUvarint([]byte{first}, uint64(len(body)))
	return append(out, body...)
}

func text(dst []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// Connect encodes a CONNECT of MQTT 3.1.1. Without clean, the session stays.
// user and password are left out if user is empty.
func Connect(id string, clean bool, user, password string) []byte {
	const keepAlive = 600 // seconds
	body := text(nil, "MQTT")
	var flags byte
	if clean {
		flags |= 2
	}
	if user != "" {
		flags |= 0xC0
	}
	body = append(body, 4, flags, keepAlive>>8, keepAlive&0xFF)
	body = text(body, id)
	if user != "" {
		body = text(text(body, user), password)
	}
	return packet(0x10, body)
}

// Subscribe encodes a SUBSCRIBE.
func Subscribe(id uint16, qos byte, filters ...string) []byte {
	body := binary.BigEndian.AppendUint16(nil, id)
	for _, f := range filters {
		body = append(text(body, f), qos)
	}
	return packet(0x82, body)
}

// Publish encodes a PUBLISH; id counts for QoS 1 and 2 only.
func Publish(topic string, qos byte, retain bool, id uint16, payload []byte) []byte {
	first := byte(0x30) | qos<<1
	if retain {
		first |= 1
	}
	body := text(nil, topic)
	if qos > 0 {
		body = binary.BigEndian.AppendUint16(body, id)
	}
	return packet(first, append(body, payload...))
}

// accepted checks a CONNACK.
func accepted(p Packet) error {
	if p.Type != connack || len(p.Body) < 2 || p.Body[1] != 0 {
		return fmt.Errorf("the broker refused a connection: %x %x", p.Type, p.Body)
	}
	return nil
}
