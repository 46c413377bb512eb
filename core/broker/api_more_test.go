package broker_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/packet"
	"github.com/gatehouse-mqtt/gatehouse/core/retain"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
	"github.com/gatehouse-mqtt/gatehouse/internal/brokertest"
)

// Items that the server sets are seen by every hook from then on.
func TestUpdateItems(t *testing.T) {
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetValidators([]hook.ValidatorEntry{{Name: "v", Validator: hook.ValidatorFunc(func(context.Context, *hook.Connect) (*hook.Decision, error) {
		return &hook.Decision{Verdict: hook.Allow, Items: map[string][]byte{"tenant": []byte("acme"), "tmp": nil}}, nil
	})}})
	seen := make(chan map[string][]byte, 10)
	h.SetInterceptors([]hook.InterceptorEntry{rules(func(p hook.Point, c *hook.Call) {
		if p == hook.PointPublish {
			seen <- c.Client.Items
		}
	}).entry()})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	c := b.Connect("c")
	c.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.NoMatchingSubscribers)
	before := <-seen
	value := []byte("5")
	items, err := b.Sessions().UpdateItems("c", map[string][]byte{"level": value}, "tmp", "absent")
	value[0] = 'X' // a copy is kept
	want := map[string][]byte{"tenant": []byte("acme"), "level": []byte("5")}
	if d := cmp.Diff(want, items); d != "" || err != nil {
		t.Errorf("%v %s", err, d)
	}
	c.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.NoMatchingSubscribers)
	if d := cmp.Diff(want, <-seen); d != "" {
		t.Error(d)
	}
	if s, _ := b.Sessions().Get("c"); !cmp.Equal(want, s.Items) {
		t.Errorf("the session has %v", s.Items)
	}
	if _, ok := before["level"]; ok || len(before) != 2 {
		t.Errorf("what a hook was given has changed: %v", before)
	}
	for name, set := range map[string]map[string][]byte{"large": {"x": make([]byte, 64<<10)}, "many": manyItems(300)} {
		if _, err := b.Sessions().UpdateItems("c", set); !errors.Is(err, broker.ErrQuota) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := b.Sessions().UpdateItems("nobody", nil); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("got %v", err)
	}
}

// The server has a session of its own, for what all hooks have in common.
func TestServerItems(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	s := b.Sessions()
	if got, ok := s.Get(""); !ok || len(got.Items) != 0 {
		t.Errorf("before: %+v, %v", got, ok)
	}
	value := []byte("berlin")
	first, err := s.UpdateItems("", map[string][]byte{"site": value, "tmp": nil})
	if err != nil {
		t.Fatal(err)
	}
	value[0] = 'X' // a copy is kept
	if _, err := s.UpdateItems("", map[string][]byte{"level": []byte("5")}, "tmp"); err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"site": []byte("berlin"), "level": []byte("5")}
	if got, ok := s.Get(""); !ok || !cmp.Equal(want, got.Items) || len(first) != 2 {
		t.Errorf("after: %+v, %v; before %v", got, ok, first)
	}
	if _, err := s.UpdateItems("", manyItems(300)); !errors.Is(err, broker.ErrQuota) {
		t.Errorf("too many: %v", err)
	}
	if got, _ := s.Get(""); !cmp.Equal(want, got.Items) || len(s.List("", 10)) != 0 {
		t.Errorf("in the end: %+v, %v", got, s.List("", 10))
	}
}

// Counters of a connection begin anew; those of the broker go on.
func TestResetStatistics(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	c := b.Connect("c")
	c.Publish(mqtt.Message{Topic: "t", QoS: 1, Payload: []byte("before")}, mqtt.NoMatchingSubscribers)
	if s, _ := b.Clients().Get("c"); s.MessagesReceived != 1 || s.PacketsReceived != 2 || s.BytesReceived == 0 || s.PacketsSent != 2 {
		t.Errorf("before: %+v", s)
	}
	if err := b.Clients().ResetStatistics("c"); err != nil {
		t.Fatal(err)
	}
	s, _ := b.Clients().Get("c")
	if s.MessagesReceived != 0 || s.PacketsReceived != 0 || s.BytesReceived != 0 || s.PacketsSent != 0 || s.BytesSent != 0 || s.LastReceived.IsZero() {
		t.Errorf("after: %+v", s)
	}
	c.Publish(mqtt.Message{Topic: "t", QoS: 1}, mqtt.NoMatchingSubscribers)
	if s, _ := b.Clients().Get("c"); s.MessagesReceived != 1 || s.PacketsReceived != 1 || s.PacketsSent != 1 {
		t.Errorf("later: %+v", s)
	}
	if err := b.Clients().ResetStatistics("nobody"); !errors.Is(err, broker.ErrUnknownClient) {
		t.Errorf("nobody: %v", err)
	}
}

func manyItems(n int) map[string][]byte {
	items := make(map[string][]byte)
	for i := range n {
		items[fmt.Sprint(i)] = nil
	}
	return items
}

func TestPause(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	old := b.Connect("old")
	b.Clients().Pause()
	nc, err := net.Dial("tcp", b.Addr)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.SetReadDeadline(time.Now().Add(brokertest.Patience))
	if n, err := nc.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused broker said something: %d, %v", n, err)
	}
	_ = nc.Close()
	old.ExpectNothing() // but it is there
	b.Clients().Resume()
	b.Connect("new")
}

