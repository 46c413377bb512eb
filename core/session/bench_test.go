package session_test

import (
	"fmt"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/session"
)

// pump sends batches of messages of one QoS through a session whose client
// acknowledges each at once. It returns a function that does one batch.
func pump(q mqtt.QoS, batch int) func() {
	wake := func() {}
	s := session.New("client", session.Limits{})
	s.Attach(session.Attachment{Version: mqtt.V5, Wake: wake})
	d := message(q, "payload")
	var out []session.Outgoing
	return func() {
		for range batch {
			s.Enqueue(d, t0)
		}
		out = s.Next(out[:0], batch, t0, nil)
		for i := range out {
			switch q {
			case mqtt.AtLeastOnce:
				s.Puback(out[i].ID)
			case mqtt.ExactlyOnce:
				s.Pubrec(out[i].ID, mqtt.Success)
				s.Pubcomp(out[i].ID)
			}
		}
	}
}

func BenchmarkOutbound(b *testing.B) {
	for q := mqtt.AtMostOnce; q <= mqtt.ExactlyOnce; q++ {
		for _, batch := range []int{1, 64, 500} {
			b.Run(fmt.Sprintf("QoS=%d/batch=%d", q, batch), func(b *testing.B) {
				turn := pump(q, batch)
				b.ReportAllocs()
				for n := 0; n < b.N; n += batch {
					turn()
				}
			})
		}
	}
}

// BenchmarkOverflow is a client that does not read.
func BenchmarkOverflow(b *testing.B) {
	for _, o := range []session.Overflow{session.DropOldest, session.DropNewest} {
		b.Run(fmt.Sprint(o), func(b *testing.B) {
			s := attached(session.Limits{Overflow: o})
			d := message(0, "payload")
			b.ReportAllocs()
			for b.Loop() {
				s.Enqueue(d, t0)
			}
		})
	}
}

// BenchmarkEnqueueParallel is many publishers and one subscriber.
func BenchmarkEnqueueParallel(b *testing.B) {
	s := attached(session.Limits{Overflow: session.DropNewest})
	d := message(0, "payload")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Enqueue(d, t0)
		}
	})
}

func BenchmarkInbound(b *testing.B) {
	for q := mqtt.AtLeastOnce; q <= mqtt.ExactlyOnce; q++ {
		b.Run(fmt.Sprintf("QoS=%d", q), func(b *testing.B) {
			s := attached(session.Limits{})
			b.ReportAllocs()
			for b.Loop() {
				s.Receive(7, q)
				s.Acknowledge(7, q, mqtt.Success)
				if q == mqtt.ExactlyOnce {
					s.Release(7)
				}
			}
		})
	}
}

func BenchmarkAlias(b *testing.B) {
	s := outbound(16)
	b.ReportAllocs()
	for b.Loop() {
		s.Alias("demo/topic")
	}
}

// sink keeps what is made.
var sink *session.Session

// BenchmarkSession is the memory of a session and of its connection.
func BenchmarkSession(b *testing.B) {
	b.Run("away", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink = session.New("client", session.Limits{})
		}
	})
	b.Run("connected", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			sink = attached(session.Limits{})
		}
	})
	b.Run("10 subscriptions", func(b *testing.B) {
		b.ReportAllocs()
		filters := [10]string{"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}
		for b.Loop() {
			s := session.New("client", session.Limits{})
			for _, f := range filters {
				s.Subscribe(mqtt.Subscription{Filter: f})
			}
			sink = s
		}
	})
}
