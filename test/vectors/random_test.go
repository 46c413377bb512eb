package vectors

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/test/internal/seed"
)

const randomPackets = 4000

// TestRandom has mqtt-packet and mochi read packets of all kinds that we write,
// write them in turn, and reads those.
func TestRandom(t *testing.T) {
	g := generator{seed.New(t)}
	var list []sent
	for range randomPackets {
		list = append(list, g.packet())
	}
	t.Run("mochi", func(t *testing.T) {
		for i := range list {
			if list[i].version != mqtt.V31 { // mochi has no 3.1 but in CONNECT
				mochiMirror(t, &list[i])
			}
		}
	})
	t.Run("mqtt-packet", func(t *testing.T) { mirror(t, list) })
}

func mochiMirror(t *testing.T, s *sent) {
	t.Helper()
	raw, err := (&packet.Encoder{Version: s.version}).Append(nil, s.packet)
	if err != nil {
		t.Fatalf("%#v: %v", s.packet, err)
	}
	theirs, err := mochiDecode(raw, s.version)
	if err != nil {
		t.Errorf("mochi does not read %#v: %v", s.packet, err)
		return
	}
	if d := difference(s.version, s.packet, fromMochi(theirs)); d != "" {
		t.Errorf("mochi reads something else in %x (-ours +mochi):\n%s", raw, d)
		return
	}
	if raw, err = mochiEncode(theirs); err != nil {
		t.Errorf("mochi does not write %#v: %v", s.packet, err)
		return
	}
	back, err := decodeAny(raw, s.version)
	if err != nil {
		t.Errorf("mochi's %x: %v", raw, err)
		return
	}
	if d := difference(s.version, s.packet, back); d != "" {
		t.Errorf("not the packet that was sent (-sent +mirrored):\n%s", d)
	}
}

// generator draws packets that are legal and that all three codecs can
// express.
type generator struct{ *rand.Rand }

func (g generator) packet() sent {
	v := []mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5, mqtt.V5}[g.IntN(4)]
	all := []func(mqtt.Version) packet.Packet{
		g.connect, g.connack, g.publish, g.publish, g.ack, g.ack, g.subscribe, g.suback, g.unsubscribe, g.unsuback,
		g.ping, g.disconnect, g.auth,
	}
	if v != mqtt.V5 {
		all = all[:len(all)-1]
	}
	return sent{v, all[g.IntN(len(all))](v)}
}

func (g generator) connect(v mqtt.Version) packet.Packet {
	p := &packet.Connect{
		Version: v, CleanStart: g.coin(), KeepAlive: g.uint16(), ClientID: g.text(),
		ReceiveMaximum: 65_535, RequestProblemInfo: true,
	}
	if g.coin() {
		p.Username, p.HasUsername = g.text(), true
		if g.coin() {
			p.Password, p.HasPassword = g.blob(), true
		}
	}
	if g.coin() {
		p.Will = &packet.Will{Topic: g.text(), Payload: g.blob(), QoS: g.qos(), Retain: g.coin()}
		if v == mqtt.V5 {
			p.Will.Delay, p.Will.Properties = g.Uint32(), g.properties()
		}
	}
	if v != mqtt.V5 {
		return p
	}
	if g.coin() {
		p.SessionExpiry, p.HasSessionExpiry = g.Uint32(), true
	}
	if g.coin() {
		p.AuthMethod, p.HasAuthMethod, p.AuthData = g.text(), true, g.blob()
	}
	p.ReceiveMaximum = 1 + g.uint16()>>1
	p.MaximumPacketSize = 1 + g.Uint32()>>1
	p.TopicAliasMaximum = g.uint16()
	p.RequestResponseInfo, p.RequestProblemInfo = g.coin(), g.coin()
	p.User = g.user()
	return p
}

