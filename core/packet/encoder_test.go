package packet_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

var explained = []mqtt.UserProperty{{Key: "why", Value: strings.Repeat("u", 50)}}

// What only explains is left out when it does not fit, the user properties
// first, and never makes an answer fail.
func TestExplanationsMakeRoom(t *testing.T) {
	reason := strings.Repeat("r", 50)
	for _, tt := range []struct {
		p    packet.Packet
		bare packet.Packet // without user properties
		none packet.Packet // nor reason
	}{
		{
			&packet.Ack{Kind: packet.PUBACK, ID: 1, Code: mqtt.QuotaExceeded, Reason: reason, User: explained},
			&packet.Ack{Kind: packet.PUBACK, ID: 1, Code: mqtt.QuotaExceeded, Reason: reason},
			&packet.Ack{Kind: packet.PUBACK, ID: 1, Code: mqtt.QuotaExceeded},
		},
		{
			&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized}, Reason: reason, User: explained},
			&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized}, Reason: reason},
			&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.NotAuthorized}},
		},
		{
			&packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.Success}, Reason: reason, User: explained},
			&packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.Success}, Reason: reason},
			&packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.Success}},
		},
		{
			&packet.Connack{Code: mqtt.Banned, Reason: reason, User: explained, AssignedClientID: "id"},
			&packet.Connack{Code: mqtt.Banned, Reason: reason, AssignedClientID: "id"},
			&packet.Connack{Code: mqtt.Banned, AssignedClientID: "id"},
		},
		{
			&packet.Disconnect{Code: mqtt.ServerMoved, Reason: reason, User: explained, ServerReference: "b"},
			&packet.Disconnect{Code: mqtt.ServerMoved, Reason: reason, ServerReference: "b"},
			&packet.Disconnect{Code: mqtt.ServerMoved, ServerReference: "b"},
		},
		{
			&packet.Auth{Code: mqtt.ContinueAuthentication, Method: "m", Reason: reason, User: explained},
			&packet.Auth{Code: mqtt.ContinueAuthentication, Method: "m", Reason: reason},
			&packet.Auth{Code: mqtt.ContinueAuthentication, Method: "m"},
		},
	} {
		t.Run(tt.p.Type().String(), func(t *testing.T) {
			size := func(p packet.Packet) int { return len(encoded(t, packet.Encoder{Version: mqtt.V5}, p)) }
			for _, step := range []struct {
				max  int
				want packet.Packet
			}{
				{size(tt.p), tt.p},
				{size(tt.p) - 1, tt.bare},
				{size(tt.bare), tt.bare},
				{size(tt.bare) - 1, tt.none},
				{size(tt.none), tt.none},
			} {
				e := packet.Encoder{Version: mqtt.V5, MaxPacketSize: uint32(step.max)}
				got := decodeOne(t, packet.NewClientDecoder(mqtt.V5, 0), encoded(t, e, tt.p))
				if diff := cmp.Diff(step.want, got); diff != "" {
					t.Errorf("in %d bytes (-want +got):\n%s", step.max, diff)
				}
			}
			e := packet.Encoder{Version: mqtt.V5, MaxPacketSize: uint32(size(tt.none) - 1)}
			dst := []byte("before")
			if got, err := e.Append(dst, tt.p); !errors.Is(err, packet.ErrTooLarge) || !bytes.Equal(got, dst) {
				t.Errorf("in too little: %q, %v, want %q and ErrTooLarge", got, err, dst)
			}
		})
	}
}

func encoded(tb testing.TB, e packet.Encoder, p packet.Packet) []byte {
	tb.Helper()
	b, err := e.Append(nil, p)
	if err != nil {
		tb.Fatalf("%+v: %v", p, err)
	}
	return b
}

// [MQTT-3.1.2-29]: CONNACK, DISCONNECT and PUBLISH may explain themselves to
// everybody, the others only to who asked.
func TestNoProblemInfo(t *testing.T) {
	e := packet.Encoder{Version: mqtt.V5, NoProblemInfo: true}
	user := []mqtt.UserProperty{{Key: "k", Value: "v"}}
	for _, tt := range []struct {
		p, want packet.Packet
	}{
		{&packet.Ack{Kind: packet.PUBREC, ID: 1, Reason: "r", User: user}, &packet.Ack{Kind: packet.PUBREC, ID: 1}},
		{
			&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}, Reason: "r", User: user},
			&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}},
		},
		{
			&packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{0}, Reason: "r", User: user},
			&packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{0}},
		},
		{
			&packet.Auth{Code: mqtt.ContinueAuthentication, Method: "m", Reason: "r", User: user},
			&packet.Auth{Code: mqtt.ContinueAuthentication, Method: "m"},
		},
		{&packet.Connack{Reason: "r", User: user}, &packet.Connack{Reason: "r", User: user}},
		{&packet.Disconnect{Reason: "r", User: user}, &packet.Disconnect{Reason: "r", User: user}},
		{
			publish(mqtt.Message{Topic: "t", Properties: &mqtt.Properties{User: user}}),
			publish(mqtt.Message{Topic: "t", Properties: &mqtt.Properties{User: user}}),
		},
	} {
		got := decodeOne(t, packet.NewClientDecoder(mqtt.V5, 0), encoded(t, e, tt.p))
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tt.p.Type(), diff)
		}
	}
}

