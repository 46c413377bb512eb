package pluginhost

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

type unaryFunc func(context.Context, *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error)

// deciding is a plugin without a stream.
func deciding(f unaryFunc) fakePlugin {
	return fakePlugin{register: func(s *grpc.Server) {
		pluginv1.RegisterMessageInterceptorServiceServer(s, &fakeInterceptor{unary: f})
	}}
}

func TestUnaryIntercept(t *testing.T) {
	var sizes []int
	var topics []string
	r := newRig(t, deciding(func(_ context.Context, q *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error) {
		sizes = append(sizes, len(q.Calls))
		if len(q.Clients) != 1 || q.Clients[0].ConnectionId != 3 {
			return nil, status.Error(codes.Internal, "not told of the client")
		}
		a := &pluginv1.InterceptResponse{Passed: passed(q.Calls[:len(q.Calls)-1])}
		last := q.Calls[len(q.Calls)-1]
		for _, c := range q.Calls {
			topics = append(topics, c.GetPublish().Message.Topic)
		}
		a.Verdicts = append(a.Verdicts, &pluginv1.Verdict{
			Seq: last.Seq, Action: pluginv1.VerdictAction_VERDICT_ACTION_REFUSE, Reason: last.GetPublish().Message.Topic,
		})
		return a, nil
	}))
	b := publish(client(3))
	var want []string
	const most = maxFrameItems
	for i := range 2*most + 2 {
		want = append(want, fmt.Sprint("t/", i))
		b.Calls = append(b.Calls, &hook.Call{Client: client(3), Message: message(want[i], "p")})
	}
	for i := range b.Calls {
		b.Calls[i].Client = b.Calls[0].Client
	}
	if err := intercept(t, r, b); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(sizes, []int{most, most, 2}) || !slices.Equal(topics, want) {
		t.Errorf("calls of %v", sizes)
	}
	for i, c := range b.Calls {
		refused := i == most-1 || i == 2*most-1 || i == 2*most+1
		if (c.Verdict.Action == hook.Refuse) != refused || refused && c.Verdict.Reason != want[i] {
			t.Errorf("call %d: %+v", i, c.Verdict)
		}
	}
}

func TestUnaryInterceptIllegalAnswers(t *testing.T) {
	ranges := func(r ...*pluginv1.SeqRange) *pluginv1.InterceptResponse {
		return &pluginv1.InterceptResponse{Passed: r}
	}
	for want, answer := range map[string]*pluginv1.InterceptResponse{
		"no answer to call 1":         {},
		"no answer to call 2":         ranges(&pluginv1.SeqRange{FirstSeq: 1, Count: 1}),
		"an answer to call 3":         ranges(&pluginv1.SeqRange{FirstSeq: 1, Count: 3}),
		"an answer to call 0":         ranges(&pluginv1.SeqRange{Count: 1}),
		"a second answer to call":     ranges(&pluginv1.SeqRange{FirstSeq: 1, Count: 2}, &pluginv1.SeqRange{FirstSeq: 2, Count: 1}),
		"an answer to call 9":         {Verdicts: []*pluginv1.Verdict{{Seq: 9, Action: 1}}},
		"a verdict without an action": {Passed: ranges(&pluginv1.SeqRange{FirstSeq: 1, Count: 1}).Passed, Verdicts: []*pluginv1.Verdict{{Seq: 2}}},
		"a second answer to call ":    {Verdicts: []*pluginv1.Verdict{{Seq: 1, Action: 1}, {Seq: 1, Action: 1}}},
	} {
		t.Run(want, func(t *testing.T) {
			r := newRig(t, deciding(func(context.Context, *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error) {
				return answer, nil
			}))
			err := intercept(t, r, publish(nil, message("a", ""), message("b", "")))
			wantErrors(t, err, hook.ErrProtocol)
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
			if s := r.facades().stats(); s.ProtocolErrors != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestUnaryInterceptErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		err  error
		want []error
		text string
	}{
		"could not decide": {status.Error(codes.Unknown, "no idea"), nil, "status Unknown: no idea"},
		"unavailable":      {status.Error(codes.Unavailable, "my backend"), []error{hook.ErrLost}, "status Unavailable: my backend"},
		"deadline":         {status.Error(codes.DeadlineExceeded, "mine"), []error{hook.ErrTimeout}, ""},
		"unimplemented":    {status.Error(codes.Unimplemented, "no"), []error{hook.ErrProtocol}, "serves no such method"},
		"overloaded":       {status.Error(codes.ResourceExhausted, "busy"), nil, "status ResourceExhausted: busy"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, deciding(func(context.Context, *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error) {
				return nil, tt.err
			}))
			err := intercept(t, r, publish(nil, message("a", "")))
			wantErrors(t, err, tt.want...)
			if err == nil || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%v", err)
			}
		})
	}
}

