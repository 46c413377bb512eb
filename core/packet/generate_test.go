package packet_test

import (
	"math"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
)

// gen draws legal packets of version v. Fields that the version does not have
// stay zero.
type gen struct {
	t *rapid.T
	v mqtt.Version
}

var textGen = rapid.StringOfN(rapid.Rune().Filter(func(r rune) bool { return r != 0 }), 0, 200, -1)

func (g gen) text() string   { return textGen.Draw(g.t, "text") }
func (g gen) topic() string  { return "t" + g.text() }
func (g gen) bool() bool     { return rapid.Bool().Draw(g.t, "bool") }
func (g gen) uint32() uint32 { return rapid.Uint32().Draw(g.t, "uint32") }
func (g gen) uint16() uint16 { return rapid.Uint16().Draw(g.t, "uint16") }
func (g gen) id() uint16     { return rapid.Uint16Min(1).Draw(g.t, "id") }
func (g gen) subID() uint32  { return rapid.Uint32Range(1, 268_435_455).Draw(g.t, "subscription id") }

func (g gen) qos() mqtt.QoS { return mqtt.QoS(rapid.IntRange(0, 2).Draw(g.t, "qos")) }

// bytes draws binary data that is not nil.
func (g gen) bytes() []byte {
	return append([]byte{}, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(g.t, "bytes")...)
}

// payload draws bytes, nil if there are none.
func (g gen) payload() []byte { return append([]byte(nil), g.bytes()...) }

// user draws User Properties, nil if there are none, as there always are
// before MQTT 5.
func (g gen) user() []mqtt.UserProperty {
	var list []mqtt.UserProperty
	if g.v == mqtt.V5 {
		for range rapid.IntRange(0, 4).Draw(g.t, "user properties") {
			list = append(list, mqtt.UserProperty{Key: g.text(), Value: g.text()})
		}
	}
	return list
}

func (g gen) code(list ...mqtt.ReasonCode) mqtt.ReasonCode {
	return rapid.SampledFrom(list).Draw(g.t, "code")
}

func (g gen) properties() *mqtt.Properties {
	p := &mqtt.Properties{User: g.user()}
	if g.v != mqtt.V5 {
		return nil
	}
	if g.bool() {
		p.HasPayloadFormat, p.PayloadIsUTF8 = true, g.bool()
	}
	if g.bool() {
		p.HasExpiry, p.Expiry = true, g.uint32()
	}
	if g.bool() {
		p.ContentType = g.text()
		p.EmptyContentType = p.ContentType == ""
	}
	if g.bool() {
		p.ResponseTopic = g.text()
	}
	if g.bool() {
		p.CorrelationData = g.bytes()
	}
	if cmp.Equal(p, &mqtt.Properties{}) {
		return nil
	}
	return p
}

func (g gen) connect() *packet.Connect {
	p := &packet.Connect{
		Version: g.v, CleanStart: g.bool(), KeepAlive: g.uint16(), ClientID: g.topic(),
		ReceiveMaximum: math.MaxUint16, RequestProblemInfo: true, User: g.user(),
	}
	if g.v != mqtt.V5 {
		p.Bridge = g.bool()
	}
	if g.bool() {
		p.HasUsername, p.Username = true, g.text()
	}
	if g.bool() && (p.HasUsername || g.v == mqtt.V5) {
		p.HasPassword, p.Password = true, g.bytes()
	}
	if g.bool() {
		p.Will = &packet.Will{
			Topic: g.topic(), Payload: g.payload(), QoS: g.qos(), Retain: g.bool(), Properties: g.properties(),
		}
	}
	if g.v != mqtt.V5 {
		return p
	}
	if p.Will != nil {
		p.Will.Delay = g.uint32()
	}
	p.ReceiveMaximum = g.id()
	p.MaximumPacketSize = g.uint32()
	p.TopicAliasMaximum = g.uint16()
	p.RequestResponseInfo, p.RequestProblemInfo = g.bool(), g.bool()
	if g.bool() {
		p.HasSessionExpiry, p.SessionExpiry = true, g.uint32()
	}
	if g.bool() {
		p.HasAuthMethod, p.AuthMethod, p.AuthData = true, g.text(), g.bytes()
	}
	return p
}

func (g gen) connack() packet.Packet {
	if g.v != mqtt.V5 {
		p := &packet.Connack{Code: g.code(mqtt.Success, mqtt.UnsupportedProtocolVersion,
			mqtt.ClientIdentifierNotValid, mqtt.ServerUnavailable, mqtt.BadUserNameOrPassword, mqtt.NotAuthorized)}
		p.SessionPresent = p.Code == mqtt.Success && g.v == mqtt.V311 && g.bool()
		return p
	}
	p := &packet.Connack{
		Code:           g.code(mqtt.Success, mqtt.UnspecifiedError, mqtt.Banned, mqtt.ConnectionRateExceeded),
		ReceiveMaximum: g.uint16(), NoRetain: g.bool(), NoWildcard: g.bool(), NoSubscriptionIDs: g.bool(),
		NoShared: g.bool(), MaximumPacketSize: g.uint32(), AssignedClientID: g.text(), TopicAliasMaximum: g.uint16(),
		Reason: g.text(), User: g.user(), ResponseInfo: g.text(), ServerReference: g.text(), AuthMethod: g.text(),
	}
	p.SessionPresent = p.Code == mqtt.Success && g.bool()
	if g.bool() {
		p.HasSessionExpiry, p.SessionExpiry = true, g.uint32()
	}
	if g.bool() {
		p.HasMaximumQoS, p.MaximumQoS = true, mqtt.QoS(rapid.IntRange(0, 1).Draw(g.t, "maximum qos"))
	}
	if g.bool() {
		p.HasServerKeepAlive, p.ServerKeepAlive = true, g.uint16()
	}
	if g.bool() {
		p.AuthData = g.bytes()
	}
	return p
}

