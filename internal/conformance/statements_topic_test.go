package conformance_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// [MQTT-4.7.1-1] [MQTT-4.7.1-2] [MQTT-4.7.3-1], MQTT-4.7.1-2 and -3 of 3.1.1:
// which filters there are.
func TestFilters(t *testing.T) {
	b := start(t)
	every(t, func(t *testing.T, v mqtt.Version) {
		bad := mqtt.TopicFilterInvalid
		if v != mqtt.V5 {
			bad = mqtt.UnspecifiedError
		}
		c := b.Connect("c", speaking(v))
		for filter, want := range map[string]mqtt.ReasonCode{
			"#": 0, "+": 0, "a/#": 0, "/#": 0, "+/+/#": 0, "a/+/b": 0, "/": 0, "//": 0, "a b": 0, "$a": 0,
			"": bad, "a#": bad, "a/#/b": bad, "#/": bad, "+a": bad, "a+": bad, "a/b+/c": bad, "##": bad, "+#": bad,
		} {
			if got := subscribe(t, c, mqtt.Subscription{Filter: filter}); got[0] != want {
				t.Errorf("%q: %v", filter, got[0])
			}
		}
	})
}

// [MQTT-3.3.2-3] [MQTT-4.7.2-1] [MQTT-4.7.3-4] and the examples of section 4.7:
// which filter matches which name, by subscription and for retained messages.
func TestMatching(t *testing.T) {
	tests := map[string]struct{ matches, other []string }{
		"sport/tennis/player1/#": {[]string{"sport/tennis/player1", "sport/tennis/player1/ranking", "sport/tennis/player1/score/wimbledon"}, []string{"sport/tennis"}},
		"sport/tennis/+":         {[]string{"sport/tennis/player1", "sport/tennis/"}, []string{"sport/tennis/player1/ranking", "sport/tennis"}},
		"+/+":                    {[]string{"/finance", "a/b"}, []string{"finance", "$a/b"}},
		"/+":                     {[]string{"/finance"}, []string{"finance"}},
		"#":                      {[]string{"a", "/", "a/b/c", "a/$b"}, []string{"$a", "$SYSTEM/x"}},
		"+/monitor/Clients":      {[]string{"a/monitor/Clients"}, []string{"$SYSTEM/monitor/Clients"}},
		"$SYSTEM/#":              {[]string{"$SYSTEM", "$SYSTEM/monitor"}, nil},
		"ACCOUNTS":               {[]string{"ACCOUNTS"}, []string{"Accounts", "ACCOUNTS/", "/ACCOUNTS"}},
		"a//b":                   {[]string{"a//b"}, []string{"a/b", "a/ /b"}},
		"A\u030A":                {[]string{"A\u030A"}, []string{"\u00C5"}}, // no normalisation
		"caf\u00E9/./..":         {[]string{"caf\u00E9/./.."}, []string{"caf\u00E9", "cafe/./.."}},
	}
	for filter, tt := range tests {
		t.Run(filter, func(t *testing.T) {
			b := start(t)
			pub, sub := b.Connect("pub"), b.Connect("sub")
			sub.Subscribe(1, filter)
			for _, topic := range tt.matches {
				send(t, pub, retained(topic, "x", 1))
				sub.ExpectMessage(topic, "x")
			}
			for _, topic := range tt.other {
				pub.Publish(retained(topic, "x", 1), mqtt.NoMatchingSubscribers)
			}
			nothing(sub)
			sub.Subscribe(0, filter)
			found := make(map[string]bool)
			for _, p := range receive(t, sub, len(tt.matches)) {
				found[p.Message.Topic] = true
			}
			for _, topic := range tt.matches {
				if !found[topic] {
					t.Errorf("%s was not found", topic)
				}
			}
			nothing(sub)
		})
	}
}

// [MQTT-4.7.3-3]: names and filters of any length that the protocol has.
func TestLongTopics(t *testing.T) {
	b := start(t)
	every(t, func(t *testing.T, v mqtt.Version) {
		c, pub := b.Connect("c", speaking(v)), b.Connect("pub", speaking(v))
		long := strings.Repeat("ä", 65_534/2)
		c.Subscribe(0, long, "+/x")
		send(t, pub, say(long, "x", 0))
		c.ExpectMessage(long, "x")
		send(t, pub, say(long[2:]+"/x", "y", 0))
		c.ExpectMessage(long[2:]+"/x", "y")
	})
}