func (g generator) connack(v mqtt.Version) packet.Packet {
	p := &packet.Connack{Code: returnCodes[g.IntN(len(returnCodes))]}
	p.SessionPresent = p.Code == mqtt.Success && v != mqtt.V31 && g.coin()
	if v != mqtt.V5 {
		return p
	}
	if g.coin() {
		p.SessionExpiry, p.HasSessionExpiry = g.Uint32(), true
		p.ServerKeepAlive, p.HasServerKeepAlive = g.uint16(), true
		p.MaximumQoS, p.HasMaximumQoS = mqtt.QoS(g.IntN(2)), true
		p.AuthMethod, p.AuthData = g.text(), g.blob()
	}
	if g.coin() {
		p.AssignedClientID, p.ResponseInfo, p.ServerReference, p.Reason = g.text(), g.text(), g.text(), g.text()
	}
	p.ReceiveMaximum = 1 + g.uint16()>>1
	p.MaximumPacketSize = 1 + g.Uint32()>>1
	p.TopicAliasMaximum = g.uint16()
	p.NoRetain, p.NoWildcard, p.NoSubscriptionIDs, p.NoShared = g.coin(), g.coin(), g.coin(), g.coin()
	p.User = g.user()
	return p
}

func (g generator) publish(v mqtt.Version) packet.Packet {
	p := &packet.Publish{Message: mqtt.Message{Topic: g.text(), Payload: g.blob(), QoS: g.qos(), Retain: g.coin()}}
	if p.Message.QoS > 0 {
		p.ID, p.Dup = 1+g.uint16()>>1, g.coin()
	}
	if v != mqtt.V5 {
		return p
	}
	p.Message.Properties = g.properties()
	if g.coin() {
		p.Alias, p.HasAlias = 1+g.uint16()>>1, true
	}
	for range g.IntN(3) {
		p.SubscriptionIDs = append(p.SubscriptionIDs, 1+g.Uint32N(268_435_455))
	}
	return p
}

func (g generator) ack(v mqtt.Version) packet.Packet {
	p := &packet.Ack{Kind: packet.PUBACK + packet.Type(g.IntN(4)), ID: 1 + g.uint16()>>1}
	if v != mqtt.V5 {
		return p
	}
	all := []mqtt.ReasonCode{
		mqtt.Success, mqtt.NoMatchingSubscribers, mqtt.UnspecifiedError, mqtt.NotAuthorized, mqtt.QuotaExceeded,
		mqtt.TopicNameInvalid, mqtt.PacketIdentifierInUse, mqtt.PayloadFormatInvalid,
	}
	if p.Kind == packet.PUBREL || p.Kind == packet.PUBCOMP {
		all = []mqtt.ReasonCode{mqtt.Success, mqtt.PacketIdentifierNotFound}
	}
	p.Code, p.Reason, p.User = all[g.IntN(len(all))], g.reason(), g.user()
	if p.Code == mqtt.NoMatchingSubscribers {
		p.Reason = g.text() // without properties mochi leaves the code out
	}
	return p
}

func (g generator) subscribe(v mqtt.Version) packet.Packet {
	p := &packet.Subscribe{ID: 1 + g.uint16()>>1}
	if v == mqtt.V5 {
		p.User = g.user()
		if g.coin() {
			p.SubscriptionID = 1 + g.Uint32N(268_435_455)
		}
	}
	for range 1 + g.IntN(4) {
		s := mqtt.Subscription{Filter: g.text(), QoS: g.qos(), ID: p.SubscriptionID}
		if v == mqtt.V5 {
			s.NoLocal, s.RetainAsPublished, s.RetainHandling = g.coin(), g.coin(), mqtt.RetainHandling(g.IntN(3))
		}
		p.Subscriptions = append(p.Subscriptions, s)
	}
	return p
}

func (g generator) suback(v mqtt.Version) packet.Packet {
	p := &packet.Suback{ID: 1 + g.uint16()>>1}
	all := []mqtt.ReasonCode{0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x97, 0x9e, 0xa1, 0xa2}
	if v == mqtt.V5 {
		p.Reason, p.User = g.reason(), g.user()
	} else {
		all = all[:4]
	}
	for range 1 + g.IntN(4) {
		p.Codes = append(p.Codes, all[g.IntN(len(all))])
	}
	return p
}

