package pluginhost

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func TestInterceptPassesUnchanged(t *testing.T) {
	var got []*streamRequest
	r := newRig(t, streaming(answering(func(q *streamRequest) *streamResponse {
		got = append(got, q)
		return passAll(q)
	})))
	m, c := message("a/b", "payload"), client(7)
	b := publish(c, m)
	b.Calls[0].Verdict = hook.CallVerdict{Reason: "left over"}
	if err := intercept(t, r, b); err != nil {
		t.Fatal(err)
	}
	if b.Calls[0].Message != m || b.Calls[0].Verdict.Action != hook.Pass || b.Calls[0].Verdict.Reason != "" {
		t.Errorf("the call was changed: %+v", b.Calls[0])
	}
	want := &streamRequest{
		Clients: []*pluginv1.ClientContext{{
			ConnectionId: 7, ClientId: c.ID, Username: "garden", ProtocolLevel: 5,
			PeerAddress: c.PeerAddress, Listener: "tcp",
		}},
		Calls: []*pluginv1.Call{{Seq: 1, ConnectionId: 7, Call: &pluginv1.Call_Publish{
			Publish: &pluginv1.PublishCall{Message: messageToProto(m)},
		}}},
	}
	if len(got) != 1 || !proto.Equal(got[0], want) {
		t.Errorf("the plugin got %v, want %v", got, want)
	}
	if err := intercept(t, r, &hook.Batch{Point: hook.PointPublish}); err != nil {
		t.Errorf("an empty batch: %v", err)
	}
}

func TestInterceptAppliesVerdicts(t *testing.T) {
	r := newRig(t, streaming(answering(func(q *streamRequest) *streamResponse {
		s := q.Calls[0].Seq
		return &streamResponse{
			Passed: []*pluginv1.SeqRange{{FirstSeq: s, Count: 1}},
			Verdicts: []*pluginv1.Verdict{
				{Seq: s + 4, Action: pluginv1.VerdictAction_VERDICT_ACTION_DISCONNECT, ReasonCode: 0x98, ServerReference: "elsewhere"},
				{Seq: s + 1, Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS, Message: &pluginv1.MessageChange{
					Topic: proto.String("changed"), Payload: []byte{},
				}},
				{Seq: s + 2, Action: pluginv1.VerdictAction_VERDICT_ACTION_DROP},
				{
					Seq: s + 3, Action: pluginv1.VerdictAction_VERDICT_ACTION_REFUSE, ReasonCode: 0x97, Reason: "too much",
					UserProperties: []*pluginv1.UserProperty{{Key: "k", Value: "v"}},
				},
			},
		}
	})))
	m := message("a", "p")
	b := publish(client(1), m, m, m, m, m)
	if err := intercept(t, r, b); err != nil {
		t.Fatal(err)
	}
	want := []hook.CallVerdict{
		{},
		{},
		{Action: hook.Drop},
		{Action: hook.Refuse, Code: mqtt.QuotaExceeded, Reason: "too much", User: []mqtt.UserProperty{{Key: "k", Value: "v"}}},
		{Action: hook.Disconnect, Code: mqtt.AdministrativeAction, ServerReference: "elsewhere"},
	}
	for i, c := range b.Calls {
		if diff := cmp.Diff(want[i], c.Verdict); diff != "" {
			t.Errorf("call %d: -want +got\n%s", i, diff)
		}
		if (c.Message != m) != (i == 1) {
			t.Errorf("call %d has message %v", i, c.Message)
		}
	}
	if got := b.Calls[1].Message; got.Topic != "changed" || len(got.Payload) != 0 || m.Topic != "a" {
		t.Errorf("the changed message is %+v", got)
	}
}

// TestInterceptAnswersInAnyOrder has a plugin that answers call by call, the
// last one first, from frames that came one after the other.
func TestInterceptAnswersInAnyOrder(t *testing.T) {
	const callers = 3
	r := newRig(t, streaming(func(s serverStream) error {
		var calls []*pluginv1.Call
		for len(calls) < 2*callers {
			q, err := s.Recv()
			if err != nil {
				return err
			}
			calls = append(calls, q.Calls...)
		}
		slices.Reverse(calls)
		for _, c := range calls {
			reason := c.GetPublish().Message.Topic
			v := &pluginv1.Verdict{Seq: c.Seq, Action: pluginv1.VerdictAction_VERDICT_ACTION_REFUSE, Reason: reason}
			if err := s.Send(&streamResponse{Verdicts: []*pluginv1.Verdict{v}}); err != nil {
				return err
			}
		}
		<-s.Context().Done()
		return nil
	}))
	var batches [callers]*hook.Batch
	var done [callers]<-chan error
	for i := range batches {
		batches[i] = publish(client(uint64(i)), message(fmt.Sprintf("%d/0", i), ""), message(fmt.Sprintf("%d/1", i), ""))
		done[i] = going(deadline(t), r, batches[i])
	}
	for i, b := range batches {
		if err := receive(t, done[i]); err != nil {
			t.Fatal(err)
		}
		for _, c := range b.Calls {
			if c.Verdict.Reason != c.Message.Topic {
				t.Errorf("the call about %s got the verdict of %s", c.Message.Topic, c.Verdict.Reason)
			}
		}
	}
}

