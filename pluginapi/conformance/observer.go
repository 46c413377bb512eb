package conformance

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// observerCases are about events.
var observerCases = []testCase{
	{
		"observer/events", "each kind of event that it asked for is taken, alone and in a batch",
		"answer when the batch was taken; what goes wrong with an event belongs into the log and not into a status", testEvents,
	},
	{
		"observer/gap", "a batch that tells of lost events is taken, an empty one too",
		"count what was lost, and go on", testGap,
	},
	{
		"observer/snapshot", "a snapshot is taken: at the beginning, again, and after events were lost",
		"begin anew with each SNAPSHOT_BEGINS; a later one takes the place of what was known", testObserverSnapshot,
	},
	{
		"observer/stream", "the stream answers each batch in order with the number of batches taken so far",
		"count batches, not events, and answer each", testEventStream,
	},
	{
		"observer/hostile", "an event is taken whatever its texts and binary fields hold",
		"a client can send this: take it. The broker counts what fails", testHostileEvents,
	},
	{
		"observer/nonsense", "kinds of events of a later version, and events that no broker sends, do not end the plugin",
		"skip what you do not know", testNonsenseEvents,
	},
}

// eventKinds are the kinds that the plugin wants, all if it does not say.
func (k *kit) eventKinds() []pluginv1.EventKind {
	var kinds []pluginv1.EventKind
	all := len(k.init.GetInterest()) == 0
	for _, in := range k.init.GetInterest() {
		if in.GetHook() == pluginv1.Hook_HOOK_EVENT {
			kinds = append(kinds, in.GetEvents()...)
			all = all || len(in.GetEvents()) == 0
		}
	}
	if all || len(kinds) == 0 {
		kinds = nil
		for e := pluginv1.EventKind_EVENT_KIND_CONNECTED; e <= pluginv1.EventKind_EVENT_KIND_REFUSED; e++ {
			kinds = append(kinds, e)
		}
	}
	slices.Sort(kinds)
	return slices.Compact(kinds)
}

// wantsSnapshot reports whether the plugin asks for snapshots.
func (k *kit) wantsSnapshot() bool {
	return slices.ContainsFunc(k.init.GetInterest(), func(in *pluginv1.HookInterest) bool {
		return in.GetHook() == pluginv1.Hook_HOOK_EVENT && in.GetSnapshot()
	})
}

// event is an event with what its kind has.
func event(kind pluginv1.EventKind, seq uint64) *pluginv1.Event {
	e := &pluginv1.Event{
		Kind: kind, TimeUnixNanos: 1700000000123456789, ClientId: "check-client", ConnectionId: 40, Seq: seq,
	}
	switch kind {
	case pluginv1.EventKind_EVENT_KIND_SNAPSHOT_BEGINS, pluginv1.EventKind_EVENT_KIND_SNAPSHOT_ENDS:
		e.ClientId, e.ConnectionId, e.Seq = "", 0, 0
	case pluginv1.EventKind_EVENT_KIND_DISCONNECTED:
		e.ReasonCode, e.Reason, e.Disconnect = 0x8e, "taken over", pluginv1.DisconnectKind_DISCONNECT_KIND_TAKEN_OVER
	case pluginv1.EventKind_EVENT_KIND_SUBSCRIBED, pluginv1.EventKind_EVENT_KIND_UNSUBSCRIBED:
		e.Subscription = &pluginv1.Subscription{Filter: "$share/g/a/+/#", Qos: 2, NoLocal: true, RetainHandling: 2, Identifier: 268435455}
	case pluginv1.EventKind_EVENT_KIND_REFUSED:
		e.ReasonCode, e.Reason = 0x86, "wrong password"
	case pluginv1.EventKind_EVENT_KIND_DROPPED:
		e.Message, e.Cause = fullMessage("a/b"), "queue_full"
	case pluginv1.EventKind_EVENT_KIND_PUBLISHED, pluginv1.EventKind_EVENT_KIND_DELIVERED, pluginv1.EventKind_EVENT_KIND_ACKNOWLEDGED,
		pluginv1.EventKind_EVENT_KIND_NOT_CONSUMED, pluginv1.EventKind_EVENT_KIND_RETAINED_CHANGED,
		pluginv1.EventKind_EVENT_KIND_RETAINED_CLEARED, pluginv1.EventKind_EVENT_KIND_WILL_SENT:
		e.Message = fullMessage("a/b")
	default:
		e.Client = client(40)
	}
	return e
}

// observe tells of events.
func (c *check) observe(dropped uint64, events ...*pluginv1.Event) error {
	ctx, cancel := c.call()
	defer cancel()
	_, err := pluginv1.NewObserverServiceClient(c.process.Conn).Observe(ctx, &pluginv1.ObserveRequest{Events: events, Dropped: dropped})
	if err != nil {
		return fmt.Errorf("does not take %d events: %s", len(events), rpcError(err))
	}
	return nil
}

