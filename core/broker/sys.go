package broker

import (
	"context"
	"runtime"
	"strconv"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// sysState is what the $SYS tree needs from one time to the next. It belongs to the
// goroutine of [Broker.Run].
type sysState struct {
	loads    loads
	mostHeap uint64
}

// sysValue is one topic below $SYS/broker/ with its payload.
type sysValue struct{ topic, value string }

// publishSys publishes the broker's numbers under mosquitto's names. They are
// retained in a tree of their own, which no store sees, and pass no hook. What
// has not changed is not published again.
func (b *Broker) publishSys(s *sysState) {
	now := time.Now()
	for _, v := range append(b.sysValues(s, now), s.loads.update(&b.stats, now)...) {
		m := &mqtt.Message{
			Topic: sysPrefix + "broker/" + v.topic, Payload: []byte(v.value), QoS: mqtt.ExactlyOnce, Retain: true,
			Origin: mqtt.FromServer, Created: now,
		}
		if old, ok := b.sys.Get(m.Topic, now); ok && string(old.Payload) == v.value {
			continue
		}
		if _, err := b.sys.Set(m, now); err == nil {
			b.inHand(0, func(ctx context.Context) { b.route(ctx, nil, m) })
		}
	}
}

func (b *Broker) sysValues(s *sysState, now time.Time) []sysValue {
	stats := b.Stats()
	backlog := b.Backlog()
	stored, storedBytes := stats.Retained+backlog.Messages, stats.RetainedBytes+backlog.Bytes
	heap := heapInUse()
	s.mostHeap = max(s.mostHeap, heap)
	num := func(n uint64) string { return strconv.FormatUint(n, 10) }
	shared := stats.SharedSubscriptions
	away := strconv.Itoa(max(0, stats.Sessions-stats.Clients))
	return []sysValue{
		{"version", "gatehouse version " + b.version},
		{"uptime", strconv.Itoa(int(now.Sub(stats.Started).Seconds())) + " seconds"},
		{"clients/connected", strconv.Itoa(stats.Clients)},
		{"clients/active", strconv.Itoa(stats.Clients)},
		{"clients/total", strconv.Itoa(stats.Sessions)},
		{"clients/maximum", strconv.Itoa(stats.MostClients)},
		{"clients/disconnected", away},
		{"clients/inactive", away},
		{"clients/expired", num(stats.ExpiredSessions)},
		{"subscriptions/count", strconv.Itoa(stats.Subscriptions - shared)},
		{"shared_subscriptions/count", strconv.Itoa(shared)},
		{"retained messages/count", strconv.Itoa(stats.Retained)},
		{"store/messages/count", strconv.Itoa(stored)},
		{"store/messages/bytes", strconv.Itoa(storedBytes)},
		{"messages/stored", strconv.Itoa(stored)},
		{"messages/received", num(stats.PacketsIn)},
		{"messages/sent", num(stats.PacketsOut)},
		{"publish/messages/received", num(stats.MessagesIn)},
		{"publish/messages/sent", num(stats.MessagesOut)},
		{"publish/messages/dropped", num(stats.MessagesDropped)},
		{"publish/bytes/received", num(stats.PayloadIn)},
		{"publish/bytes/sent", num(stats.PayloadOut)},
		{"bytes/received", num(stats.BytesIn)},
		{"bytes/sent", num(stats.BytesOut)},
		{"heap/current", num(heap)},
		{"heap/maximum", num(s.mostHeap)},
	}
}

func heapInUse() uint64 {
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	return ms.HeapInuse
}