// What MQTT 3 has no form for is translated, left out, or refused.
func TestForMQTT3(t *testing.T) {
	user := []mqtt.UserProperty{{Key: "k", Value: "v"}}
	for _, tt := range []struct {
		name string
		p    packet.Packet
		want string
	}{
		{"connack busy", &packet.Connack{Code: mqtt.ServerBusy, Reason: "r", ReceiveMaximum: 5}, `20 02 00 03`},
		{"connack banned", &packet.Connack{Code: mqtt.Banned, SessionPresent: true}, `20 02 00 05`},
		{"connack level", &packet.Connack{Code: mqtt.UnsupportedProtocolVersion}, `20 02 00 01`},
		{"puback", &packet.Ack{Kind: packet.PUBACK, ID: 1, Code: mqtt.QuotaExceeded, Reason: "r"}, `40 02 0001`},
		{
			"suback", &packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{1, mqtt.NotAuthorized, mqtt.TopicFilterInvalid}},
			`90 ( 0001 01 80 80 )`,
		},
		{"unsuback", &packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.NoSubscriptionExisted}}, `b0 02 0001`},
		{"disconnect", &packet.Disconnect{Code: mqtt.ServerShuttingDown, Reason: "r"}, `e0 00`},
		{"subscribe", &packet.Subscribe{ID: 1, SubscriptionID: 3, User: user, Subscriptions: []mqtt.Subscription{
			{Filter: "a", QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
		}}, `82 ( 0001 "a" 01 )`},
		{"unsubscribe", &packet.Unsubscribe{ID: 1, Filters: []string{"a"}, User: user}, `a2 ( 0001 "a" )`},
		{"publish", &packet.Publish{
			Message: mqtt.Message{Topic: "a", Properties: &mqtt.Properties{ContentType: "t", User: user}},
			Alias:   1, HasAlias: true, SubscriptionIDs: []uint32{1},
		}, `30 ( "a" )`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, v := range v3v4 {
				got := encoded(t, packet.Encoder{Version: v}, tt.p)
				if want := wire(tt.want); !bytes.Equal(got, want) {
					t.Errorf("%v: % x, want % x", v, got, want)
				}
			}
		})
	}
	for _, p := range []packet.Packet{
		&packet.Auth{Code: mqtt.ContinueAuthentication, Method: "m"},
		&packet.Connack{Code: mqtt.MalformedPacket},
		&packet.Connack{Code: mqtt.ProtocolError},
	} {
		e := packet.Encoder{Version: mqtt.V311}
		if _, err := e.Append(nil, p); !errors.Is(err, packet.ErrNotInVersion) {
			t.Errorf("%+v: %v, want ErrNotInVersion", p, err)
		}
	}
}

func TestAppendPublish(t *testing.T) {
	m := &mqtt.Message{
		Topic: "a/b", Payload: []byte("hi"), QoS: mqtt.ExactlyOnce, Retain: true,
		Properties: &mqtt.Properties{Expiry: 100, HasExpiry: true},
	}
	for _, tt := range []struct {
		name string
		v    mqtt.Version
		h    packet.PublishHeader
		want string
	}{
		{"the header's flags, not the message's", mqtt.V311, packet.PublishHeader{}, `30 ( "a/b" 'hi' )`},
		{
			"QoS 1, DUP, RETAIN", mqtt.V311,
			packet.PublishHeader{QoS: 1, ID: 7, Dup: true, Retain: true},
			`3b ( "a/b" 0007 'hi' )`,
		},
		{"no DUP with QoS 0", mqtt.V311, packet.PublishHeader{Dup: true}, `30 ( "a/b" 'hi' )`},
		{
			"what is left of the expiry", mqtt.V5,
			packet.PublishHeader{Expiry: 40},
			`30 ( "a/b" ( 02 00000028 ) 'hi' )`,
		},
		{"nothing is left", mqtt.V5, packet.PublishHeader{}, `30 ( "a/b" ( 02 00000000 ) 'hi' )`},
		{"alias with topic", mqtt.V5, packet.PublishHeader{Alias: 3}, `30 ( "a/b" ( 23 0003 02 00000000 ) 'hi' )`},
		{
			"alias for topic", mqtt.V5,
			packet.PublishHeader{Alias: 3, OmitTopic: true},
			`30 ( "" ( 23 0003 02 00000000 ) 'hi' )`,
		},
		{"alias before MQTT 5", mqtt.V311, packet.PublishHeader{Alias: 3, OmitTopic: true}, `30 ( "a/b" 'hi' )`},
		{
			"subscription identifiers", mqtt.V5,
			packet.PublishHeader{SubscriptionIDs: []uint32{5, 300}},
			`30 ( "a/b" ( 0b 05 0b ac02 02 00000000 ) 'hi' )`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := packet.Encoder{Version: tt.v}
			got, err := e.AppendPublish(nil, &tt.h, m)
			if err != nil {
				t.Fatal(err)
			}
			if want := wire(tt.want); !bytes.Equal(got, want) {
				t.Errorf("% x, want % x", got, want)
			}
		})
	}
}