// [MQTT-4.7.2-1] holds for topics as the client knows them, also if the broker
// keeps them under a mountpoint.
func TestMatchingUnderMountpoint(t *testing.T) {
	b := startAsking(t, hook.ValidatorFunc(func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
		d := &hook.Decision{Verdict: hook.Allow}
		if c.ClientID != "outside" {
			d.Mountpoint = "tenant/"
		}
		return d, nil
	}))
	outside := b.Connect("outside")
	for _, topic := range []string{"tenant", "tenant/", "tenant2/x", "x"} { // not theirs
		send(t, outside, retained(topic, "outside", 1))
	}
	pub, wild, exact := b.Connect("pub"), b.Connect("wild"), b.Connect("exact")
	subscribeAs(t, wild, 1, mqtt.Subscription{Filter: "#", QoS: 2}, mqtt.Subscription{Filter: "+/b", QoS: 2},
		mqtt.Subscription{Filter: "$share/g/+/b", QoS: 2})
	subscribeAs(t, exact, 2, mqtt.Subscription{Filter: "$a/#", QoS: 1})
	subscribeAs(t, exact, 3, mqtt.Subscription{Filter: "#", QoS: 2})
	send(t, pub, retained("$a/b", "x", 2))
	if p := exact.ExpectMessage("$a/b", "x"); p.Message.QoS != 1 || len(p.SubscriptionIDs) != 1 || p.SubscriptionIDs[0] != 2 {
		t.Errorf("got %+v", p)
	}
	nothing(wild, exact)
	wild.Subscribe(0, "#", "+/+") // no retained one either
	nothing(wild)
	for _, topic := range []string{"tenant", "tenant/", "tenant2/x", "x"} {
		send(t, outside, say(topic, "outside", 1))
	}
	nothing(wild, exact)
	send(t, pub, say("a/b", "y", 0))
	receive(t, wild, 2)
	receive(t, exact, 1)
	nothing(wild, exact)
}

// The server's own topics: who listens gets mosquitto's, nobody else publishes
// there.
func TestSys(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, broker.Options{Version: "1.2.3", SysInterval: 50 * time.Millisecond})
	pub := b.Connect("pub")
	for range 3 {
		send(t, pub, retained("r", "12345", 1))
	}
	c := b.Connect("c")
	c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "$SYS/#"}, {Filter: "#"}}})
	for { // what is published meanwhile may come before the SUBACK (section 3.8.4)
		if _, ok := c.Next().(*packet.Suback); ok {
			break
		}
	}
	got := make(map[string]string)
	want := []string{
		"version", "uptime", "clients/connected", "clients/active", "clients/total", "clients/maximum",
		"clients/disconnected", "clients/inactive", "clients/expired", "subscriptions/count",
		"shared_subscriptions/count", "retained messages/count", "store/messages/count", "store/messages/bytes",
		"messages/stored", "messages/received", "messages/sent", "publish/messages/received",
		"publish/messages/sent", "publish/messages/dropped", "publish/bytes/received", "publish/bytes/sent",
		"bytes/received", "bytes/sent", "heap/current", "heap/maximum",
	}
	for _, what := range []string{
		"messages/received", "messages/sent", "publish/received", "publish/sent", "publish/dropped",
		"bytes/received", "bytes/sent", "sockets", "connections",
	} {
		for _, over := range []string{"1min", "5min", "15min"} {
			want = append(want, "load/"+what+"/"+over)
		}
	}
	missing := func() (n int) {
		for _, name := range want {
			if _, ok := got["$SYS/broker/"+name]; !ok {
				n++
			}
		}
		return n
	}
	deadline := time.Now().Add(brokertest.Patience)
	for time.Now().Before(deadline) && (missing() > 0 || got["$SYS/broker/clients/connected"] != "2" || got["$SYS/broker/publish/bytes/received"] != "15" ||
		got["$SYS/broker/publish/messages/received"] != "3" || got["$SYS/broker/retained messages/count"] != "1") {
		p := next(t, c)
		if p.Message.Topic != "r" {
			got[p.Message.Topic] = string(p.Message.Payload)
		}
	}
	for _, name := range want {
		if _, ok := got["$SYS/broker/"+name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	for name, want := range map[string]string{
		"version": "gatehouse version 1.2.3", "clients/connected": "2", "clients/maximum": "2", "subscriptions/count": "2",
		"retained messages/count": "1", "publish/bytes/received": "15", "publish/messages/received": "3",
	} {
		if got["$SYS/broker/"+name] != want {
			t.Errorf("%s is %q, want %q", name, got["$SYS/broker/"+name], want)
		}
	}
	if !strings.HasSuffix(got["$SYS/broker/uptime"], " seconds") || !strings.Contains(got["$SYS/broker/load/sockets/1min"], ".") {
		t.Errorf("uptime %q, load %q", got["$SYS/broker/uptime"], got["$SYS/broker/load/sockets/1min"])
	}
	pub.Publish(say("$SYS/broker/version", "mine", 1), mqtt.NotAuthorized)
	pub.Send(&packet.Publish{Message: say("$SYS/broker/clients/mine", "mine", 0)})
	nothing(pub)
}
