package pluginapi

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// TestReadFrame holds what is read by hand against the generated code.
func TestReadFrame(t *testing.T) {
	clients := newClientTable() // as on a stream, it remembers
	rapid.Check(t, func(t *rapid.T) {
		req := &pluginv1.InterceptStreamRequest{
			Clients: rapid.SliceOfN(rapid.Custom(drawClient), 0, 3).Draw(t, "clients"),
			Forget:  rapid.SliceOfN(rapid.Uint64Range(0, 1<<40), 0, 3).Draw(t, "forget"),
			Calls:   rapid.SliceOfN(rapid.Custom(drawCall), 0, 5).Draw(t, "calls"),
		}
		b, err := proto.Marshal(req)
		if err != nil {
			t.Fatal(err)
		}
		f := frames.Get().(*frame)
		f.buffer = mem.SliceBuffer(b)
		if err := f.read(clients); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(f.forget, req.Forget) || len(f.calls) != len(req.Calls) {
			t.Fatalf("%d calls and %v to forget", len(f.calls), f.forget)
		}
		for i, pb := range req.Calls {
			var want openCall
			callFromProto(pb, &want)
			want.client, want.undecided = clients.of(want.place.connection)
			got := f.calls[i]
			got.frame = nil
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(openCall{}, place{}), cmp.Comparer(func(a, b error) bool { return a == b })); diff != "" {
				t.Fatalf("call %d: -generated +by hand\n%s", i, diff)
			}
		}
		f.free()
	})
}

func drawClient(t *rapid.T) *pluginv1.ClientContext {
	return &pluginv1.ClientContext{ConnectionId: rapid.Uint64Range(1, 4).Draw(t, "id"), ClientId: drawText(t)}
}

func drawCall(t *rapid.T) *pluginv1.Call {
	c := &pluginv1.Call{Seq: rapid.Uint64().Draw(t, "seq"), ConnectionId: rapid.Uint64Range(0, 5).Draw(t, "connection")}
	switch rapid.IntRange(0, 5).Draw(t, "kind") {
	case 0:
		c.Call = &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: drawMessage(t)}}
	case 1:
		c.Call = &pluginv1.Call_Deliver{Deliver: &pluginv1.DeliverCall{Message: drawMessage(t), Receiver: drawText(t), Retained: rapid.Bool().Draw(t, "retained")}}
	case 2:
		c.Call = &pluginv1.Call_Subscribe{Subscribe: &pluginv1.SubscribeCall{
			Subscription: &pluginv1.Subscription{
				Filter: drawText(t), Qos: rapid.Uint32Range(0, 2).Draw(t, "qos"), NoLocal: rapid.Bool().Draw(t, "no local"),
				RetainAsPublished: rapid.Bool().Draw(t, "as published"), RetainHandling: rapid.Uint32Range(0, 2).Draw(t, "handling"),
				Identifier: rapid.Uint32().Draw(t, "identifier"),
			},
			UserProperties: drawUser(t),
		}}
	case 3:
		c.Call = &pluginv1.Call_Unsubscribe{Unsubscribe: &pluginv1.UnsubscribeCall{Filter: drawText(t), UserProperties: drawUser(t)}}
	case 4:
		c.Call = &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{}} // without a message
	}
	return c
}

func drawMessage(t *rapid.T) *pluginv1.Message {
	m := &pluginv1.Message{
		Topic: drawText(t), Payload: drawBytes(t), PayloadSize: rapid.Uint64Range(0, 100).Draw(t, "size"),
		Qos: rapid.Uint32Range(0, 2).Draw(t, "qos"), Retain: rapid.Bool().Draw(t, "retain"),
		ContentType: drawText(t), ResponseTopic: drawText(t), UserProperties: drawUser(t), Publisher: drawText(t),
		Origin: pluginv1.Origin(rapid.Int32Range(0, 4).Draw(t, "origin")), CreatedUnixNanos: rapid.Int64().Draw(t, "created"),
		Hops: rapid.Uint32().Draw(t, "hops"),
	}
	if rapid.Bool().Draw(t, "properties") {
		m.PayloadIsUtf8 = new(rapid.Bool().Draw(t, "format"))
		m.ExpirySeconds = new(rapid.Uint32().Draw(t, "expiry"))
		m.CorrelationData = append([]byte{}, drawBytes(t)...)
	}
	return m
}

func drawText(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "a", "garden/ä/temperature", "\x00", "client"}).Draw(t, "text")
}

func drawBytes(t *rapid.T) []byte {
	if b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes"); len(b) > 0 {
		return b
	}
	return nil
}

func drawUser(t *rapid.T) []*pluginv1.UserProperty {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) *pluginv1.UserProperty {
		return &pluginv1.UserProperty{Key: drawText(t), Value: drawText(t)}
	}), 0, 3).Draw(t, "user properties")
}

// FuzzFrame reads anything: it is an error or it is read, and the generated code
// agrees that it can be, for it is more tolerant in nothing that matters.
func FuzzFrame(f *testing.F) {
	for _, req := range []*pluginv1.InterceptStreamRequest{
		{},
		{Clients: []*pluginv1.ClientContext{{ConnectionId: 1, ClientId: "a"}}, Forget: []uint64{1, 1 << 40}},
		{Calls: []*pluginv1.Call{{Seq: 1, Call: &pluginv1.Call_Publish{Publish: &pluginv1.PublishCall{Message: &pluginv1.Message{
			Topic: "t", Payload: []byte("x"), UserProperties: []*pluginv1.UserProperty{{Key: "k", Value: "v"}},
		}}}}}},
	} {
		b, err := proto.Marshal(req)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x := new(frame)
		x.buffer = mem.SliceBuffer(b)
		err := x.read(newClientTable())
		if generated := proto.Unmarshal(b, new(pluginv1.InterceptStreamRequest)); generated == nil && err != nil {
			t.Errorf("the generated code reads it, and here: %v", err)
		}
	})
}