func (g generator) unsubscribe(v mqtt.Version) packet.Packet {
	p := &packet.Unsubscribe{ID: 1 + g.uint16()>>1}
	for range 1 + g.IntN(4) {
		p.Filters = append(p.Filters, g.text())
	}
	if v == mqtt.V5 {
		p.User = g.user()
	}
	return p
}

func (g generator) unsuback(v mqtt.Version) packet.Packet {
	p := &packet.Unsuback{ID: 1 + g.uint16()>>1}
	if v == mqtt.V5 {
		p.Reason, p.User = g.reason(), g.user()
		for range 1 + g.IntN(4) {
			p.Codes = append(p.Codes, []mqtt.ReasonCode{0, 0x11, 0x80, 0x83, 0x87, 0x8f}[g.IntN(6)])
		}
	}
	return p
}

func (g generator) ping(mqtt.Version) packet.Packet {
	if g.coin() {
		return &packet.Pingreq{}
	}
	return &packet.Pingresp{}
}

func (g generator) disconnect(v mqtt.Version) packet.Packet {
	p := &packet.Disconnect{}
	if v != mqtt.V5 {
		return p
	}
	p.Reason, p.User = g.reason(), g.user()
	if g.coin() {
		p.Code = []mqtt.ReasonCode{0x04, 0x80, 0x82, 0x93, 0x98}[g.IntN(5)]
		p.SessionExpiry, p.HasSessionExpiry = g.Uint32(), true
	} else {
		p.Code = []mqtt.ReasonCode{0x00, 0x8b, 0x8d, 0x8e, 0xa0}[g.IntN(5)]
		p.ServerReference = g.text()
	}
	return p
}

func (g generator) auth(mqtt.Version) packet.Packet {
	return &packet.Auth{
		Code: []mqtt.ReasonCode{0, 0x18}[g.IntN(2)], Method: "SHA-1", Data: g.blob(), Reason: g.reason(), User: g.user(),
	}
}

func (g generator) properties() *mqtt.Properties {
	p := &mqtt.Properties{User: g.user(), PayloadIsUTF8: g.coin(), HasPayloadFormat: true}
	if g.coin() {
		p.Expiry, p.HasExpiry = 1+g.Uint32()>>1, true // mochi takes 0 for none
	}
	if g.coin() {
		p.ContentType, p.ResponseTopic, p.CorrelationData = g.text(), "reply/"+strconv.Itoa(g.IntN(1000)), g.blob()
	}
	return p
}

// user draws user properties, those of one key together, for mqtt-packet keeps
// them by key.
func (g generator) user() (out []mqtt.UserProperty) {
	for i := range g.IntN(3) {
		key := strings.Repeat("k", 1+i) + g.text()
		for range 1 + g.IntN(2) {
			out = append(out, mqtt.UserProperty{Key: key, Value: g.text()})
		}
	}
	return out
}

func (g generator) reason() string {
	if g.coin() {
		return ""
	}
	return g.text()
}

// text draws a string that is not empty, of one to four byte characters, now
// and then one whose length takes two bytes.
func (g generator) text() string {
	const letters = "abcdefgh/+#$ üß世界\U0001F600\uFEFF"
	runes := []rune(letters)
	n := 1 + g.IntN(12)
	if g.IntN(50) == 0 {
		n = 300
	}
	var b strings.Builder
	for range n {
		b.WriteRune(runes[g.IntN(len(runes))])
	}
	return b.String()
}

// blob draws bytes, at least one, sometimes many.
func (g generator) blob() []byte {
	n := 1 + g.IntN(20)
	if g.IntN(30) == 0 {
		n = 20_000 // three bytes of remaining length
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(g.Uint32())
	}
	return b
}

func (g generator) uint16() uint16 { return uint16(g.Uint32()) }
func (g generator) coin() bool     { return g.IntN(2) == 0 }
func (g generator) qos() mqtt.QoS  { return mqtt.QoS(g.IntN(3)) }