// hanging waits for the end of the call, and tells of its begin.
func hanging(begun chan<- time.Time) unaryFunc {
	return func(ctx context.Context, _ *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error) {
		d, _ := ctx.Deadline()
		begun <- d
		<-ctx.Done()
		return nil, ctx.Err()
	}
}

func TestUnaryInterceptDeadline(t *testing.T) {
	begun := make(chan time.Time, 1)
	r := newRig(t, deciding(hanging(begun)))
	ctx, cancel := context.WithTimeout(deadline(t), 50*time.Millisecond)
	defer cancel()
	wantErrors(t, r.facades().interceptor().Intercept(ctx, publish(nil, message("a", ""))), hook.ErrTimeout)
	if d := receive(t, begun); d.IsZero() {
		t.Error("the plugin was not told of the deadline")
	}
}

func TestUnaryInterceptUnbind(t *testing.T) {
	begun := make(chan time.Time, 1)
	r := newRig(t, deciding(hanging(begun)))
	done := going(deadline(t), r, publish(nil, message("a", "")))
	receive(t, begun)
	r.slot.vacate(r.in, errStopping)
	wantErrors(t, receive(t, done), hook.ErrLost)
}

func TestUnaryInterceptPluginDies(t *testing.T) {
	begun := make(chan time.Time, 1)
	r := newRig(t, deciding(hanging(begun)))
	done := going(deadline(t), r, publish(nil, message("a", "")))
	receive(t, begun)
	r.server.Stop()
	wantErrors(t, receive(t, done), hook.ErrLost)
	// Nobody listens any more: certainly not handed over.
	wantErrors(t, intercept(t, r, publish(nil, message("a", ""))), hook.ErrUnavailable)
}

func TestPayloadModesOnTheWire(t *testing.T) {
	got := make(chan *pluginv1.Message, 10)
	p := streaming(answering(func(q *streamRequest) *streamResponse {
		got <- q.Calls[0].GetPublish().Message
		return passAll(q)
	}))
	p.interest = []*pluginv1.HookInterest{{
		Hook: pluginv1.Hook_HOOK_PUBLISH, Payload: pluginv1.PayloadMode_PAYLOAD_MODE_HEAD, PayloadHeadBytes: 2,
	}}
	r := newRig(t, p)
	if err := intercept(t, r, publish(nil, message("a", "payload"))); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, got); string(m.Payload) != "pa" || m.PayloadSize != 7 {
		t.Errorf("%v", m)
	}
}

func TestAnEmptySlotSaysWhy(t *testing.T) {
	s := newSlot("lonely", nil)
	err := s.facades.interceptor().Intercept(t.Context(), publish(nil, message("a", "")))
	wantErrors(t, err, hook.ErrUnavailable)
	if !strings.Contains(err.Error(), "plugin lonely") || !strings.Contains(err.Error(), errNotStarted.Error()) {
		t.Error(err)
	}
	if _, err := s.facades.validator.Validate(t.Context(), &hook.Connect{}); err == nil {
		t.Error("decided by nobody")
	}
}
