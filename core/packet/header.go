package packet

import "github.com/gatehouse-mqtt/gatehouse/core/mqtt"

// The packets that only one side sends.
var (
	clientOnly = in(CONNECT, SUBSCRIBE, UNSUBSCRIBE, PINGREQ)
	serverOnly = in(CONNACK, SUBACK, UNSUBACK, PINGRESP)
)

// checkFirstByte refuses what can be refused by type and flags alone, so that
// a peer which speaks something else is not listened to any longer.
func (d *Decoder) checkFirstByte(c *cursor, t Type, flags byte) {
	wrongSide := serverOnly
	if d.fromServer {
		wrongSide = clientOnly
	}
	switch {
	case t == 0:
		c.malformed("reserved packet type")
	case !d.connected && t != CONNECT:
		c.illegal("the first packet must be CONNECT")
	case d.connected && t == CONNECT && !d.fromServer:
		c.illegal("second CONNECT") // [MQTT-3.1.0-2]
	case t == AUTH && d.version != mqtt.V5:
		c.malformed("reserved packet type")
	case wrongSide&(1<<t) != 0:
		c.illegal("this side does not send such packets")
	case t == DISCONNECT && d.fromServer && d.version != mqtt.V5:
		c.illegal("this side does not send such packets")
	case t == PUBLISH:
		d.checkPublishFlags(c, flags)
	case flags != d.wantFlags(t, flags):
		c.malformed("reserved flags in the fixed header") // [MQTT-2.1.3-1]
	}
}

// wantFlags is what the flags of a packet that is not PUBLISH must be. MQTT
// 3.1 has the DUP flag in those packets, too, that are acknowledged.
func (d *Decoder) wantFlags(t Type, flags byte) byte {
	const dup = 0x08
	switch t {
	case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
		if d.version == mqtt.V31 {
			return 0x02 | flags&dup
		}
		return 0x02
	default:
		return 0
	}
}

func (d *Decoder) checkPublishFlags(c *cursor, flags byte) {
	qos, dup := mqtt.QoS(flags>>1&3), flags&0x08 != 0
	switch {
	case !qos.Valid():
		c.malformed("QoS 3") // [MQTT-3.3.1-4]
	case dup && qos == 0 && d.version != mqtt.V31:
		c.malformed("DUP with QoS 0") // [MQTT-3.3.1-2]
	}
}