func (g gen) publish(fromServer bool) packet.Packet {
	p := &packet.Publish{Message: mqtt.Message{
		Topic: g.topic(), Payload: g.payload(), QoS: g.qos(), Retain: g.bool(), Properties: g.properties(),
	}}
	if p.Message.QoS > 0 {
		p.ID, p.Dup = g.id(), g.bool()
	}
	if g.v != mqtt.V5 {
		return p
	}
	if g.bool() {
		p.HasAlias, p.Alias = true, g.id()
		if g.bool() {
			p.Message.Topic = ""
		}
	}
	if fromServer {
		for range rapid.IntRange(0, 3).Draw(g.t, "subscription ids") {
			p.SubscriptionIDs = append(p.SubscriptionIDs, g.subID())
		}
	}
	return p
}

func (g gen) ack() packet.Packet {
	p := &packet.Ack{
		Kind: rapid.SampledFrom([]packet.Type{packet.PUBACK, packet.PUBREC, packet.PUBREL, packet.PUBCOMP}).Draw(g.t, "kind"),
		ID:   g.id(), User: g.user(),
	}
	switch {
	case g.v != mqtt.V5:
		return p
	case p.Kind == packet.PUBACK || p.Kind == packet.PUBREC:
		p.Code = g.code(mqtt.Success, mqtt.NoMatchingSubscribers, mqtt.UnspecifiedError, mqtt.PayloadFormatInvalid)
	default:
		p.Code = g.code(mqtt.Success, mqtt.PacketIdentifierNotFound)
	}
	p.Reason = g.text()
	return p
}

func (g gen) subscribe() packet.Packet {
	p := &packet.Subscribe{ID: g.id(), User: g.user()}
	if g.v == mqtt.V5 && g.bool() {
		p.SubscriptionID = g.subID()
	}
	for range rapid.IntRange(1, 4).Draw(g.t, "filters") {
		s := mqtt.Subscription{Filter: g.text(), QoS: g.qos(), ID: p.SubscriptionID}
		if g.v == mqtt.V5 {
			s.NoLocal, s.RetainAsPublished = g.bool(), g.bool()
			s.RetainHandling = mqtt.RetainHandling(rapid.IntRange(0, 2).Draw(g.t, "retain handling"))
		}
		p.Subscriptions = append(p.Subscriptions, s)
	}
	return p
}

func (g gen) suback() packet.Packet {
	p := &packet.Suback{ID: g.id(), User: g.user()}
	codes := []mqtt.ReasonCode{0, 1, 2, mqtt.UnspecifiedError}
	if g.v == mqtt.V5 {
		p.Reason = g.text()
		codes = append(codes, mqtt.NotAuthorized, mqtt.WildcardSubNotSupported)
	}
	p.Codes = rapid.SliceOfN(rapid.SampledFrom(codes), 1, 5).Draw(g.t, "codes")
	return p
}

func (g gen) unsubscribe() packet.Packet {
	return &packet.Unsubscribe{
		ID: g.id(), User: g.user(),
		Filters: rapid.SliceOfN(textGen, 1, 4).Draw(g.t, "filters"),
	}
}

func (g gen) unsuback() packet.Packet {
	p := &packet.Unsuback{ID: g.id(), User: g.user()}
	if g.v == mqtt.V5 {
		p.Reason = g.text()
		p.Codes = rapid.SliceOfN(rapid.SampledFrom([]mqtt.ReasonCode{0, mqtt.NoSubscriptionExisted}), 1, 5).Draw(g.t, "codes")
	}
	return p
}

func (g gen) disconnect(fromServer bool) packet.Packet {
	p := &packet.Disconnect{User: g.user()}
	if g.v != mqtt.V5 {
		return p
	}
	p.Code = g.code(mqtt.Success, mqtt.UnspecifiedError, mqtt.AdministrativeAction)
	p.Reason, p.ServerReference = g.text(), g.text()
	if !fromServer && g.bool() {
		p.HasSessionExpiry, p.SessionExpiry = true, g.uint32()
	}
	return p
}

func (g gen) auth() packet.Packet {
	p := &packet.Auth{Code: mqtt.ContinueAuthentication, Method: g.text(), Reason: g.text(), User: g.user()}
	if g.bool() {
		p.Data = g.bytes()
	}
	return p
}

func (g gen) fromClient() packet.Packet {
	switch n := rapid.IntRange(0, 6).Draw(g.t, "packet"); {
	case n == 0:
		return g.publish(false)
	case n == 1:
		return g.ack()
	case n == 2:
		return g.subscribe()
	case n == 3:
		return g.unsubscribe()
	case n == 4:
		return g.disconnect(false)
	case n == 5 && g.v == mqtt.V5:
		return g.auth()
	default:
		return &packet.Pingreq{}
	}
}

func (g gen) fromServer() packet.Packet {
	switch n := rapid.IntRange(0, 7).Draw(g.t, "packet"); {
	case n == 0:
		return g.publish(true)
	case n == 1:
		return g.ack()
	case n == 2:
		return g.suback()
	case n == 3:
		return g.unsuback()
	case n == 4:
		return g.connack()
	case n == 5 && g.v == mqtt.V5:
		return g.disconnect(true)
	case n == 6 && g.v == mqtt.V5:
		return g.auth()
	default:
		return &packet.Pingresp{}
	}
}
