package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// fakeConn makes streams that end in the test instead of in a process.
type fakeConn struct{ streams chan *fakeStream }

func newFakeConn() *fakeConn { return &fakeConn{make(chan *fakeStream, 100)} }

func (c *fakeConn) Invoke(context.Context, string, any, any, ...grpc.CallOption) error {
	return errors.New("no unary calls here")
}

func (c *fakeConn) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	s := &fakeStream{ctx: ctx, sent: make(chan *streamRequest, 10_000), answers: make(chan *streamResponse, 10_000), broken: make(chan struct{})}
	c.streams <- s
	return s, nil
}

type fakeStream struct {
	ctx     context.Context
	sent    chan *streamRequest
	answers chan *streamResponse
	broken  chan struct{}
}

func (s *fakeStream) Header() (metadata.MD, error) { return nil, nil }
func (s *fakeStream) Trailer() metadata.MD         { return nil }
func (s *fakeStream) CloseSend() error             { return nil }
func (s *fakeStream) Context() context.Context     { return s.ctx }

func (s *fakeStream) SendMsg(m any) error {
	data, err := codec.Marshal(m)
	if err != nil {
		return err
	}
	defer data.Free()
	q := new(streamRequest)
	if err := proto.Unmarshal(data.Materialize(), q); err != nil {
		return err
	}
	select {
	case <-s.broken:
		return io.EOF
	case s.sent <- q:
		return nil
	}
}

func (s *fakeStream) RecvMsg(m any) error {
	var a *streamResponse
	select {
	case a = <-s.answers: // answers that came before the end count
	default:
		select {
		case a = <-s.answers:
		case <-s.broken:
			return errors.New("the stream broke")
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
	b, err := proto.Marshal(a)
	if err != nil {
		return err
	}
	in := m.(*incoming)
	in.err = in.into.read(b)
	return nil
}

// modelCall is one batch of the model.
type modelCall struct {
	batch  *hook.Batch
	cancel context.CancelFunc
	done   chan error
	gone   bool // was cancelled
}

// model drives a coalescer by hand: callers, a plugin that answers as it likes,
// and accidents.
type model struct {
	t       *rapid.T
	c       *coalescer
	conn    *fakeConn
	stream  *fakeStream
	next    int // number of the next call
	calls   []*modelCall
	pending []*pluginv1.Call // on the stream, not answered
	passed  map[string]bool  // by topic: the answer
	breaks  int
}

var modelClients = []*hook.Client{nil, client(1), client(2)}

// TestCoalescerModel: whatever callers, the plugin and accidents do, every call
// gets its own verdict, or an error that says truly why not, and none hangs.
func TestCoalescerModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{t: t, conn: newFakeConn(), passed: make(map[string]bool)}
		m.c = newCoalescer(m.conn, new(streamStats), func(error, int) {})
		m.c.start()
		defer m.c.close()
		t.Repeat(map[string]func(*rapid.T){
			"call":   m.call,
			"call2":  m.call,
			"answer": m.answer,
			"cancel": m.cancel,
			"break":  m.breakStream,
			"":       func(*rapid.T) { m.observe() },
		})
		m.finish()
	})
}

func (m *model) call(t *rapid.T) {
	c := rapid.SampledFrom(modelClients).Draw(t, "client")
	n := rapid.SampledFrom([]int{1, 1, 2, 3, 63, 64, 65, 200}).Draw(t, "items")
	size := rapid.SampledFrom([]int{0, 100, 100_000}).Draw(t, "size")
	if n > 3 {
		size = min(size, 100)
	}
	b := publish(c)
	for range n {
		m.next++
		b.Calls = append(b.Calls, &hook.Call{Client: c, Message: message(fmt.Sprint("t/", m.next), strings.Repeat("x", size))})
	}
	ctx, cancel := context.WithCancel(context.Background())
	call := &modelCall{batch: b, cancel: cancel, done: make(chan error, 1)}
	m.calls = append(m.calls, call)
	g, err := newGroup(b, newPayloadPlan(nil))
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		err := m.c.decide(ctx, g)
		if err == nil {
			err = g.apply(b)
			g.free()
		}
		call.done <- err
	}()
}

