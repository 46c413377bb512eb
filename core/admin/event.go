package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"connectrpc.com/connect"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

const (
	// maxWatchers bounds who watches events: each costs clients a little.
	maxWatchers = 64

	defaultEventBuffer = 8192
	maxEventBuffer     = 65536
)

type eventService struct {
	hooks    *hook.Hooks
	closes   <-chan struct{} // closed when streams are to end; nil: never
	watchers atomic.Int64
}

// WatchEvents tells of events until ctx ends.
func (s *eventService) WatchEvents(ctx context.Context, req *adminv1.WatchEventsRequest, stream *connect.ServerStream[adminv1.WatchEventsResponse]) error {
	w, err := newEventWatcher(req)
	if err != nil {
		return err
	}
	defer s.watchers.Add(-1)
	if s.watchers.Add(1) > maxWatchers {
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("%d watch already, no more may", maxWatchers))
	}
	remove := s.hooks.AddObserver(w.entry(req))
	defer remove()
	defer w.leave()
	if err := stream.Send(new(adminv1.WatchEventsResponse)); err != nil {
		return err
	}
	for {
		select {
		case part := <-w.parts:
			if err := stream.Send(part); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		case <-s.closes:
			return connect.NewError(connect.CodeUnavailable, errStops)
		}
	}
}

var errStops = fmt.Errorf("the broker stops")

// eventWatcher hands events over to a stream. While the stream is busy they wait
// in the ring that every observer has.
type eventWatcher struct {
	kinds   []hook.EventKind
	client  pattern
	filters []string
	payload int

	parts chan *adminv1.WatchEventsResponse
	gone  chan struct{} // closed when nobody takes parts any more
	leave func()
}

func newEventWatcher(req *adminv1.WatchEventsRequest) (*eventWatcher, error) {
	w := &eventWatcher{
		client: pattern(req.GetClientId()), filters: req.GetTopicFilters(), payload: int(req.GetPayloadBytes()),
		parts: make(chan *adminv1.WatchEventsResponse), gone: make(chan struct{}),
	}
	w.leave = sync.OnceFunc(func() { close(w.gone) })
	for _, k := range req.GetKinds() {
		if k <= adminv1.EventKind_EVENT_KIND_UNSPECIFIED || int(k) >= int(hook.NumEventKinds) {
			return nil, fmt.Errorf("%w: there is no event %d", ErrInvalid, k)
		}
		w.kinds = append(w.kinds, hook.EventKind(k))
	}
	if req.GetSnapshot() && len(w.kinds) > 0 {
		w.kinds = append(w.kinds, hook.SnapshotBegins, hook.Present, hook.SnapshotEnds)
	}
	for _, f := range w.filters {
		if err := topic.ValidateFilter(f); err != nil {
			return nil, fmt.Errorf("%w: topic filter %q: %w", ErrInvalid, f, err)
		}
	}
	if req.GetBuffer() > maxEventBuffer {
		return nil, fmt.Errorf("%w: buffer %d: at most %d events wait", ErrInvalid, req.GetBuffer(), maxEventBuffer)
	}
	return w, nil
}

func (w *eventWatcher) entry(req *adminv1.WatchEventsRequest) hook.ObserverEntry {
	queue := int(req.GetBuffer())
	if queue == 0 {
		queue = defaultEventBuffer
	}
	e := hook.ObserverEntry{
		Name: "admin API", Observer: w, Queue: queue,
		Interests: []hook.Interest{{Point: hook.PointEvent, Events: w.kinds, Filters: w.filters, Snapshot: req.GetSnapshot()}},
	}
	if w.client != "" {
		e.Only = func(e *hook.Event) bool { return w.client.matches(e.ClientID) }
	}
	return e
}

// Observe implements [hook.Observer]. It waits until the stream has taken what
// was before.
func (w *eventWatcher) Observe(ctx context.Context, events []hook.Event, dropped uint64) {
	part := &adminv1.WatchEventsResponse{Dropped: dropped}
	for i := range events {
		// What is part of a snapshot has passed no filter yet.
		if e := &events[i]; e.Kind != hook.Present || w.client.matches(e.ClientID) {
			part.Events = append(part.Events, eventProto(e, w.payload))
		}
	}
	if len(part.GetEvents()) == 0 && dropped == 0 {
		return
	}
	select {
	case w.parts <- part:
	case <-w.gone:
	case <-ctx.Done():
	}
}

// disconnectedBy says how a connection ended.
var disconnectedBy = map[hook.DisconnectKind]string{
	hook.ByClient: "client", hook.Lost: "lost", hook.TakenOver: "taken over", hook.ByServer: "server",
}

func eventProto(e *hook.Event, payload int) *adminv1.Event {
	p := &adminv1.Event{
		Kind: adminv1.EventKind(e.Kind), TimeUnixNanos: unixNanos(e.Time), ClientId: e.ClientID, ConnectionId: e.ConnectionID,
		Sequence: e.Seq, ReasonCode: uint32(e.Code), Reason: strings.ToValidUTF8(e.Reason, "\uFFFD"), Cause: string(e.Cause),
		DisconnectedBy: disconnectedBy[e.Disconnect],
	}
	if c := e.Client; c != nil {
		p.Username, p.Address, p.Listener = c.Username, c.PeerAddress, c.Listener
	}
	if m := e.Message; m != nil {
		p.Message, p.PayloadSize, p.Publisher = messageProto(m, payload), count(len(m.Payload)), m.Publisher
	}
	if slices.Contains([]hook.EventKind{hook.Subscribed, hook.Unsubscribed}, e.Kind) || e.Subscription != (mqtt.Subscription{}) {
		p.Subscription = subscriptionProto("", &e.Subscription)
	}
	return p
}
