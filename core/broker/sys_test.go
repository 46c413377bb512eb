package broker_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// sysTopics are all topics below $SYS/broker/, those of the loads left out.
// They are mosquitto's, in its words: what reads them must find them.
var sysTopics = []string{
	"bytes/received", "bytes/sent",
	"clients/active", "clients/connected", "clients/disconnected", "clients/expired", "clients/inactive", "clients/maximum", "clients/total",
	"heap/current", "heap/maximum",
	"messages/received", "messages/sent", "messages/stored",
	"publish/bytes/received", "publish/bytes/sent",
	"publish/messages/dropped", "publish/messages/received", "publish/messages/sent",
	"retained messages/count", "shared_subscriptions/count", "store/messages/bytes", "store/messages/count", "subscriptions/count",
	"uptime", "version",
}

var sysLoads = []string{
	"bytes/received", "bytes/sent", "connections", "messages/received", "messages/sent",
	"publish/dropped", "publish/received", "publish/sent", "sockets",
}

func TestSysTopics(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Version: "1.2.3", SysInterval: time.Hour})
	want := slices.Clone(sysTopics)
	for _, load := range sysLoads {
		for _, over := range []string{"1min", "5min", "15min"} {
			want = append(want, "load/"+load+"/"+over)
		}
	}
	c := b.Connect("c")
	c.Subscribe(0, "$SYS/#")
	values := make(map[string]string)
	for len(values) < len(want) {
		m := c.Next().(*packet.Publish).Message
		values[strings.TrimPrefix(m.Topic, "$SYS/broker/")] = string(m.Payload)
	}
	c.ExpectNothing()
	for _, topic := range want {
		form := `^\d+$`
		switch {
		case topic == "version":
			form = `^gatehouse version 1\.2\.3$`
		case topic == "uptime":
			form = `^\d+ seconds$`
		case strings.HasPrefix(topic, "load/"):
			form = `^\d+\.\d\d$`
		}
		if v, ok := values[topic]; !ok || !regexp.MustCompile(form).MatchString(v) {
			t.Errorf("$SYS/broker/%s: got %q, want %s", topic, v, form)
		}
	}
}

// What a subscriber of $SYS sees is what happened.
func TestSysCounts(t *testing.T) {
	b := brokertest.Start(t, broker.Options{SysInterval: 10 * time.Millisecond})
	sub := b.Connect("away", brokertest.Resume)
	sub.Subscribe(1, "t")
	sub.Disconnect()
	b.Connect("pub").Publish(mqtt.Message{Topic: "t", Payload: []byte("12345"), QoS: 1}, 0)
	for topic, want := range map[string]string{
		"clients/total": "3", "clients/disconnected": "1", "clients/connected": "2", "clients/maximum": "2",
		"publish/messages/received": "1", "publish/bytes/received": "5", "store/messages/count": "1",
	} {
		watcher := b.Connect("watcher")
		watcher.Subscribe(0, "$SYS/broker/"+topic)
		for string(watcher.Next().(*packet.Publish).Message.Payload) != want {
			continue // an older one; Next fails when none comes any more
		}
		watcher.Disconnect()
	}
}