func testEvents(c *check) {
	var all []*pluginv1.Event
	for i, kind := range c.eventKinds() {
		e := event(kind, uint64(i+1))
		all = append(all, e)
		if err := c.observe(0, e); err != nil {
			c.failf("%v, of the kind %s", err, kind)
		}
		if c.enough() {
			return
		}
	}
	var many []*pluginv1.Event
	for range 50 {
		many = append(many, all...)
	}
	if err := c.observe(0, many...); err != nil {
		c.failf("%v, in one batch", err)
	}
}

func testGap(c *check) {
	for _, dropped := range []uint64{1, 1 << 40} {
		if err := c.observe(dropped, event(c.eventKinds()[0], 1000)); err != nil {
			c.failf("%v, after %d were lost", err, dropped)
		}
	}
	if err := c.observe(0); err != nil {
		c.failf("%v", err)
	}
	if err := c.observe(7); err != nil {
		c.failf("%v, after 7 were lost", err)
	}
}

// snapshot is a snapshot of clients that are connected.
func snapshot(clients int) []*pluginv1.Event {
	events := []*pluginv1.Event{event(pluginv1.EventKind_EVENT_KIND_SNAPSHOT_BEGINS, 0)}
	for i := range clients {
		e := event(pluginv1.EventKind_EVENT_KIND_PRESENT, uint64(i+1))
		e.ClientId, e.ConnectionId = fmt.Sprint("present-", i), uint64(100+i)
		e.Client.ClientId, e.Client.ConnectionId = e.ClientId, e.ConnectionId
		events = append(events, e)
	}
	return append(events, event(pluginv1.EventKind_EVENT_KIND_SNAPSHOT_ENDS, 0))
}

func testObserverSnapshot(c *check) {
	if !c.wantsSnapshot() {
		c.skipf("the plugin asks for no snapshot")
	}
	for i, clients := range []int{3, 0, 500} {
		if err := c.observe(uint64(i), snapshot(clients)...); err != nil {
			c.failf("%v, in a snapshot of %d clients", err, clients)
		}
	}
	// A large one comes in several batches.
	events := snapshot(20)
	for _, part := range [][]*pluginv1.Event{events[:1], events[1:10], events[10:]} {
		if err := c.observe(0, part...); err != nil {
			c.failf("%v, in a snapshot of three batches", err)
		}
	}
}

func testEventStream(c *check) {
	if !c.init.GetCapabilities().GetObserveStream() {
		c.skipf("the plugin has no ObserveStream; the broker calls Observe")
	}
	ctx, cancel := c.call()
	defer cancel()
	stream, err := pluginv1.NewObserverServiceClient(c.process.Conn).ObserveStream(ctx)
	if err != nil {
		c.fatalf("answers ObserveStream with %s", rpcError(err))
	}
	const batches = 20
	kind := c.eventKinds()[0]
	for i := range batches { // all of them before the first answer is read
		req := &pluginv1.ObserveStreamRequest{Dropped: uint64(i % 2)}
		for j := range i % 5 {
			req.Events = append(req.Events, event(kind, uint64(i*10+j+1)))
		}
		if err := stream.Send(req); err != nil {
			break // Recv has the reason
		}
	}
	if err := stream.CloseSend(); err != nil {
		c.fatalf("breaks the stream off: %s", rpcError(err))
	}
	taken := uint64(0)
	for taken < batches {
		out, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			c.fatalf("answers %d of %d batches", taken, batches)
		}
		if err != nil {
			c.fatalf("ends the stream with %s after %d of %d batches", rpcError(err), taken, batches)
		}
		// An answer may be for several batches, as long as the number tells.
		if out.GetBatches() <= taken || out.GetBatches() > batches {
			c.fatalf("answers %d batches after %d, of %d", out.GetBatches(), taken, batches)
		}
		taken = out.GetBatches()
	}
}

func testHostileEvents(c *check) {
	kinds := c.eventKinds()
	for _, kind := range []pluginv1.EventKind{kinds[0], kinds[len(kinds)/2], kinds[len(kinds)-1]} {
		e := event(kind, 2000)
		e.Client = client(40)
		e.Reason = "reason"
		c.tryAll(hostile(e, "topic", "filter", "cause"), func(m proto.Message) error { return c.observe(0, m.(*pluginv1.Event)) })
		if c.enough() {
			return
		}
	}
}

func testNonsenseEvents(c *check) {
	e := event(pluginv1.EventKind_EVENT_KIND_PUBLISHED, 3000)
	e.Client = client(40)
	for _, v := range nonsense(e) {
		c.survived(v.what, c.ask(v.m.(*pluginv1.Event)))
	}
	late := event(pluginv1.EventKind(99), 3001)
	if err := c.observe(0, late, event(c.eventKinds()[0], 3002)); err != nil {
		c.failf("%v, of which one is of a later version", err)
	}
	c.survived("a snapshot that ends without a beginning", c.ask(event(pluginv1.EventKind_EVENT_KIND_SNAPSHOT_ENDS, 0)))
}

// ask tells of one event and returns the status.
func (c *check) ask(e *pluginv1.Event) error {
	ctx, cancel := c.call()
	defer cancel()
	_, err := pluginv1.NewObserverServiceClient(c.process.Conn).Observe(ctx, &pluginv1.ObserveRequest{Events: []*pluginv1.Event{e}})
	return err
}
