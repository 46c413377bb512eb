package main

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// checkStore returns what "store check" says of a broker that does not run.
func (s *site) checkStore() string {
	var out, errs strings.Builder
	run([]string{"store", "check", "--data-dir", s.path("data")}, nil, &out, &errs)
	return out.String() + errs.String()
}

// Without a plugin for them, retained messages are in the store of sessions: they
// and their removal outlive kill -9, as soon as the publisher was acknowledged.
func TestRetainedOnDisk(t *testing.T) {
	t.Parallel()
	for _, durability := range []string{"sync", "interval", "none"} {
		t.Run(durability, func(t *testing.T) {
			t.Parallel()
			s := keepingSite(t, "sessions: {durability: "+durability+"}\n")
			p := s.start()
			want := p.seed(300)
			c := p.connect3("remover")
			for _, topic := range []string{"seed/7", "seed/8"} {
				if tk := c.Publish(topic, 1, true, ""); !tk.WaitTimeout(patience) || tk.Error() != nil {
					t.Fatal(tk.Error())
				}
				delete(want, topic)
			}
			pub := brokertest.At(t, p.addr).Connect("pub")
			short := &mqtt.Properties{Expiry: 1, HasExpiry: true}
			pub.Publish(mqtt.Message{Topic: "short", Payload: []byte("x"), QoS: 1, Retain: true, Properties: short}, mqtt.NoMatchingSubscribers)
			expired := time.Now().Add(time.Second)
			p.kill()
			if said := s.checkStore(); !strings.Contains(said, "299 retained messages") {
				t.Error(said)
			}
			p = s.start()
			<-time.After(time.Until(expired)) // its time goes on by the date
			p.wantRetained("reader", want)
			p.stop()
			p = s.start()
			p.wantRetained("reader", want)
		})
	}
}

// Those who do not want that have them in memory.
func TestRetainedNotOnDisk(t *testing.T) {
	t.Parallel()
	for _, cfg := range []string{"retained: {store: memory}\n", "sessions: {store: memory}\n"} {
		s := keepingSite(t, cfg)
		p := s.start()
		p.seed(10)
		p.stop()
		s.start().wantRetained("reader", map[string]string{})
	}
}

// Messages move from the store of sessions to a plugin and back, and a plugin that
// takes its place without a move is told of.
func TestMigrateFromDisk(t *testing.T) {
	t.Parallel()
	s := newSite(t, "retained: {store: disk}\nplugins:\n  retainjson: {config: {fsync: never}}\n", "retainjson")
	p := s.start()
	want := p.seed(100)
	if status, out := p.migrate("disk", "retainjson"); status != 0 || !strings.Contains(out, "retained: {store: retainjson}") {
		t.Errorf("status %d: %s", status, out)
	}
	p.kill()
	p = s.start() // with a configuration that still says disk
	p.waitLog("change retained.store")
	p.wantRetained("reader", want)
	c := p.connect3("later")
	if tk := c.Publish("seed/0", 1, true, "later"); !tk.WaitTimeout(patience) || tk.Error() != nil {
		t.Fatal(tk.Error())
	}
	want["seed/0"] = "later"
	if status, out := p.migrate("retainjson", "disk"); status != 0 {
		t.Errorf("status %d: %s", status, out)
	}
	p.kill()
	p = s.start()
	p.wantRetained("reader", want)
	p.stop()

	s = keepingSite(t, "")
	p = s.start()
	p.seed(3)
	p.stop()
	s.write("gatehouse.yaml", string(s.read("gatehouse.yaml"))+"retained: {store: memory}\n")
	p = s.start()
	p.waitLog("has retained messages that are not used")
}
