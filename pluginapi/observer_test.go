package pluginapi_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// seen is what an observer was told.
type seen struct {
	batches [][]pluginapi.Event
	dropped uint64
}

func (s *seen) Observe(_ context.Context, events []pluginapi.Event, dropped uint64) error {
	s.batches = append(s.batches, events)
	s.dropped += dropped
	switch {
	case len(events) > 0 && events[0].Reason == "fail":
		return errors.New("the log is full")
	case len(events) > 0 && events[0].Reason == "panic":
		panic("the log is on fire")
	}
	return nil
}

func TestEventsArrive(t *testing.T) {
	s := new(seen)
	p := plugintest.Start(t, pluginapi.Plugin{Name: "o", Hooks: s})
	sub := &pluginapi.Subscription{Filter: "f", QoS: 1}
	message := plugintest.Message("t", "p")
	message.Created = message.Created.Local()
	want := []pluginapi.Event{
		{},
		{
			Kind: pluginapi.EventDropped, Time: time.Unix(5, 6), ClientID: "c", ConnectionID: 7, Seq: 8, Client: plugintest.Client("c"),
			Message: message, Subscription: sub, Code: pluginapi.QuotaExceeded, Reason: "r", Cause: "queue_full", Disconnect: pluginapi.TakenOver,
		},
	}
	if err := p.Observe(t.Context(), want, 3); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]pluginapi.Event{want}, s.batches); diff != "" {
		t.Error(diff)
	}
	if s.dropped != 3 {
		t.Errorf("dropped %d, want 3", s.dropped)
	}
}

// TestObserverFails: events cannot be taken back, and the stream goes on.
func TestObserverFails(t *testing.T) {
	s := new(seen)
	p := plugintest.Start(t, pluginapi.Plugin{Name: "o", Hooks: s})
	api := pluginv1.NewObserverServiceClient(p.Conn())
	stream, err := api.ObserveStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, reason := range []string{"", "fail", "panic", ""} {
		if err := p.Observe(t.Context(), []pluginapi.Event{{Reason: reason}}, 0); err != nil {
			t.Errorf("unary %q: %v", reason, err)
		}
		if err := stream.Send(&pluginv1.ObserveStreamRequest{Events: []*pluginv1.Event{{Reason: reason}}, Dropped: 1}); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil || resp.GetBatches() != uint64(i+1) {
			t.Fatalf("stream %q: %v, %v; want batch %d", reason, resp, err, i+1)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if resp, err := stream.Recv(); err == nil {
		t.Errorf("another answer %v", resp)
	}
	if len(s.batches) != 8 || s.dropped != 4 {
		t.Errorf("%d batches and %d dropped, want 8 and 4", len(s.batches), s.dropped)
	}
}
