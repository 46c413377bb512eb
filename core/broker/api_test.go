package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

func TestServerPublish(t *testing.T) {
	b := startWithRules(t, func(p hook.Point, c *hook.Call) {
		if p == hook.PointPublish && c.Message.Topic == "refuse" {
			if c.Message.Origin != mqtt.FromServer || c.Client != nil {
				t.Errorf("origin %v, client %v", c.Message.Origin, c.Client)
			}
			c.Verdict = hook.CallVerdict{Action: hook.Refuse, Code: mqtt.QuotaExceeded, Reason: "full"}
		}
	})
	sub := b.Connect("sub")
	sub.Subscribe(1, "#")
	if p, err := b.Publish(t.Context(), &mqtt.Message{Topic: "t", Payload: []byte("x"), QoS: 1}); p.Receivers != 1 || err != nil {
		t.Errorf("got %+v, %v", p, err)
	}
	sub.ExpectMessage("t", "x")
	var refusal *broker.Refusal
	if _, err := b.Publish(t.Context(), &mqtt.Message{Topic: "refuse"}); !errors.As(err, &refusal) || refusal.Code != mqtt.QuotaExceeded ||
		err.Error() != "rules refused: quota exceeded (full)" {
		t.Errorf("got %v", err)
	}
	for name, want := range map[string]string{"": "topic", "a/+": "topic", "$SYS/x": "broker alone"} {
		if _, err := b.Publish(t.Context(), &mqtt.Message{Topic: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	sub.ExpectNothing()
}

func TestClients(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	for _, id := range []string{"c", "a", "b"} {
		b.Connect(id, brokertest.Resume)
	}
	gone := b.Connect("gone", brokertest.Resume)
	gone.Disconnect()
	var ids []string
	for after := ""; ; {
		p := b.Clients().List(after, 2)
		if len(p) == 0 {
			break
		}
		for _, s := range p {
			ids = append(ids, s.ID)
		}
		after = ids[len(ids)-1]
	}
	if got := strings.Join(ids, ""); got != "abc" {
		t.Errorf("clients %q", got)
	}
	if s, ok := b.Clients().Get("a"); !ok || s.PacketsReceived == 0 || s.Connected.IsZero() || s.LastReceived.Before(s.Connected) {
		t.Errorf("got %+v", s)
	}
	if _, ok := b.Clients().Get("gone"); ok {
		t.Error("a client that is gone is listed")
	}
}

func TestDisconnectClient(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	sub := b.Connect("sub")
	sub.Subscribe(0, "will")
	will := func(p *packet.Connect) { p.Will = &packet.Will{Topic: "will", Payload: []byte(p.ClientID)} }
	silent, loud := b.Connect("silent", will), b.Connect("loud", will)
	if err := b.Clients().Disconnect("silent", broker.Disconnection{DiscardWill: true}); err != nil {
		t.Fatal(err)
	}
	silent.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction})
	silent.ExpectClosed()
	s, _ := b.Clients().Get("loud")
	if err := b.Clients().Disconnect("loud", broker.Disconnection{ConnectionID: s.ConnectionID + 1}); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("another connection: %v", err)
	}
	d := broker.Disconnection{ConnectionID: s.ConnectionID, Code: mqtt.UseAnotherServer, Reason: "go", ServerReference: "there"}
	if err := b.Clients().Disconnect("loud", d); err != nil {
		t.Fatal(err)
	}
	loud.Expect(&packet.Disconnect{Code: mqtt.UseAnotherServer, Reason: "go", ServerReference: "there"})
	loud.ExpectClosed()
	sub.ExpectMessage("will", "loud")
	sub.ExpectNothing()
	if err := b.Clients().Disconnect("nobody", broker.Disconnection{}); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("got %v", err)
	}
}

func TestSessions(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	c := b.Connect("c", brokertest.Resume)
	c.Subscribe(1, "q")
	c.Disconnect()
	if _, err := b.Publish(t.Context(), &mqtt.Message{Topic: "q", QoS: 1}); err != nil {
		t.Fatal(err)
	}
	if e, err := b.Sessions().Enqueue(t.Context(), "c", &mqtt.Message{Topic: "direct", Payload: []byte("d"), QoS: 1}); !e.Queued || e.Sent || err != nil {
		t.Errorf("got %+v, %v", e, err)
	}
	s, ok := b.Sessions().Get("c")
	if !ok || s.Connected || s.Pending != 2 || s.Expiry != time.Hour || len(s.Subscriptions) != 1 || s.Disconnected.IsZero() {
		t.Errorf("got %+v", s)
	}
	if n, err := b.Sessions().ClearQueue("c"); n != 2 || err != nil {
		t.Errorf("cleared %d, %v", n, err)
	}
	c = b.Connect("c", brokertest.Resume)
	c.ExpectNothing()
	if _, err := b.Sessions().Enqueue(t.Context(), "c", &mqtt.Message{Topic: "direct", Payload: []byte("d"), QoS: 2}); err != nil {
		t.Error(err)
	}
	c.ExpectMessage("direct", "d")
	if err := b.Sessions().Delete(t.Context(), "c"); err != nil {
		t.Error(err)
	}
	c.Expect(&packet.Disconnect{Code: mqtt.AdministrativeAction, Reason: "the session was deleted"})
	if _, ok := b.Sessions().Get("c"); ok || len(b.Sessions().List("", 10)) != 0 {
		t.Error("the session is still there")
	}
	if err := b.Sessions().Delete(t.Context(), "c"); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("got %v", err)
	}
}

func TestRetainedAPI(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	for _, name := range []string{"a/1", "a/2", "b", "$x/y"} {
		if _, err := b.Retained().Put(t.Context(), &mqtt.Message{Topic: name, Payload: []byte(name)}); err != nil {
			t.Fatal(err)
		}
	}
	names := func(filter, after string, limit int) string {
		var s []string
		list, err := b.Retained().List(filter, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range list {
			s = append(s, m.Topic)
		}
		return strings.Join(s, " ")
	}
	if got := names("", "", 10); got != "$x/y a/1 a/2 b" {
		t.Errorf("all: %q", got)
	}
	if got := names("a/+", "", 1) + "," + names("a/+", "a/1", 1) + "," + names("#", "", 10); got != "a/1,a/2,a/1 a/2 b" {
		t.Errorf("by page and filter: %q", got)
	}
	if m, ok := b.Retained().Get("b"); !ok || !m.Retain || string(m.Payload) != "b" {
		t.Errorf("got %+v", m)
	}
	if n, err := b.Retained().Delete(t.Context(), "a/#"); n != 2 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	if n, err := b.Retained().Delete(t.Context(), "b"); n != 1 || err != nil {
		t.Errorf("deleted %d, %v", n, err)
	}
	if got := names("", "", 10); got != "$x/y" {
		t.Errorf("left: %q", got)
	}
}
