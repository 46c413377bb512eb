package pluginapi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	"github.com/gatehouse-mqtt/gatehouse/pluginapi/plugintest"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// TestStreamOrder sends many calls of many clients and wants those of each client
// in order, never two at once, and several clients at once.
func TestStreamOrder(t *testing.T) {
	const clients, each = 20, 50
	var mu sync.Mutex
	last := map[string]int{}
	busy := map[string]bool{}
	var running, most atomic.Int32
	hook := func(_ context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		for n, m := running.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		defer running.Add(-1)
		id := c.Client.ID
		var n int
		if _, err := fmt.Sscan(string(c.Message.Payload), &n); err != nil {
			return pluginapi.Pass(), err
		}
		mu.Lock()
		if busy[id] {
			t.Errorf("two calls of client %s at once", id)
		}
		busy[id] = true
		if n != last[id]+1 {
			t.Errorf("client %s: call %d after %d", id, n, last[id])
		}
		last[id] = n
		mu.Unlock()
		if n%7 == 0 {
			c.Message.Topic = "changed"
		}
		mu.Lock()
		busy[id] = false
		mu.Unlock()
		return pluginapi.Pass(), nil
	}
	plugin := publishPlugin(hook)
	plugin.Workers = 4
	p := plugintest.Start(t, plugin)
	who := make([]*pluginapi.Client, clients)
	for i := range who {
		who[i] = plugintest.Client(fmt.Sprint("client", i))
	}
	var frames [][]*pluginapi.Call
	for n := 1; n <= each; n += 5 {
		var frame []*pluginapi.Call
		for k := range 5 {
			for _, c := range who {
				frame = append(frame, &pluginapi.Call{Publish: &pluginapi.PublishCall{Client: c, Message: plugintest.Message("t", fmt.Sprint(n+k))}})
			}
		}
		frames = append(frames, frame)
	}
	if err := p.InterceptFrames(t.Context(), frames...); err != nil {
		t.Fatal(err)
	}
	for _, c := range who {
		if last[c.ID] != each {
			t.Errorf("client %s: %d calls, want %d", c.ID, last[c.ID], each)
		}
	}
	if m := most.Load(); m > 4 {
		t.Errorf("%d calls at once with 4 workers", m)
	}
	for _, frame := range frames {
		for _, c := range frame {
			var n int
			_, _ = fmt.Sscan(string(c.Publish.Message.Payload), &n)
			if changed := c.Publish.Message.Topic == "changed"; changed != (n%7 == 0) {
				t.Errorf("call %d changed: %v", n, changed)
			}
		}
	}
}

