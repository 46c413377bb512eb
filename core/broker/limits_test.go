package broker_test

import (
	"strings"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// What a CONNECT may hold: one that keeps to each limit and one beyond it.
func TestConnectLimits(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{
		ClientIDLength: 5, UserProperties: 2, UserPropertyBytes: 10, ConnectPacketSize: 200, ConnectWillSize: 100,
	}})
	user := func(pairs ...string) (list []mqtt.UserProperty) {
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, mqtt.UserProperty{Key: pairs[i], Value: pairs[i+1]})
		}
		return list
	}
	for _, tt := range []struct {
		name string
		mod  func(*packet.Connect)
		want mqtt.ReasonCode
	}{
		{"client id", func(p *packet.Connect) { p.ClientID = "12345" }, 0},
		{"client id, too long", func(p *packet.Connect) { p.ClientID = "123456" }, mqtt.ClientIdentifierNotValid},
		{"user properties", func(p *packet.Connect) { p.User = user("a", "b", "c", "d") }, 0},
		{"too many user properties", func(p *packet.Connect) { p.User = user("a", "b", "c", "d", "e", "f") }, mqtt.QuotaExceeded},
		{"user property bytes", func(p *packet.Connect) { p.User = user("12345", "67890") }, 0},
		{"too many user property bytes", func(p *packet.Connect) { p.User = user("12345", "678901") }, mqtt.QuotaExceeded},
		{"size", func(p *packet.Connect) { p.Password, p.HasPassword = make([]byte, 150), true }, 0},
		{"too large", func(p *packet.Connect) { p.Password, p.HasPassword = make([]byte, 200), true }, mqtt.PacketTooLarge},
		{"will", func(p *packet.Connect) { p.Will = &packet.Will{Topic: "w", Payload: make([]byte, 200)} }, 0},
		{"will too large", func(p *packet.Connect) { p.Will = &packet.Will{Topic: "w", Payload: make([]byte, 300)} }, mqtt.PacketTooLarge},
		{"user properties of a will", func(p *packet.Connect) {
			p.Will = &packet.Will{Topic: "w", Properties: &mqtt.Properties{User: user("a", "b", "c", "d", "e", "f")}}
		}, mqtt.QuotaExceeded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, ack := b.TryConnect("c", tt.mod); ack.Code != tt.want {
				t.Errorf("got %v %q, want %v", ack.Code, ack.Reason, tt.want)
			}
		})
	}
}

// What a later packet may hold.
func TestPacketLimits(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{
		UserProperties: 1, FiltersPerPacket: 2, PacketSize: 100, TopicLevels: 3,
	}})
	two := []mqtt.UserProperty{{Key: "a"}, {Key: "b"}}
	for _, tt := range []struct {
		name string
		send packet.Packet
		want mqtt.ReasonCode
	}{
		{"user properties", &packet.Publish{Message: mqtt.Message{Topic: "t", Properties: &mqtt.Properties{User: two}}}, mqtt.QuotaExceeded},
		{"filters", &packet.Subscribe{ID: 1, Subscriptions: make([]mqtt.Subscription, 3)}, mqtt.QuotaExceeded},
		{"filters to unsubscribe", &packet.Unsubscribe{ID: 1, Filters: []string{"a", "b", "c"}}, mqtt.QuotaExceeded},
		{"size", &packet.Publish{Message: mqtt.Message{Topic: "t", Payload: make([]byte, 100)}}, mqtt.PacketTooLarge},
		{"levels", &packet.Publish{Message: mqtt.Message{Topic: "1/2/3/4"}}, mqtt.TopicNameInvalid},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := b.Connect("c")
			c.Send(tt.send)
			if p, ok := c.Next().(*packet.Disconnect); !ok || p.Code != tt.want {
				t.Errorf("got %+v, want %v", p, tt.want)
			}
			c.ExpectClosed()
		})
	}
	c := b.Connect("c")
	c.Subscribe(0, "1/+/#")
	c.Subscribe(0, "$share/g/1/2/3") // what shares it is no level of the topic
	c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "$share/g/1/2/3/4"}}})
	c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{mqtt.TopicFilterInvalid}})
}

func TestSessionLimit(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{Sessions: 2}})
	b.Connect("one", brokertest.Resume).Disconnect()
	two := b.Connect("two")
	if _, ack := b.TryConnect("three"); ack.Code != mqtt.QuotaExceeded {
		t.Errorf("third session: %v", ack.Code)
	}
	if _, ack := b.TryConnect("three", brokertest.V311); ack.Code != mqtt.ServerUnavailable {
		t.Errorf("third session, 3.1.1: %v", ack.Code)
	}
	if _, ack := b.TryConnect("one", brokertest.Resume); !ack.SessionPresent {
		t.Errorf("a session that is there: %+v", ack)
	}
	b.Connect("one") // replaces it
	two.Disconnect()
	eventually(t, "the session has ended", func() bool { return b.Stats().Sessions == 1 })
	b.Connect("three")
}

func TestRetainedLimits(t *testing.T) {
	put := func(c *brokertest.Client, topic, payload string, want mqtt.ReasonCode) {
		t.Helper()
		c.Publish(mqtt.Message{Topic: topic, Payload: []byte(payload), QoS: 1, Retain: true}, want)
	}
	const kept = mqtt.NoMatchingSubscribers
	t.Run("messages", func(t *testing.T) {
		b := brokertest.Start(t, broker.Options{Limits: broker.Limits{RetainedMessages: 2}})
		c := b.Connect("c")
		put(c, "1", "x", kept)
		put(c, "2", "x", kept)
		put(c, "3", "x", mqtt.QuotaExceeded)
		put(c, "2", "y", kept)
		put(c, "1", "", kept)
		put(c, "3", "x", kept)
	})
	t.Run("bytes", func(t *testing.T) {
		b := brokertest.Start(t, broker.Options{Limits: broker.Limits{RetainedBytes: 20}})
		c := b.Connect("c")
		put(c, "1", "12345678901234", kept)
		put(c, "2", "12345", mqtt.QuotaExceeded)
		put(c, "2", "1234", kept)
		put(c, "2", "12345", mqtt.QuotaExceeded)
		put(c, "1", "123456789012345", mqtt.QuotaExceeded)
		put(c, "1", "1", kept)
		put(c, "2", "12345", kept)
	})
}

