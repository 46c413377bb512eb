package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/internal/bench/load"
	"github.com/gatehouse-mqtt/gatehouse/internal/bench/peer"
)

// populations are the scenarios in which there are many of something.
func populations(smoke bool) []scenario {
	size := func(n int) int { return n }
	if smoke {
		size = func(n int) int { return n / 100 }
	}
	many := func(name, title string, null bool, f func(*stage) error) scenario {
		return scenario{name: name, title: title, null: null, measure: func(p *peer.Process, _ time.Duration) ([]value, error) {
			return perform(p, smoke, f)
		}}
	}
	return []scenario{
		many("connect", "20,000 clients with a user name that connect and go, 32 at a time", true, func(s *stage) error { return s.logins(size(20_000)) }),
		many("idle", "19,000 connections that do nothing", true, func(s *stage) error { return s.idle(size(19_000)) }),
		many("idle-tls", "5,000 connections over TLS that do nothing", false, func(s *stage) error { return s.idleTLS(size(5_000)) }),
		many("subscriptions", "1,000,000 exact and 100,000 wildcard subscriptions, then QoS 0 to random topics of theirs", false,
			func(s *stage) error { return s.subscriptions(size(1_000_000), size(100_000), 10_000, size(500_000)) }),
		many("few-subscriptions", "as many clients with one subscription each, 100 exact and 10 wildcard ones, and the same messages", false,
			func(s *stage) error { return s.subscriptions(100, 10, 1, size(500_000)) }),
		many("retained", "200,000 retained messages", false, func(s *stage) error { return s.retained(size(200_000)) }),
		many("retained-million", "1,000,000 retained messages", false, func(s *stage) error { return s.retained(size(1_000_000)) }),
		many("offline", "100,000 QoS 1 messages queued for a client that is away", false,
			func(s *stage) error { return s.offline(size(100_000), 0) }),
		many("offline-crowd", "the same among 10,000 idle subscribers", false,
			func(s *stage) error { return s.offline(size(100_000), size(10_000)) }),
	}
}

// stage is one such scenario under way.
type stage struct {
	loop    *load.Loop
	process *peer.Process
	settle  time.Duration // until memory is what it stays
	silence time.Duration // until a client that says nothing is idle
	meter   meter
	values  []value
}

func perform(p *peer.Process, smoke bool, f func(*stage) error) (_ []value, err error) {
	l, err := load.NewLoop()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s := &stage{loop: l, process: p}
	if !smoke {
		s.settle = 2 * time.Second // for a collection or two; nothing tells when they are over
		s.silence = 15 * time.Second
	}
	if err := s.meter.mark(p); err != nil {
		return nil, err
	}
	err = f(s)
	return s.values, err
}

func (s *stage) mark() error { return s.meter.mark(s.process) }

func (s *stage) say(name string, n float64) { s.values = append(s.values, value{Name: name, N: n}) }

func (s *stage) fault(name string, n int) {
	s.values = append(s.values, value{Name: name, N: float64(n), Fault: true})
}

// done takes a reading and says how fast n things were done and what one cost.
func (s *stage) done(what string, n int) error {
	if err := s.mark(); err != nil {
		return err
	}
	s.say(what+"s/s", float64(n)/s.meter.seconds())
	s.say("CPU us/"+what, s.meter.broker().Seconds()*1e6/float64(n))
	return nil
}

// settled waits until the broker's memory is what it stays, and takes a
// reading from before to then.
func (s *stage) settled(what string, n int, before reading) error {
	time.Sleep(s.settle)
	if err := s.mark(); err != nil {
		return err
	}
	_, now := s.meter.ends()
	s.say("bytes/"+what, (float64(now.resident)-float64(before.resident))/float64(n))
	return nil
}

func (s *stage) logins(n int) error {
	took, err := load.Connects{Total: n, Together: min(n, 32), Hello: func(i int) []byte {
		return load.Connect(fmt.Sprintf("login%05d", i), true, peer.User, peer.Password)
	}}.Run(s.loop, s.process.Addr)
	if err != nil {
		return err
	}
	if err := s.done("connect", n); err != nil {
		return err
	}
	s.say("plugin CPU us/connect", s.meter.plugins().Seconds()*1e6/float64(n))
	s.say("p50 us", percentile(took, 50))
	s.say("p99 us", percentile(took, 99))
	return nil
}

func (s *stage) idle(n int) error {
	before := s.meter.marks[0]
	hello := make([][]byte, n)
	for i := range hello {
		hello[i] = load.Connect(fmt.Sprintf("idle%05d", i), true, "", "")
	}
	if _, err := load.Dial(s.loop, s.process.Addr, hello, nil); err != nil {
		return err
	}
	if err := s.done("connect", n); err != nil {
		return err
	}
	time.Sleep(s.silence)
	return s.settled("connection", n, before)
}