// stream opens a raw stream.
func stream(t *testing.T, p *plugintest.Plugin) pluginv1.MessageInterceptorService_InterceptStreamClient {
	t.Helper()
	s, err := pluginv1.NewMessageInterceptorServiceClient(p.Conn()).InterceptStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publishOf(seq, connection uint64, topic string) *pluginv1.Call {
	return &pluginv1.Call{Seq: seq, ConnectionId: connection, Call: &pluginv1.Call_Publish{
		Publish: &pluginv1.PublishCall{Message: &pluginv1.Message{Topic: topic}},
	}}
}

// decided receives until n calls are decided and returns how, by number.
func decided(t *testing.T, s pluginv1.MessageInterceptorService_InterceptStreamClient, n int) map[uint64]string {
	t.Helper()
	out := map[uint64]string{}
	for len(out) < n {
		resp, err := s.Recv()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range resp.GetPassed() {
			for i := range uint64(r.GetCount()) {
				out[r.GetFirstSeq()+i] = "passed"
			}
		}
		for _, v := range resp.GetVerdicts() {
			out[v.GetSeq()] = strings.TrimPrefix(v.GetAction().String(), "VERDICT_ACTION_") + " " + v.GetReason()
		}
	}
	return out
}

// TestASlowClientDelaysNoOther: the answers of others come while one hangs.
func TestASlowClientDelaysNoOther(t *testing.T) {
	release := make(chan struct{})
	p := plugintest.Start(t, publishPlugin(func(_ context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		if c.Message.Topic == "slow" {
			<-release
		}
		return pluginapi.Pass(), nil
	}))
	s := stream(t, p)
	clients := []*pluginv1.ClientContext{{ConnectionId: 1}, {ConnectionId: 2}}
	if err := s.Send(&pluginv1.InterceptStreamRequest{Clients: clients, Calls: []*pluginv1.Call{
		publishOf(1, 1, "slow"), publishOf(2, 1, "behind it"), publishOf(3, 2, "fast"), publishOf(4, 2, "fast"),
	}}); err != nil {
		t.Fatal(err)
	}
	if got := decided(t, s, 2); got[3] != "passed" || got[4] != "passed" {
		t.Errorf("decided %v, want 3 and 4", got)
	}
	close(release)
	if got := decided(t, s, 2); got[1] != "passed" || got[2] != "passed" {
		t.Errorf("decided %v, want 1 and 2", got)
	}
}

// TestRanges: a frame that passes whole is one range.
func TestRanges(t *testing.T) {
	p := plugintest.Start(t, pluginapi.Plugin{Name: "b", Hooks: pluginapi.BatchFunc(func(_ context.Context, calls []*pluginapi.Call) error {
		for _, c := range calls {
			if c.Publish.Message.Topic == "drop" {
				c.Verdict = pluginapi.Drop()
			}
		}
		return nil
	})})
	s := stream(t, p)
	for range 3 {
		var calls []*pluginv1.Call
		for i := range uint64(64) {
			calls = append(calls, publishOf(1000+i, 0, "t"))
		}
		calls[10] = publishOf(1010, 0, "drop")
		if err := s.Send(&pluginv1.InterceptStreamRequest{Calls: calls}); err != nil {
			t.Fatal(err)
		}
		ranges, verdicts, n := 0, 0, 0
		for n < 64 {
			resp, err := s.Recv()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range resp.GetPassed() {
				ranges++
				n += int(r.GetCount())
			}
			verdicts += len(resp.GetVerdicts())
			n += len(resp.GetVerdicts())
		}
		if ranges > 4 || verdicts != 1 {
			t.Errorf("64 calls of which one is dropped are %d ranges and %d verdicts", ranges, verdicts)
		}
	}
}

// TestClientTable: a stream is told once of a client, and told to forget it.
func TestClientTable(t *testing.T) {
	p := plugintest.Start(t, publishPlugin(func(_ context.Context, c *pluginapi.PublishCall) (pluginapi.Verdict, error) {
		if c.Client == nil {
			return pluginapi.Refuse(0, "nobody"), nil
		}
		return pluginapi.Refuse(0, c.Client.ID), nil
	}))
	s := stream(t, p)
	for i, c := range []struct {
		req  *pluginv1.InterceptStreamRequest
		want string
	}{
		{&pluginv1.InterceptStreamRequest{Calls: []*pluginv1.Call{publishOf(0, 0, "t")}}, "REFUSE nobody"},
		{&pluginv1.InterceptStreamRequest{Clients: []*pluginv1.ClientContext{{ConnectionId: 5, ClientId: "a"}}, Calls: []*pluginv1.Call{publishOf(1, 5, "t")}}, "REFUSE a"},
		{&pluginv1.InterceptStreamRequest{Calls: []*pluginv1.Call{publishOf(2, 5, "t")}}, "REFUSE a"},
		{&pluginv1.InterceptStreamRequest{Clients: []*pluginv1.ClientContext{{ConnectionId: 5, ClientId: "b"}}, Calls: []*pluginv1.Call{publishOf(3, 5, "t")}}, "REFUSE b"},
		{&pluginv1.InterceptStreamRequest{Forget: []uint64{5}, Calls: []*pluginv1.Call{publishOf(4, 0, "t")}}, "REFUSE nobody"},
		{&pluginv1.InterceptStreamRequest{Calls: []*pluginv1.Call{publishOf(5, 5, "t")}}, "UNSPECIFIED call of a connection that this plugin was not told of"},
	} {
		if err := s.Send(c.req); err != nil {
			t.Fatal(err)
		}
		if got := decided(t, s, 1)[uint64(i)]; got != c.want {
			t.Errorf("call %d: %q, want %q", i, got, c.want)
		}
	}
	// Another stream has another table.
	s = stream(t, p)
	if err := s.Send(&pluginv1.InterceptStreamRequest{Calls: []*pluginv1.Call{publishOf(0, 5, "t")}}); err != nil {
		t.Fatal(err)
	}
	if got := decided(t, s, 1)[0]; !strings.HasPrefix(got, "UNSPECIFIED") {
		t.Errorf("a new stream knows the client: %q", got)
	}
}

// TestBatchInterceptor gets frames whole, one at a time, and survives its own
// mistakes.
func TestBatchInterceptor(t *testing.T) {
	var sizes []int
	p := plugintest.Start(t, pluginapi.Plugin{Name: "b", Hooks: pluginapi.BatchFunc(func(_ context.Context, calls []*pluginapi.Call) error {
		sizes = append(sizes, len(calls))
		switch calls[0].Publish.Message.Topic {
		case "error":
			return errors.New("the batch is lost")
		case "panic":
			panic("the batch is burnt")
		case "shuffle":
			calls[0], calls[1] = calls[1], calls[0]
			calls[0].Verdict, calls[1].Verdict = pluginapi.Drop(), pluginapi.Pass()
		}
		return nil
	})})
	s := stream(t, p)
	seq := uint64(0)
	for _, c := range []struct {
		first string
		want  []string
	}{
		{"fine", []string{"passed", "passed"}},
		{"error", []string{"UNSPECIFIED the batch is lost", "UNSPECIFIED the batch is lost"}},
		{"panic", []string{
			"UNSPECIFIED panic in intercept batch: the batch is burnt",
			"UNSPECIFIED panic in intercept batch: the batch is burnt",
		}},
		{"shuffle", []string{"passed", "DROP "}},
	} {
		if err := s.Send(&pluginv1.InterceptStreamRequest{Calls: []*pluginv1.Call{publishOf(seq, 0, c.first), publishOf(seq+1, 0, "t")}}); err != nil {
			t.Fatal(err)
		}
		got := decided(t, s, 2)
		for i, want := range c.want {
			if got[seq+uint64(i)] != want {
				t.Errorf("%s: call %d: %q, want %q", c.first, i, got[seq+uint64(i)], want)
			}
		}
		seq += 2
	}
	for _, n := range sizes {
		if n != 2 {
			t.Errorf("batches of %v calls, want the frames", sizes)
		}
	}
}
