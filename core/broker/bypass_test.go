package broker_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// startGranting starts a broker whose clients have grants and a mountpoint, with
// interceptors.
func startGranting(t *testing.T, mountpoint string, grants []hook.Grant, entries ...hook.InterceptorEntry) *brokertest.Broker {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{Name: "v", Validator: hook.ValidatorFunc(
		func(_ context.Context, c *hook.Connect) (*hook.Decision, error) {
			if c.ClientID == "free" {
				return &hook.Decision{Verdict: hook.Allow}, nil
			}
			return &hook.Decision{Verdict: hook.Allow, Mountpoint: mountpoint, Grants: &hook.Grants{List: grants}}, nil
		})}})
	h.SetInterceptors(entries)
	return brokertest.Start(t, broker.Options{Hooks: h})
}

// moving leads what begins with one name to another, for publishes and
// subscribes, with the privileges of the interest.
func moving(from, to string, in hook.Interest, allowed bool) hook.InterceptorEntry {
	e := rules(func(p hook.Point, c *hook.Call) {
		switch {
		case p == hook.PointPublish && strings.HasPrefix(c.Message.Topic, from):
			c.Message = c.Message.Clone()
			c.Message.Topic = to + strings.TrimPrefix(c.Message.Topic, from)
		case p == hook.PointSubscribe && strings.HasPrefix(c.Subscription.Filter, from):
			c.Subscription.Filter = to + strings.TrimPrefix(c.Subscription.Filter, from)
		}
	}).entry()
	e.MayBypassAuthorization = allowed
	e.Interests = nil
	for _, p := range []hook.Point{hook.PointPublish, hook.PointSubscribe} {
		in.Point, in.MayChange = p, hook.FieldAll
		e.Interests = append(e.Interests, in)
	}
	return e
}

// An interceptor that comes before the grants makes of a call what they are
// then held against; where the configuration does not allow it, it comes after.
func TestBeforeAuthorization(t *testing.T) {
	early := hook.Interest{BeforeAuthorization: true}
	grants := []hook.Grant{{Filter: "out/#"}}
	for _, allowed := range []bool{true, false} {
		b := startGranting(t, "m/", grants, moving("m/in/", "m/out/", early, allowed))
		free := b.Connect("free")
		free.Subscribe(0, "m/#")
		c := b.Connect("c", func(p *packet.Connect) {
			p.Will = &packet.Will{Topic: "out/will", Payload: []byte("gone")}
		})
		code := mqtt.NotAuthorized
		if allowed {
			code = mqtt.Success
		}
		c.Publish(mqtt.Message{Topic: "in/a", Payload: []byte("x"), QoS: 1}, code)
		c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "in/+"}, {Filter: "other"}}})
		c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{code, mqtt.NotAuthorized}})
		c.Publish(mqtt.Message{Topic: "other", QoS: 2}, mqtt.NotAuthorized)
		if allowed {
			free.ExpectMessage("m/out/a", "x")
			free.Publish(mqtt.Message{Topic: "m/out/b", Payload: []byte("y")}, 0)
			c.ExpectMessage("out/b", "y")
			free.ExpectMessage("m/out/b", "y")
		}
		c.Drop()
		free.ExpectMessage("m/out/will", "gone")
	}
}

