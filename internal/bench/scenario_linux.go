package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/bench/load"
	"github.com/gatehouse-mqtt/gatehouse/internal/bench/peer"
)

// value is one figure of a run.
type value struct {
	Name string  `json:"name"`
	N    float64 `json:"value"`
	// Fault says that anything but zero is a fault of the broker.
	Fault bool `json:"fault,omitempty"`
}

// The figures that the report treats in a way of its own.
const (
	cpuPerMessage = "CPU us/message"
	perSecond     = "messages/s"
)

// scenario is one thing to measure.
type scenario struct {
	name    string
	title   string
	null    bool // the null broker can do it
	measure func(p *peer.Process, measure time.Duration) ([]value, error)
}

// takes reports whether it makes sense with a broker.
func (s *scenario) takes(broker string) bool {
	switch broker {
	case "null":
		return s.null
	case "null+gate":
		return strings.HasPrefix(s.name, "pairs") || strings.HasPrefix(s.name, "latency")
	case "gatehouse+authfile":
		return s.name == "connect"
	case "gatehouse+memory":
		return strings.HasPrefix(s.name, "retained")
	case "gatehouse+interval":
		return strings.HasPrefix(s.name, "retained") || strings.HasPrefix(s.name, "offline")
	default:
		return strings.HasSuffix(broker, "+tls") == (s.name == "idle-tls")
	}
}

// scenarios returns all of them, in the order of the report.
func scenarios(smoke bool) []scenario {
	flow := func(name, title string, f load.Flow) scenario {
		f.Payload, f.Topic = 128, func(i int) string { return fmt.Sprintf("bench/%05d", i) }
		if smoke {
			f.Publishers, f.Subscribers = (f.Publishers+9)/10, (f.Subscribers+9)/10
		}
		return scenario{name: name, title: title, null: true, measure: func(p *peer.Process, d time.Duration) ([]value, error) {
			return measureFlow(f, p, d)
		}}
	}
	out := []scenario{
		flow("pairs-qos0", "100 pairs, QoS 0, window 20", load.Flow{Publishers: 100, Subscribers: 100, Window: 20}),
		flow("pairs-peak", "100 pairs, QoS 0, window 100, 16 messages a write", load.Flow{Publishers: 100, Subscribers: 100, Window: 100, Burst: 16}),
		flow("pairs-qos1", "100 pairs, QoS 1, window 20", load.Flow{Publishers: 100, Subscribers: 100, QoS: 1, Window: 20}),
		flow("pairs-qos2", "100 pairs, QoS 2, window 20", load.Flow{Publishers: 100, Subscribers: 100, QoS: 2, Window: 20}),
		flow("fan-in-qos0", "50 publishers to 1 subscriber, QoS 0, window 20", load.Flow{Publishers: 50, Subscribers: 1, Window: 20}),
		flow("fan-in-qos1", "50 publishers to 1 subscriber, QoS 1, window 20", load.Flow{Publishers: 50, Subscribers: 1, QoS: 1, Window: 20}),
		flow("fan-out", "1 publisher to 500 subscribers, QoS 0, window 20", load.Flow{Publishers: 1, Subscribers: 500, Window: 20}),
		flow("single", "1 pair, QoS 0, window 1000, 16 messages a write", load.Flow{Publishers: 1, Subscribers: 1, Window: 1000, Burst: 16}),
		flow("latency-qos0", "50 pairs, QoS 0, 5,000 messages/s", load.Flow{Publishers: 50, Subscribers: 50, Rate: 5000}),
		flow("latency-qos1", "50 pairs, QoS 1, 5,000 messages/s", load.Flow{Publishers: 50, Subscribers: 50, QoS: 1, Rate: 5000}),
	}
	return append(out, populations(smoke)...)
}

func measureFlow(f load.Flow, p *peer.Process, measure time.Duration) (out []value, err error) {
	l, err := load.NewLoop()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	var m meter
	r, err := f.Run(l, p.Addr, measure/4, measure, func() { err = errors.Join(err, m.mark(p)) })
	if err != nil {
		return nil, err
	}
	n := float64(max(r.Delivered, 1))
	out = []value{
		{Name: perSecond, N: float64(r.Delivered) / r.Seconds},
		{Name: cpuPerMessage, N: m.broker().Seconds() * 1e6 / n},
		{Name: "plugin " + cpuPerMessage, N: m.plugins().Seconds() * 1e6 / n},
		{Name: "load CPU %", N: 100 * m.own().Seconds() / r.Seconds},
	}
	if len(r.Latencies) > 0 {
		out = append(out, value{Name: "p50 us", N: percentile(r.Latencies, 50)}, value{Name: "p99 us", N: percentile(r.Latencies, 99)})
	}
	return append(out,
		value{Name: "lost", N: float64(r.Lost), Fault: true},
		value{Name: "repeated", N: float64(r.Duplicates), Fault: true},
		value{Name: "out of order", N: float64(r.Disorder), Fault: true},
	), nil
}

// percentile returns the value below which p of 100 are, in microseconds.
func percentile(sorted []time.Duration, p int) float64 {
	return float64(sorted[min(len(sorted)*p/100, len(sorted)-1)]) / float64(time.Microsecond)
}