// TestInterceptPartialAnswers: a call that a plugin is slow with holds its own
// caller only.
func TestInterceptPartialAnswers(t *testing.T) {
	release := make(chan struct{})
	r := newRig(t, streaming(func(stream serverStream) error {
		s := &lockedStream{serverStream: stream}
		var slow []*pluginv1.Call
		for {
			q, err := s.Recv()
			if err != nil {
				return nil
			}
			for _, c := range q.Calls {
				if c.GetPublish().Message.Topic == "slow" {
					slow = append(slow, c)
				} else if err := s.Send(&streamResponse{Passed: passed([]*pluginv1.Call{c})}); err != nil {
					return err
				}
			}
			if len(slow) == 1 {
				go func(c []*pluginv1.Call) {
					<-release
					_ = s.Send(&streamResponse{Passed: passed(c)})
				}(slow)
				slow = append(slow, nil)
			}
		}
	}))
	held := going(deadline(t), r, publish(client(1), message("fast", ""), message("slow", ""), message("fast", "")))
	for range 100 {
		if err := intercept(t, r, publish(client(2), message("fast", ""))); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-held:
		t.Fatalf("a batch with an undecided call returned: %v", err)
	default:
	}
	close(release)
	if err := receive(t, held); err != nil {
		t.Fatal(err)
	}
}

func TestInterceptSplitsLargeBatches(t *testing.T) {
	type frame struct{ calls, bytes int }
	var frames []frame
	var order []string
	r := newRig(t, streaming(answering(func(q *streamRequest) *streamResponse {
		frames = append(frames, frame{len(q.Calls), proto.Size(q)})
		for _, c := range q.Calls {
			order = append(order, c.GetPublish().Message.Topic)
		}
		return passAll(q)
	})))
	var want []string
	b := publish(client(1))
	add := func(n, size int) {
		for range n {
			topic := fmt.Sprint("t/", len(want))
			want = append(want, topic)
			b.Calls = append(b.Calls, &hook.Call{Client: client(1), Message: message(topic, strings.Repeat("x", size))})
		}
	}
	add(2*maxFrameItems+10, 10)
	add(3, 100<<10) // two to a frame
	add(1, 1<<20)   // alone
	add(2, 10)
	if err := intercept(t, r, b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("the order of one client changed: -want +got\n%s", diff)
	}
	for _, f := range frames {
		if f.calls > maxFrameItems || f.bytes > maxFrameBytes+maxFrameItems*callOverhead+1024 && f.calls > 1 {
			t.Errorf("a frame of %d calls and %d bytes", f.calls, f.bytes)
		}
	}
	if len(frames) < 6 {
		t.Errorf("%d frames", len(frames))
	}
}

// TestInterceptKeepsOrderPerClient: what one client does arrives in its order,
// however its batches are mixed with others'.
func TestInterceptKeepsOrderPerClient(t *testing.T) {
	var mu sync.Mutex
	seen := make(map[uint64][]string)
	r := newRig(t, streaming(answering(func(q *streamRequest) *streamResponse {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range q.Calls {
			seen[c.ConnectionId] = append(seen[c.ConnectionId], c.GetPublish().Message.Topic)
		}
		return passAll(q)
	})))
	const clients, rounds = 8, 20
	want := make([][]string, clients)
	ctx := deadline(t)
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			c := client(uint64(i))
			for round := range rounds {
				b := publish(c)
				for k := range 1 + (round*31+i*17)%90 {
					topic := fmt.Sprintf("%d/%d", round, k)
					want[i] = append(want[i], topic)
					b.Calls = append(b.Calls, &hook.Call{Client: c, Message: message(topic, "")})
				}
				if err := r.facades().interceptor().Intercept(ctx, b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i := range clients {
		if !slices.Equal(seen[uint64(i)], want[i]) {
			t.Errorf("client %d: %d calls out of order or missing", i, len(want[i]))
		}
	}
}

func TestInterceptGathersWhileFramesAreAway(t *testing.T) {
	release := make(chan struct{})
	arrived := make(chan int, 100)
	r := newRig(t, streaming(func(stream serverStream) error {
		s := &lockedStream{serverStream: stream}
		for {
			q, err := s.Recv()
			if err != nil {
				return nil
			}
			arrived <- len(q.Calls)
			go func() {
				<-release
				_ = s.Send(passAll(q))
			}()
		}
	}))
	ctx := deadline(t)
	var done []<-chan error
	for i := range maxFramesAway {
		done = append(done, going(ctx, r, publish(client(uint64(i)), message("a", ""))))
		if n := receive(t, arrived); n != 1 {
			t.Fatalf("the first frames hold %d calls", n)
		}
	}
	const more = maxFrameItems + 6
	for i := range more {
		done = append(done, going(ctx, r, publish(client(uint64(100+i)), message("a", ""))))
	}
	eventually(t, "all calls wait", func() bool { return queuedGroups(r) == more })
	select {
	case n := <-arrived:
		t.Fatalf("a frame of %d calls left although %d were away", n, maxFramesAway)
	default:
	}
	for range maxFramesAway {
		release <- struct{}{}
	}
	if n := receive(t, arrived); n != maxFrameItems {
		t.Errorf("the frame that gathered holds %d calls, want %d", n, maxFrameItems)
	}
	close(release)
	for _, d := range done {
		if err := receive(t, d); err != nil {
			t.Fatal(err)
		}
	}
}

// queuedGroups counts what waits to be sent.
func queuedGroups(r *rig) (n int) {
	c := (*r.facades().bindings.Load())[0].coalescer
	c.mu.Lock()
	defer c.mu.Unlock()
	for g := c.head; g != nil; g = g.next {
		n++
	}
	return n
}
