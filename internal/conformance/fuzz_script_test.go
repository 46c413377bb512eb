package conformance_test

import (
	"bytes"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// The steps of a script, each one byte modulo their number, and what follows.
const (
	opConnect     byte = iota // open a connection, send CONNECT
	opSubscribe               // SUBSCRIBE
	opUnsubscribe             // UNSUBSCRIBE
	opPublish                 // PUBLISH
	opAck                     // one of the four acknowledgements
	opPing                    // PINGREQ
	opDisconnect              // DISCONNECT
	opAuth                    // AUTH
	opRaw                     // two bytes of length, and bytes as they are
	opMutate                  // the last bytes again, changed
	opDrop                    // close the connection
	opSwitch                  // go on with another connection
	opOpen                    // open a connection, send nothing
	numOps
)

// script reads decisions from bytes; at the end all of them are zero.
type script struct {
	text []byte
	at   int
}

func (s *script) byte() byte {
	if s.at >= len(s.text) {
		return 0
	}
	s.at++
	return s.text[s.at-1]
}

func (s *script) yes() bool       { return s.byte()&1 == 1 }
func (s *script) below(n int) int { return int(s.byte()) % n }
func (s *script) take(n int) []byte {
	b := s.text[s.at:min(s.at+n, len(s.text))]
	s.at += len(b)
	return b
}

func pick[T any](s *script, from []T) T { return from[s.below(len(from))] }

// What scripts speak of is little, so that clients have something in common.
var (
	fuzzIDs     = []string{"one", "two", "three", "", "+", "a client with a longer name"}
	fuzzTopics  = []string{"a", "a/b", "a/b/c", "", "$x", "$SYS/x", "a/+", "/", "ü/b"}
	fuzzFilters = []string{"a", "a/#", "+/b", "#", "$share/g/a/#", "$share/h/+/b", "", "a/#/b", "$SYS/#", "$x", "$share/g"}
	fuzzNumbers = []uint32{0, 1, 2, 60, 0xFFFF, 0xFFFFFFFE, 0xFFFFFFFF}
)

func (s *script) play(st *stage) {
	const mostParties = 6
	first := len(st.parties)
	for s.at < len(s.text) {
		op := s.byte() % numOps
		if op == opConnect || op == opOpen || len(st.parties) == first {
			if len(st.parties)-first == mostParties {
				continue
			}
			v := pick(s, versions)
			var p *packet.Connect
			if op == opConnect {
				p = s.connect(v)
			}
			st.connect(v, p).verbatim = p != nil
			continue
		}
		switch op {
		case opRaw:
			n := int(s.byte())<<8 | int(s.byte())
			st.say(st.current, s.take(n))
		case opMutate:
			st.say(st.current, s.mutate(st.lastSaid))
		case opDrop:
			_ = st.current.nc.Close()
		case opSwitch:
			st.current = st.parties[first+s.below(len(st.parties)-first)]
		default:
			st.send(st.current, s.packet(op))
		}
	}
}

func (s *script) packet(op byte) packet.Packet {
	switch op {
	case opSubscribe:
		return s.subscribe()
	case opUnsubscribe:
		p := &packet.Unsubscribe{ID: s.id(), User: s.user()}
		for range 1 + s.below(4) {
			p.Filters = append(p.Filters, pick(s, fuzzFilters))
		}
		return p
	case opPublish:
		return s.publish()
	case opAck:
		kind := packet.PUBACK + packet.Type(s.below(4))
		return &packet.Ack{Kind: kind, ID: s.id(), Code: pick(s, []mqtt.ReasonCode{0, 0, 0x10, 0x80, 0x92})}
	case opDisconnect:
		return &packet.Disconnect{
			Code: pick(s, []mqtt.ReasonCode{0, 4, 0x80}), HasSessionExpiry: s.yes(), SessionExpiry: pick(s, fuzzNumbers),
		}
	case opAuth:
		return &packet.Auth{Code: pick(s, []mqtt.ReasonCode{0x18, 0x19}), Method: "m"}
	default:
		return &packet.Pingreq{}
	}
}

// id is small, as those of the broker are, and sometimes illegal.
func (s *script) id() uint16 { return uint16(s.below(8)) }

func (s *script) connect(v mqtt.Version) *packet.Connect {
	flags := s.byte()
	p := &packet.Connect{
		Version: v, ClientID: pick(s, fuzzIDs), CleanStart: flags&1 != 0, KeepAlive: 300 * uint16(flags&2),
		RequestProblemInfo: flags&4 != 0, RequestResponseInfo: flags&8 != 0,
		HasSessionExpiry: flags&16 != 0, SessionExpiry: pick(s, fuzzNumbers),
		HasUsername: flags&32 != 0, Username: "user", User: s.user(),
	}
	if flags&64 != 0 {
		p.Will = &packet.Will{
			Topic: pick(s, fuzzTopics), Payload: []byte("will"), QoS: mqtt.QoS(s.below(3)), Retain: s.yes(),
			Delay: pick(s, fuzzNumbers), Properties: s.properties(),
		}
	}
	if flags&128 != 0 {
		p.ReceiveMaximum, p.TopicAliasMaximum, p.MaximumPacketSize = uint16(s.below(4)), uint16(s.below(4)), uint32(s.byte())
	}
	return p
}

func (s *script) subscribe() *packet.Subscribe {
	p := &packet.Subscribe{ID: s.id(), SubscriptionID: uint32(s.below(3)), User: s.user()}
	for range 1 + s.below(4) {
		o := s.byte()
		p.Subscriptions = append(p.Subscriptions, mqtt.Subscription{
			Filter: pick(s, fuzzFilters), QoS: mqtt.QoS(o % 3), NoLocal: o&4 != 0, RetainAsPublished: o&8 != 0,
			RetainHandling: mqtt.RetainHandling(o >> 4 % 3),
		})
	}
	return p
}

func (s *script) publish() *packet.Publish {
	o := s.byte()
	p := &packet.Publish{
		ID: s.id(), Dup: o&4 != 0, HasAlias: o&8 != 0, Alias: uint16(o >> 4 & 3),
		Message: mqtt.Message{Topic: pick(s, fuzzTopics), QoS: mqtt.QoS(o % 3), Retain: o&64 != 0, Properties: s.properties()},
	}
	p.Message.Payload = bytes.Repeat([]byte{'x'}, s.below(2)*s.below(200))
	return p
}

func (s *script) properties() *mqtt.Properties {
	flags := s.byte()
	if flags == 0 {
		return nil
	}
	p := &mqtt.Properties{HasPayloadFormat: flags&1 != 0, PayloadIsUTF8: flags&2 != 0, HasExpiry: flags&4 != 0}
	if p.HasExpiry {
		p.Expiry = pick(s, fuzzNumbers)
	}
	if flags&8 != 0 {
		p.ResponseTopic, p.CorrelationData = pick(s, fuzzTopics), []byte{}
	}
	if flags&16 != 0 {
		p.User = s.user()
	}
	return p
}

func (s *script) user() []mqtt.UserProperty {
	return make([]mqtt.UserProperty, s.below(8)*s.below(2))
}

// longestMutant is more than the broker takes, and keeps a script that says
// what it said twice, again and again, from growing without bounds.
const longestMutant = 8 << 10

// mutate changes one byte of b, leaves some out, or says some twice.
func (s *script) mutate(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	b = bytes.Clone(b)
	at := s.below(len(b))
	switch s.below(4) {
	case 0:
		b[at] = s.byte()
	case 1:
		b[at] ^= 1 << s.below(8)
	case 2:
		b = append(b[:at], b[min(len(b), at+s.below(4)):]...)
	default:
		b = append(b, b[at:]...)
	}
	return b[:min(len(b), longestMutant)]
}

// scripts are seeds that go through much of the broker; fuzzing varies them.
var scripts = []string{
	// Two clients of MQTT 5; the one subscribes, the other publishes to it.
	`00 00 02 01 00 00 00 01 01 00 00 00 00 01 01 00 02 01 01 00 00 00 03 01 02 01 01 05 03 02 03 00 00`,
	// A will with delay, a session that stays, a takeover, a drop.
	`02 00 02 5d 00 02 00 00 01 02 01 01 00 00 02 10 00 03 00 00 00 0a 00 02 10 00 03 00 00 05`,
	// The first again, among hooks.
	`08 00 02 01 00 00 00 01 01 00 00 00 00 01 01 00 02 01 01 00 00 00 03 01 02 01 01 05 03 02 03 00 00`,
	// Retained messages, acknowledgements, a refusal.
	`05 00 01 01 00 00 00 03 41 01 01 00 01 09 01 01 01 00 00 00 01 04 00 01 00 04 01 01 03 06 00 00`,
}