// observe takes note of what the plugin has been sent.
func (m *model) observe() {
	for {
		if m.stream == nil {
			select {
			case m.stream = <-m.conn.streams:
				m.pending = nil
			default:
				return
			}
		}
		select {
		case q := <-m.stream.sent:
			m.frame(q)
		default:
			return
		}
	}
}

func (m *model) frame(q *streamRequest) {
	if len(q.Calls) > maxFrameItems {
		m.t.Fatalf("a frame of %d calls", len(q.Calls))
	}
	for i, c := range q.Calls {
		if i > 0 && c.Seq != q.Calls[i-1].Seq+1 {
			m.t.Fatalf("call %d after %d", c.Seq, q.Calls[i-1].Seq)
		}
	}
	m.pending = append(m.pending, q.Calls...)
}

// answer answers some of the pending calls, in any order and form.
func (m *model) answer(t *rapid.T) {
	m.observe()
	if len(m.pending) == 0 {
		return
	}
	order := rapid.Permutation(m.pending).Draw(t, "order")
	n := rapid.IntRange(1, len(order)).Draw(t, "how many")
	m.reply(order[:n], rapid.Bool().Draw(t, "pass"))
	m.pending = order[n:]
}

func (m *model) reply(calls []*pluginv1.Call, pass bool) {
	a := new(streamResponse)
	for _, c := range calls {
		topic := c.GetPublish().Message.Topic
		m.passed[topic] = pass
		if pass {
			a.Passed = append(a.Passed, &pluginv1.SeqRange{FirstSeq: c.Seq, Count: 1})
		} else {
			a.Verdicts = append(a.Verdicts, &pluginv1.Verdict{
				Seq: c.Seq, Action: pluginv1.VerdictAction_VERDICT_ACTION_REFUSE, Reason: topic,
			})
		}
	}
	m.stream.answers <- a
}

func (m *model) cancel(t *rapid.T) {
	if len(m.calls) == 0 {
		return
	}
	c := m.calls[rapid.IntRange(0, len(m.calls)-1).Draw(t, "which")]
	c.gone = true
	c.cancel()
}

func (m *model) breakStream(*rapid.T) {
	m.observe()
	if m.stream == nil || m.breaks > 2 { // each break costs a pause
		return
	}
	m.breaks++
	close(m.stream.broken)
	m.stream, m.pending = nil, nil
}

// finish answers everything and checks every call.
func (m *model) finish() {
	for _, c := range m.calls {
		var err error
		for waiting, end := true, time.Now().Add(10*time.Second); waiting; {
			select {
			case err = <-c.done:
				waiting = false
			case <-time.After(100 * time.Microsecond):
				m.observe()
				if m.stream != nil && len(m.pending) > 0 {
					m.reply(m.pending, false)
					m.pending = nil
				}
				if time.Now().After(end) {
					m.t.Fatal("a call hangs")
				}
			}
		}
		c.cancel()
		m.check(c, err)
	}
	// A frame whose callers have gone, or whose stream has, may be on its way
	// out of the books.
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		queued, away := m.c.depth()
		if queued == 0 && away == 0 {
			return
		}
		if time.Now().After(end) {
			m.t.Fatalf("%d bytes queued and %d frames away at the end", queued, away)
		}
	}
}

func (m *model) check(c *modelCall, err error) {
	switch {
	case err == nil:
		for _, call := range c.batch.Calls {
			topic := call.Message.Topic
			passed, answered := m.passed[topic]
			if !answered || passed != (call.Verdict.Action == hook.Pass) || !passed && call.Verdict.Reason != topic {
				m.t.Fatalf("the call about %s, answered %v, passed %v, got %+v", topic, answered, passed, call.Verdict)
			}
		}
	case errors.Is(err, hook.ErrLost):
		if !c.gone && m.breaks == 0 {
			m.t.Fatalf("%v, but nothing was lost", err)
		}
	case errors.Is(err, hook.ErrUnavailable):
		if !c.gone {
			m.t.Fatalf("%v", err)
		}
	default:
		m.t.Fatalf("%v", err)
	}
}