// subscriptions lets clients of some subscriptions each fill the table, and then
// publishes so many messages to topics that one of each kind matches.
func (s *stage) subscriptions(exact, wild, each, messages int) error {
	const packet = 100
	exactFilter := func(i int) string { return fmt.Sprintf("fleet/r%02d/v%07d/tele", i%100, i) }
	wildFilter := func(i int) string { return fmt.Sprintf("fleet/+/v%07d/#", i*(exact/wild)) }
	received := 0
	subscribe := func(what string, n int, filter func(int) string) error {
		if err := s.mark(); err != nil {
			return err
		}
		_, before := s.meter.ends()
		clients, err := s.connect(what, (n+each-1)/each, func(*load.Client, load.Packet) { received++ })
		if err != nil {
			return err
		}
		for from := 0; from < min(n, each); from += packet {
			err := load.SubscribeAll(s.loop, clients, 0, func(c int) []string {
				filters := make([]string, 0, packet)
				for i := c*each + from; i < min(c*each+min(from+packet, each), n); i++ {
					filters = append(filters, filter(i))
				}
				return filters
			})
			if err != nil {
				return err
			}
		}
		if err := s.done(what, n); err != nil {
			return err
		}
		return s.settled(what, n, before)
	}
	if err := subscribe("subscription", exact, exactFilter); err != nil {
		return err
	}
	if err := subscribe("wildcard", wild, wildFilter); err != nil {
		return err
	}
	pub, err := s.connect("pub", 1, nil)
	if err != nil {
		return err
	}
	if err := s.mark(); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // every run is to send the same
	const window = 500
	sent := 0
	payload := make([]byte, 128)
	err = s.loop.Until(3*time.Second, func() bool {
		for sent < messages && 2*sent-received < 2*window {
			pub[0].Append(load.Publish(exactFilter(random.IntN(wild)*(exact/wild)), 0, false, 0, payload)...)
			sent++
		}
		pub[0].Flush()
		return received >= 2*messages
	})
	if err := s.arrived(err, 2*messages, received); err != nil {
		return err
	}
	return s.done("message", received)
}

// arrived counts what is missing. That no more arrives is not the bench's
// fault.
func (s *stage) arrived(err error, want, got int) error {
	s.fault("missing", want-got)
	if errors.Is(err, load.ErrIdle) {
		return nil
	}
	return err
}

func (s *stage) connect(name string, n int, on func(*load.Client, load.Packet)) ([]*load.Client, error) {
	hello := make([][]byte, n)
	for i := range hello {
		hello[i] = load.Connect(fmt.Sprintf("%s%05d", name, i), true, "", "")
	}
	return load.Dial(s.loop, s.process.Addr, hello, on)
}

// publishAll sends n QoS 1 messages with a window and waits for their
// acknowledgements.
func (s *stage) publishAll(n int, message func(i int, id uint16) []byte) error {
	acknowledged := 0
	pub, err := s.connect("pub", 1, func(*load.Client, load.Packet) { acknowledged++ })
	if err != nil {
		return err
	}
	if err := s.mark(); err != nil {
		return err
	}
	const window, burst = 100, 16
	sent := 0
	return s.loop.Until(10*time.Second, func() bool {
		for sent < n && sent-acknowledged <= window-burst {
			for end := min(sent+burst, n); sent < end; sent++ {
				pub[0].Append(message(sent, uint16(sent%0xFFFF+1))...)
			}
			pub[0].Flush()
		}
		return acknowledged == n
	})
}

func (s *stage) retained(n int) error {
	before := s.meter.marks[0]
	payload := make([]byte, 128)
	err := s.publishAll(n, func(i int, id uint16) []byte {
		return load.Publish(fmt.Sprintf("ret/%04d/%04d/s", i/1000, i%1000), 1, true, id, payload)
	})
	if err != nil {
		return err
	}
	if err := s.done("store", n); err != nil {
		return err
	}
	if err := s.settled("retained message", n, before); err != nil {
		return err
	}
	if err := s.receiveRetained("prefix", fmt.Sprintf("ret/%04d/#", n/2000), min(n, 1000)); err != nil {
		return err
	}
	return s.receiveRetained("all", "ret/#", n)
}

// receiveRetained subscribes and waits for what is retained.
func (s *stage) receiveRetained(name, filter string, n int) error {
	got := 0
	sub, err := s.connect(name, 1, func(*load.Client, load.Packet) { got++ })
	if err != nil {
		return err
	}
	if err := s.mark(); err != nil {
		return err
	}
	sub[0].Append(load.Subscribe(1, 0, filter)...)
	sub[0].Flush()
	err = s.loop.Until(5*time.Second, func() bool { return got >= n+1 }) // the SUBACK too
	if err := s.arrived(err, n+1, got); err != nil {
		return err
	}
	return s.done(name+" message", n)
}

// offline queues messages for a session whose client is away, and lets it come
// back, among a crowd of other clients with subscriptions of their own.
func (s *stage) offline(n, crowd int) error {
	others, err := s.connect("crowd", crowd, nil)
	if err != nil {
		return err
	}
	if err := load.SubscribeAll(s.loop, others, 0, func(i int) []string { return []string{fmt.Sprintf("crowd/%05d", i)} }); err != nil {
		return err
	}
	hello := [][]byte{load.Connect("away", false, "", "")}
	away, err := load.Dial(s.loop, s.process.Addr, hello, nil)
	if err != nil {
		return err
	}
	if err := load.SubscribeAll(s.loop, away, 1, func(int) []string { return []string{"off/#"} }); err != nil {
		return err
	}
	away[0].Drop()
	if err := s.mark(); err != nil {
		return err
	}
	_, before := s.meter.ends()
	payload := make([]byte, 128)
	err = s.publishAll(n, func(i int, id uint16) []byte {
		load.SetNumber(payload, uint64(i))
		return load.Publish("off/line", 1, false, id, payload)
	})
	if err != nil {
		return err
	}
	if err := s.done("queued message", n); err != nil {
		return err
	}
	if err := s.settled("queued message", n, before); err != nil {
		return err
	}
	var check load.Check
	_, err = load.Dial(s.loop, s.process.Addr, hello, func(c *load.Client, p load.Packet) {
		if payload := c.Take(p); payload != nil {
			check.Saw(load.Number(payload))
		}
	})
	if err != nil {
		return err
	}
	err = s.loop.Until(5*time.Second, func() bool { return check.Received >= uint64(n) })
	if err := s.arrived(err, n, int(check.Received)); err != nil {
		return err
	}
	s.fault("repeated", int(check.Duplicates))
	s.fault("out of order", int(check.Disorder))
	return s.done("drained message", n)
}