func TestAppendPublishTooLarge(t *testing.T) {
	m := &mqtt.Message{Topic: "a/b", Payload: bytes.Repeat([]byte("x"), 200)}
	size := 3 + 2 + 3 + 1 + 200 // fixed header, topic, no properties, payload
	for _, tt := range []struct {
		max  int
		fits bool
	}{{0, true}, {size, true}, {size - 1, false}, {100, false}} {
		e := packet.Encoder{Version: mqtt.V5, MaxPacketSize: uint32(tt.max)}
		dst := []byte("before")
		got, err := e.AppendPublish(dst, &packet.PublishHeader{}, m)
		if tt.fits && (err != nil || len(got) != len(dst)+size) {
			t.Errorf("max %d: %d bytes, %v", tt.max, len(got), err)
		}
		if !tt.fits && (!errors.Is(err, packet.ErrTooLarge) || !bytes.Equal(got, dst)) {
			t.Errorf("max %d: %q, %v, want ErrTooLarge", tt.max, got, err)
		}
	}
	e := packet.Encoder{Version: mqtt.V5}
	m.Payload = make([]byte, 268_435_455)
	if _, err := e.AppendPublish(nil, &packet.PublishHeader{}, m); !errors.Is(err, packet.ErrTooLarge) {
		t.Errorf("more than the protocol can express: %v, want ErrTooLarge", err)
	}
}

// A packet that can't be written is an error and leaves no trace.
func TestUnencodable(t *testing.T) {
	long := strings.Repeat("x", 65536)
	sub := []mqtt.Subscription{{Filter: "a"}}
	for name, p := range map[string]packet.Packet{
		"client id too long":        plain(mqtt.V5, func(p *packet.Connect) { p.ClientID = long }),
		"password too long":         plain(mqtt.V5, func(p *packet.Connect) { p.Password, p.HasPassword = []byte(long), true }),
		"password without user":     plain(mqtt.V311, func(p *packet.Connect) { p.HasPassword = true }),
		"version":                   plain(6, nil),
		"will QoS":                  plain(mqtt.V5, func(p *packet.Connect) { p.Will = &packet.Will{Topic: "w", QoS: 3} }),
		"topic too long":            publish(mqtt.Message{Topic: long}),
		"QoS":                       publish(mqtt.Message{Topic: "a", QoS: 3}),
		"publish without id":        publish(mqtt.Message{Topic: "a", QoS: 1}),
		"user property":             publish(mqtt.Message{Topic: "a", Properties: &mqtt.Properties{User: []mqtt.UserProperty{{Key: long}}}}),
		"subscription id":           &packet.Publish{Message: mqtt.Message{Topic: "a"}, SubscriptionIDs: []uint32{1 << 28}},
		"ack without id":            &packet.Ack{Kind: packet.PUBACK},
		"ack of no kind":            &packet.Ack{Kind: packet.SUBACK, ID: 1},
		"subscribe without id":      &packet.Subscribe{Subscriptions: sub},
		"subscribe without filters": &packet.Subscribe{ID: 1},
		"subscribe QoS":             &packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "a", QoS: 3}}},
		"subscribe id":              &packet.Subscribe{ID: 1, Subscriptions: sub, SubscriptionID: 1 << 28},
		"unsubscribe":               &packet.Unsubscribe{ID: 1},
		"reason too long":           &packet.Disconnect{Reason: long},
		"suback without id":         &packet.Suback{Codes: []mqtt.ReasonCode{0}},
		"not ours":                  foreign{},
	} {
		e := packet.Encoder{Version: mqtt.V5}
		got, err := e.Append([]byte("before"), p)
		if err == nil || string(got) != "before" {
			t.Errorf("%s: %d bytes, error %v", name, len(got), err)
		}
	}
}

type foreign struct{}

func (foreign) Type() packet.Type { return packet.PINGREQ }

// The short way for an acknowledgement writes what the long one would.
func TestAppendAck(t *testing.T) {
	for _, v := range []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5} {
		for _, most := range []uint32{0, 3, 4} {
			e := packet.Encoder{Version: v, MaxPacketSize: most}
			for kind := packet.PUBLISH; kind <= packet.SUBSCRIBE; kind++ {
				for _, id := range []uint16{0, 1, 0x1234} {
					if kind == packet.PUBLISH || kind == packet.SUBSCRIBE {
						if _, err := e.AppendAck(nil, kind, id); err == nil {
							t.Errorf("%v is taken for an acknowledgement", kind)
						}
						continue
					}
					want, wantErr := e.Append([]byte{9}, &packet.Ack{Kind: kind, ID: id})
					got, err := e.AppendAck([]byte{9}, kind, id)
					if !bytes.Equal(got, want) || !errors.Is(err, wantErr) {
						t.Errorf("%v %v of %d, at most %d bytes: %x %v, want %x %v", v, kind, id, most, got, err, want, wantErr)
					}
				}
			}
		}
	}
}
