package trace_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
)

func publish(client, name string) hook.CallReport {
	m := &mqtt.Message{Topic: name, Publisher: client}
	return hook.CallReport{Asked: hook.Call{Client: &hook.Client{ID: client}, Message: m}, Message: m}
}

func subscribe(client, filter string) hook.CallReport {
	return hook.CallReport{Asked: hook.Call{Client: &hook.Client{ID: client}, Subscription: mqtt.Subscription{Filter: filter}}}
}

// What happened, as "hook point client topic" by the index of the report and the
// call.
var happened = []*hook.Report{
	{Hook: "auth", Point: hook.PointConnect, Connect: &hook.Connect{ClientID: "alice"}},
	{Hook: "rules", Point: hook.PointPublish, Took: time.Second, Calls: []hook.CallReport{
		publish("alice", "a/b"), publish("bob", "a/c"), publish("alice", "x"),
	}},
	{Hook: "rules", Point: hook.PointSubscribe, Calls: []hook.CallReport{
		subscribe("alice", "a/#"), subscribe("bob", "$share/g/x/+"),
	}},
	{Hook: "watch", Point: hook.PointEvent, Events: []hook.Event{
		{Kind: hook.Connected, ClientID: "alice"},
		{Kind: hook.Published, ClientID: "bob", Message: &mqtt.Message{Topic: "a/b"}},
		{Kind: hook.Subscribed, ClientID: "alice", Subscription: mqtt.Subscription{Filter: "a/+"}},
	}},
	{Hook: "keep", Point: hook.PointRetain, Changes: 3},
	{Hook: "rules", Point: hook.PointDeliver, Calls: []hook.CallReport{
		{Asked: hook.Call{Receiver: "carol", Message: &mqtt.Message{Topic: "a/b", Publisher: "bob"}}},
	}},
}

func TestFilter(t *testing.T) {
	type at [2]int
	for name, tt := range map[string]struct {
		filter trace.Filter
		want   []at
	}{
		"all":       {trace.Filter{}, []at{{0, 0}, {1, 0}, {1, 1}, {1, 2}, {2, 0}, {2, 1}, {3, 0}, {3, 1}, {3, 2}, {4, 0}, {5, 0}}},
		"plugin":    {trace.Filter{Hook: "auth"}, []at{{0, 0}}},
		"hook":      {trace.Filter{Point: "publish"}, []at{{1, 0}, {1, 1}, {1, 2}}},
		"client":    {trace.Filter{ClientID: "alice"}, []at{{0, 0}, {1, 0}, {1, 2}, {2, 0}, {3, 0}, {3, 2}}},
		"receiver":  {trace.Filter{ClientID: "carol"}, []at{{5, 0}}},
		"publisher": {trace.Filter{ClientID: "bob", Point: "deliver"}, []at{{5, 0}}},
		"topic":     {trace.Filter{Topic: "a/#"}, []at{{1, 0}, {1, 1}, {2, 0}, {3, 1}, {3, 2}, {5, 0}}},
		"shared":    {trace.Filter{Topic: "x/y"}, []at{{2, 1}}},
		"slow":      {trace.Filter{Slow: time.Millisecond}, []at{{1, 0}, {1, 1}, {1, 2}}},
		"two":       {trace.Filter{ClientID: "alice", Topic: "a/b"}, []at{{1, 0}, {2, 0}, {3, 2}}},
		"nothing":   {trace.Filter{Hook: "auth", Point: "publish"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tr := trace.New(tt.filter)
			for _, r := range happened {
				tr.Watched(r)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if tt.want == nil {
				cancel()
			}
			defer cancel()
			calls, dropped, err := tr.Next(ctx)
			if (err != nil) != (tt.want == nil) || dropped != 0 {
				t.Fatalf("%d dropped, %v", dropped, err)
			}
			var got []at
			for _, c := range calls {
				for i, r := range happened {
					if c.Report == r {
						got = append(got, at{i, c.At})
					}
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A ring that nobody empties stays bounded, by calls and by bytes, and counts.
func TestBounds(t *testing.T) {
	few := &hook.Report{Point: hook.PointPublish, Calls: []hook.CallReport{publish("c", "t")}}
	large := &mqtt.Message{Topic: "t", Payload: make([]byte, 16<<20)}
	big := &hook.Report{Point: hook.PointPublish, Calls: []hook.CallReport{{Asked: hook.Call{Message: large}, Message: large}}}
	for name, tt := range map[string]struct {
		r          *hook.Report
		kept, over int
	}{"calls": {few, 8192, 100}, "bytes": {big, 1, 5}} {
		t.Run(name, func(t *testing.T) {
			tr := trace.New(trace.Filter{})
			for range tt.kept + tt.over {
				tr.Watched(tt.r)
			}
			calls, dropped, err := tr.Next(t.Context())
			if len(calls) != tt.kept || dropped != uint64(tt.over) || err != nil {
				t.Errorf("%d calls, %d dropped, %v", len(calls), dropped, err)
			}
			tr.Watched(tt.r)
			if calls, dropped, _ = tr.Next(t.Context()); len(calls) != 1 || dropped != 0 {
				t.Errorf("afterwards %d calls, %d dropped", len(calls), dropped)
			}
		})
	}
}

// Calls of many clients arrive, each once.
func TestManyClients(t *testing.T) {
	tr := trace.New(trace.Filter{})
	const clients, each = 8, 500
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for range each {
				tr.Watched(&hook.Report{Point: hook.PointPublish, Calls: []hook.CallReport{publish("c", "t")}})
			}
		})
	}
	for seen := uint64(0); seen < clients*each; {
		calls, dropped, err := tr.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen += uint64(len(calls)) + dropped
	}
	wg.Wait()
}
