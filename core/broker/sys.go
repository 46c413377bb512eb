package broker

import (
	"runtime"
	"strconv"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// publishSys publishes the broker's numbers under mosquitto's names. They are
// retained in a tree of their own, which no store sees, and pass no hook.
func (b *Broker) publishSys(first bool) {
	s := b.Stats()
	now := time.Now()
	num := func(n uint64) string { return strconv.FormatUint(n, 10) }
	values := [...]struct{ topic, value string }{
		{"version", "gatehouse version " + b.version},
		{"uptime", strconv.Itoa(int(now.Sub(s.Started).Seconds())) + " seconds"},
		{"clients/connected", strconv.Itoa(s.Clients)},
		{"clients/active", strconv.Itoa(s.Clients)},
		{"clients/total", strconv.Itoa(s.Sessions)},
		{"clients/disconnected", strconv.Itoa(max(0, s.Sessions-s.Clients))},
		{"clients/inactive", strconv.Itoa(max(0, s.Sessions-s.Clients))},
		{"clients/expired", num(s.ExpiredSessions)},
		{"subscriptions/count", strconv.Itoa(s.Subscriptions)},
		{"retained messages/count", strconv.Itoa(s.Retained)},
		{"messages/received", num(s.PacketsIn)},
		{"messages/sent", num(s.PacketsOut)},
		{"publish/messages/received", num(s.MessagesIn)},
		{"publish/messages/sent", num(s.MessagesOut)},
		{"publish/messages/dropped", num(s.MessagesDropped)},
		{"bytes/received", num(s.BytesIn)},
		{"bytes/sent", num(s.BytesOut)},
		{"heap/current", num(heapInUse())},
	}
	for _, v := range values {
		if !first && v.topic == "version" {
			continue
		}
		m := &mqtt.Message{
			Topic: sysPrefix + "broker/" + v.topic, Payload: []byte(v.value), QoS: mqtt.ExactlyOnce, Retain: true,
			Origin: mqtt.FromServer, Created: now,
		}
		if old, ok := b.sys.Get(m.Topic, now); ok && string(old.Payload) == v.value {
			continue
		}
		if _, err := b.sys.Set(m, now); err == nil {
			b.route(nil, m)
		}
	}
}

func heapInUse() uint64 {
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapInuse
}