func TestKeepAliveBounds(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{MinKeepAlive: 10, KeepAlive: 100}})
	for asked, want := range map[uint16]uint16{0: 100, 1: 10, 10: 10, 50: 50, 100: 100, 101: 100} {
		_, ack := b.TryConnect("c", func(p *packet.Connect) { p.KeepAlive = asked })
		if ack.HasServerKeepAlive != (asked != want) || ack.HasServerKeepAlive && ack.ServerKeepAlive != want {
			t.Errorf("asked for %d: got %d, %v, want %d", asked, ack.ServerKeepAlive, ack.HasServerKeepAlive, want)
		}
	}
}

func TestPayloadFormat(t *testing.T) {
	text := func(payload string) mqtt.Message {
		return mqtt.Message{
			Topic: "t", Payload: []byte(payload), Properties: &mqtt.Properties{HasPayloadFormat: true, PayloadIsUTF8: true},
		}
	}
	bad := text("\xff")
	t.Run("checked", func(t *testing.T) {
		b := brokertest.Start(t, broker.Options{CheckPayloadFormat: true})
		c := b.Connect("c")
		c.Subscribe(0, "t")
		for _, q := range []mqtt.QoS{0, 1, 2} {
			m := bad
			m.QoS = q
			c.Publish(m, mqtt.PayloadFormatInvalid)
		}
		c.Publish(text("grün"), 0)
		c.ExpectMessage("t", "grün")
		_, ack := b.TryConnect("d", func(p *packet.Connect) {
			p.Will = &packet.Will{Topic: "t", Payload: bad.Payload, Properties: bad.Properties}
		})
		if ack.Code != mqtt.PayloadFormatInvalid {
			t.Errorf("will: %v", ack.Code)
		}
		if n := b.Stats().Drops[hook.CauseFormat]; n != 3 {
			t.Errorf("%d drops", n)
		}
	})
	t.Run("passed on", func(t *testing.T) {
		c := brokertest.Start(t, broker.Options{}).Connect("c")
		c.Subscribe(0, "t")
		c.Publish(bad, 0)
		c.ExpectMessage("t", "\xff")
	})
}

func TestResponseInformation(t *testing.T) {
	ask := func(p *packet.Connect) { p.RequestResponseInfo = true }
	for _, tt := range []struct{ option, id, want string }{
		{"", "c", ""},
		{"reply/%u/%c", "c", "reply/u/c"},
		{"reply/%c", "+", ""}, // would be no topic
	} {
		b := brokertest.Start(t, broker.Options{ResponseInformation: tt.option})
		user := func(p *packet.Connect) { p.Username, p.HasUsername = "u", true }
		if _, ack := b.TryConnect(tt.id, ask, user); ack.ResponseInfo != tt.want {
			t.Errorf("%q for %q: got %q", tt.option, tt.id, ack.ResponseInfo)
		}
		if _, ack := b.TryConnect(tt.id, user); ack.ResponseInfo != "" {
			t.Errorf("%q, not asked for: got %q", tt.option, ack.ResponseInfo)
		}
	}
}

// Only the broker publishes to $SYS; "$SYS/#" matches "$SYS" itself, too.
func TestSysIsReserved(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	c := b.Connect("c")
	c.Subscribe(0, "$SYS/#", "$SYSTEM")
	for topic, want := range map[string]mqtt.ReasonCode{
		"$SYS": mqtt.NotAuthorized, "$SYS/": mqtt.NotAuthorized, "$SYS/broker/version": mqtt.NotAuthorized, "$sys": mqtt.NoMatchingSubscribers,
	} {
		c.Publish(mqtt.Message{Topic: topic, QoS: 1}, want)
	}
	for _, topic := range []string{"$SYS", "$SYS/x"} {
		_, ack := b.TryConnect("d", func(p *packet.Connect) { p.Will = &packet.Will{Topic: topic} })
		if ack.Code != mqtt.TopicNameInvalid {
			t.Errorf("will to %s: %v", topic, ack.Code)
		}
	}
	c.Publish(mqtt.Message{Topic: "$SYSTEM", Payload: []byte("x")}, 0)
	c.ExpectMessage("$SYSTEM", "x")
}

func TestResponseTopic(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	answer := &mqtt.Properties{ResponseTopic: "a/#"}
	c := b.Connect("c")
	c.Send(&packet.Publish{Message: mqtt.Message{Topic: "t", Properties: answer}})
	c.Expect(&packet.Disconnect{Code: mqtt.TopicNameInvalid, Reason: "the response topic is not valid"})
	if _, ack := b.TryConnect("d", func(p *packet.Connect) { p.Will = &packet.Will{Topic: "t", Properties: answer} }); ack.Code != mqtt.TopicNameInvalid {
		t.Errorf("will: %v", ack.Code)
	}
	d := b.Connect("d")
	d.Subscribe(0, "t")
	d.Publish(mqtt.Message{Topic: "t", Properties: &mqtt.Properties{ResponseTopic: strings.Repeat("a/", 200)}}, 0)
	d.ExpectMessage("t", "")
}