// What an exempt interceptor changes may lead where the client may not go; if
// another one has a hand in it, all of it is authorised.
func TestExemptChanges(t *testing.T) {
	exempt := hook.Interest{ExemptChanges: true}
	grants := []hook.Grant{{Filter: "in/#"}}
	lead := moving("in/", "out/", exempt, true)
	for _, tt := range []struct {
		name    string
		entries []hook.InterceptorEntry
		want    string // "" if refused
	}{
		{"alone", []hook.InterceptorEntry{lead}, "out/a"},
		{"not allowed", []hook.InterceptorEntry{moving("in/", "out/", exempt, false)}, ""},
		{"not asked for", []hook.InterceptorEntry{moving("in/", "out/", hook.Interest{}, true)}, ""},
		{"led on by another", []hook.InterceptorEntry{lead, moving("out/", "on/", hook.Interest{}, true)}, ""},
		{"led to it by another", []hook.InterceptorEntry{moving("in/", "by/", hook.Interest{}, true), moving("by/", "out/", exempt, true)}, ""},
		{"led back", []hook.InterceptorEntry{lead, moving("out/", "in/", hook.Interest{}, true)}, "in/a"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := startGranting(t, "", grants, tt.entries...)
			free := b.Connect("free")
			free.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "+/a"}}})
			free.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{0}})
			c := b.Connect("c")
			code := mqtt.Success
			if tt.want == "" {
				code = mqtt.NotAuthorized
			}
			c.Publish(mqtt.Message{Topic: "in/a", Payload: []byte("x"), QoS: 1}, code)
			c.Send(&packet.Subscribe{ID: 1, Subscriptions: []mqtt.Subscription{{Filter: "in/b"}}})
			c.Expect(&packet.Suback{ID: 1, Codes: []mqtt.ReasonCode{code}})
			if tt.want == "" {
				free.ExpectNothing()
				return
			}
			free.ExpectMessage(tt.want, "x")
			revalidate(t, b) // the subscription is nothing that grants could end
			name := strings.Replace(tt.want, "a", "b", 1)
			b.Connect("free2").Disconnect()
			if _, err := b.Publish(t.Context(), &mqtt.Message{Topic: name, Payload: []byte("y")}); err != nil {
				t.Fatal(err)
			}
			c.ExpectMessage(name, "y")
		})
	}
}

// Hooks see topics and filters with the mountpoint in front, and the mountpoint
// with the client; grants and the client itself know nothing of it.
func TestMountpointInEveryHook(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[string]string) // by point, the topic or filter
	note := func(point, name string, c *hook.Client) {
		mu.Lock()
		defer mu.Unlock()
		if c != nil && c.ID == "c" && c.Mountpoint != "m/" {
			name += " without a mountpoint"
		}
		seen[point] = name
	}
	h := hook.NewHooks(nil)
	h.SetValidators([]hook.ValidatorEntry{{Name: "v", Validator: hook.ValidatorFunc(
		func(context.Context, *hook.Connect) (*hook.Decision, error) {
			return &hook.Decision{
				Verdict: hook.Allow, Mountpoint: "m/", Grants: &hook.Grants{List: []hook.Grant{{Filter: "t/#"}}},
			}, nil
		})}})
	h.SetInterceptors([]hook.InterceptorEntry{rules(func(p hook.Point, c *hook.Call) {
		if c.Message != nil {
			note(p.String(), c.Message.Topic, c.Client)
		} else {
			note(p.String(), c.Subscription.Filter, c.Client)
		}
	}).entry()})
	w := watcher{make(chan hook.Event, 100)}
	h.SetObservers([]hook.ObserverEntry{{Observer: w}})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	c := b.Connect("c", func(p *packet.Connect) { p.Will = &packet.Will{Topic: "t/will", Payload: []byte("w")} })
	c.Subscribe(1, "t/+", "$share/g/t/shared/#")
	c.Publish(mqtt.Message{Topic: "t/1", Payload: []byte("x"), Retain: true}, 0)
	c.ExpectMessage("t/1", "x")
	c.Send(&packet.Unsubscribe{ID: 1, Filters: []string{"$share/g/t/shared/#"}})
	c.Expect(&packet.Unsuback{ID: 1, Codes: []mqtt.ReasonCode{0}})
	for point, want := range map[string]string{
		"publish": "m/t/1", "deliver": "m/t/1", "subscribe": "$share/g/m/t/shared/#", "unsubscribe": "$share/g/m/t/shared/#",
	} {
		mu.Lock()
		if seen[point] != want {
			t.Errorf("%s saw %q, want %q", point, seen[point], want)
		}
		mu.Unlock()
	}
	c.Drop()
	eventually(t, "the will intercepted", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return seen["publish"] == "m/t/will"
	})
	b.Stop()
	h.Close()
	close(w.events)
	for e := range w.events {
		name := e.Subscription.Filter
		if e.Message != nil {
			name = e.Message.Topic
		}
		if name != "" && !strings.HasPrefix(strings.TrimPrefix(name, "$share/g/"), "m/t/") {
			t.Errorf("event %d tells of %q", e.Kind, name)
		}
	}
}