func TestShutdownWith(t *testing.T) {
	user := []mqtt.UserProperty{{Key: "until", Value: "noon"}}
	for _, tt := range []struct {
		farewell broker.Farewell
		want     packet.Disconnect
	}{
		{broker.Farewell{}, packet.Disconnect{Code: mqtt.ServerShuttingDown, Reason: "the server is shutting down"}},
		{
			broker.Farewell{Reason: "maintenance", ServerReference: "b.example:1883", User: user},
			packet.Disconnect{Code: mqtt.UseAnotherServer, Reason: "maintenance", ServerReference: "b.example:1883", User: user},
		},
		{broker.Farewell{Code: mqtt.ServerMoved, ServerReference: "b"}, packet.Disconnect{Code: mqtt.ServerMoved, Reason: "the server is shutting down", ServerReference: "b"}},
	} {
		b := brokertest.Start(t, broker.Options{})
		c, old := b.Connect("c"), b.Connect("old", brokertest.V311)
		if err := b.ShutdownWith(t.Context(), tt.farewell); err != nil {
			t.Error(err)
		}
		c.Expect(&tt.want)
		c.ExpectClosed()
		old.ExpectClosed()
	}
}

func TestDisconnectClientWithUserProperties(t *testing.T) {
	b := brokertest.Start(t, broker.Options{})
	c := b.Connect("c")
	user := []mqtt.UserProperty{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}}
	if err := b.Clients().Disconnect("c", broker.Disconnection{Code: mqtt.ServerBusy, User: user}); err != nil {
		t.Fatal(err)
	}
	c.Expect(&packet.Disconnect{Code: mqtt.ServerBusy, User: user})
}

func TestRetainedClear(t *testing.T) {
	w := watcher{make(chan hook.Event, 100)}
	h := hook.NewHooks(nil)
	t.Cleanup(h.Close)
	h.SetObservers([]hook.ObserverEntry{{Observer: w, Interests: []hook.Interest{{Point: hook.PointEvent, Events: []hook.EventKind{hook.RetainedCleared}}}}})
	b := brokertest.Start(t, broker.Options{Hooks: h})
	var revisions []uint64
	for _, name := range []string{"a", "b/c", "$own", "d"} {
		revision, err := b.Retained().Put(t.Context(), &mqtt.Message{Topic: name, Payload: []byte("x")})
		if err != nil {
			t.Fatal(err)
		}
		revisions = append(revisions, revision)
	}
	if !slices.IsSorted(revisions) || revisions[0] == 0 {
		t.Errorf("revisions %v", revisions)
	}
	if n, err := b.Retained().Delete(t.Context(), "d"); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if e := <-w.events; e.Message == nil || e.Message.Topic != "d" {
		t.Errorf("got %+v", e)
	}
	if n, err := b.Retained().Clear(t.Context()); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if e := <-w.events; e.Message != nil || e.Reason != "all" {
		t.Errorf("got %+v", e)
	}
	if list, err := b.Retained().List("", "", 10); len(list) != 0 || err != nil {
		t.Errorf("got %v, %v", list, err)
	}
	for _, f := range []string{"a/#/b", ""} {
		if _, err := b.Retained().Delete(t.Context(), f); !errors.Is(err, broker.ErrInvalid) {
			t.Errorf("delete %q: %v", f, err)
		}
	}
	if _, err := b.Retained().List("a/#/b", "", 1); !errors.Is(err, broker.ErrInvalid) {
		t.Errorf("list: %v", err)
	}
}

func TestRetainedPutQuota(t *testing.T) {
	b := brokertest.Start(t, broker.Options{Limits: broker.Limits{RetainedMessages: 1}})
	for i, want := range []error{nil, broker.ErrQuota} {
		_, err := b.Retained().Put(t.Context(), &mqtt.Message{Topic: fmt.Sprint(i), Payload: []byte("x")})
		if !errors.Is(err, want) {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// Pages of any size, one after the other, are the sorted list of what matches.
func TestRetainedPages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		index := retain.New(retain.Options{})
		b := broker.New(broker.Options{Retained: index})
		level := rapid.SampledFrom([]string{"a", "b", "$c", "d d"})
		names := rapid.SliceOfDistinct(rapid.Custom(func(t *rapid.T) string {
			name := level.Draw(t, "level")
			for range rapid.IntRange(0, 2).Draw(t, "more") {
				name += "/" + level.Draw(t, "level")
			}
			return name
		}), rapid.ID[string]).Draw(t, "names")
		for _, name := range names {
			if _, err := index.Set(&mqtt.Message{Topic: name, Payload: []byte("x")}, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		filter := rapid.SampledFrom([]string{"", "#", "a/#", "+/b", "$c/+"}).Draw(t, "filter")
		var want, got []string
		for _, name := range names {
			if filter == "" || topic.Match(filter, name) {
				want = append(want, name)
			}
		}
		slices.Sort(want)
		limit := rapid.IntRange(1, 5).Draw(t, "limit")
		for after := ""; ; after = got[len(got)-1] {
			page, err := b.Retained().List(filter, after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				got = append(got, m.Topic)
			}
			if len(page) < limit {
				break
			}
		}
		if !slices.Equal(want, got) {
			t.Errorf("want %q, got %q", want, got)
		}
	})
}
