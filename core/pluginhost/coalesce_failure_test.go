package pluginhost

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// TestInterceptLosesCount: an answer to a call that was not made, or a second
// one, makes everything on that stream worthless, but not the plugin.
func TestInterceptLosesCount(t *testing.T) {
	ranges := func(r ...*pluginv1.SeqRange) *streamResponse { return &streamResponse{Passed: r} }
	tests := []struct {
		name   string
		answer func(first uint64) *streamResponse
		want   string
	}{
		{"unknown", func(s uint64) *streamResponse { return ranges(&pluginv1.SeqRange{FirstSeq: s + 9, Count: 1}) }, "call 10, which was not made"},
		{"zero", func(uint64) *streamResponse { return ranges(&pluginv1.SeqRange{Count: 1}) }, "call 0, which was not made"},
		{"too many", func(s uint64) *streamResponse { return ranges(&pluginv1.SeqRange{FirstSeq: s, Count: 3}) }, "call 3, which was not made"},
		{"huge range", func(s uint64) *streamResponse {
			return ranges(&pluginv1.SeqRange{FirstSeq: s, Count: math.MaxUint32})
		}, "which was not made"},
		{"overflow", func(uint64) *streamResponse {
			return ranges(&pluginv1.SeqRange{FirstSeq: math.MaxUint64, Count: 2})
		}, "which was not made"},
		{"twice in one", func(s uint64) *streamResponse {
			return ranges(&pluginv1.SeqRange{FirstSeq: s, Count: 1}, &pluginv1.SeqRange{FirstSeq: s, Count: 2})
		}, "a second answer to call 1"},
		{"range and verdict", func(s uint64) *streamResponse {
			return &streamResponse{
				Passed:   []*pluginv1.SeqRange{{FirstSeq: s, Count: 1}},
				Verdicts: []*pluginv1.Verdict{{Seq: s, Action: pluginv1.VerdictAction_VERDICT_ACTION_DROP}},
			}
		}, "a second answer to call 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			wrong := true
			r := newRig(t, streaming(answering(func(q *streamRequest) *streamResponse {
				if wrong {
					wrong = false
					return tt.answer(q.Calls[0].Seq)
				}
				return passAll(q)
			})))
			b := publish(client(1), message("a", ""), message("b", ""))
			err := intercept(t, r, b)
			wantErrors(t, err, hook.ErrLost, hook.ErrProtocol)
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q does not say %q", err, tt.want)
			}
			if err := intercept(t, r, b); err != nil {
				t.Errorf("after it: %v", err)
			}
			if s := r.facades().stats(); s.Streams != 2 || s.ProtocolErrors != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestInterceptSecondAnswerLater: the frame is long gone when its second answer
// comes.
func TestInterceptSecondAnswerLater(t *testing.T) {
	n := 0
	r := newRig(t, streaming(answering(func(q *streamRequest) *streamResponse {
		if n++; n == 3 {
			return &streamResponse{Passed: []*pluginv1.SeqRange{{FirstSeq: 1, Count: 1}}}
		}
		return passAll(q)
	})))
	for range 2 {
		if err := intercept(t, r, publish(nil, message("a", ""))); err != nil {
			t.Fatal(err)
		}
	}
	err := intercept(t, r, publish(nil, message("a", "")))
	wantErrors(t, err, hook.ErrLost, hook.ErrProtocol)
}

// TestInterceptIllegalVerdict: what makes no sense for one call is an error of
// that call's batch, and of nobody else's.
func TestInterceptIllegalVerdict(t *testing.T) {
	r := newRig(t, streaming(answering(func(q *streamRequest) *streamResponse {
		v := &pluginv1.Verdict{Seq: q.Calls[1].Seq, Action: pluginv1.VerdictAction_VERDICT_ACTION_REFUSE, ReasonCode: 0x8f}
		return &streamResponse{Passed: passed(q.Calls[:1]), Verdicts: []*pluginv1.Verdict{v}}
	})))
	b := publish(client(1), message("a", ""), message("b", ""))
	err := intercept(t, r, b)
	wantErrors(t, err, hook.ErrProtocol)
	for _, c := range b.Calls {
		if c.Verdict.Action != hook.Pass {
			t.Errorf("a verdict was written: %+v", c.Verdict)
		}
	}
	if s := r.facades().stats(); s.Streams != 1 || s.ProtocolErrors != 1 {
		t.Errorf("%+v", s)
	}
}

func TestInterceptDistrustsAPluginThatIsAlwaysWrong(t *testing.T) {
	r := newRig(t, streaming(answering(func(*streamRequest) *streamResponse {
		return &streamResponse{Passed: []*pluginv1.SeqRange{{FirstSeq: 99, Count: 1}}}
	})))
	for range maxFaults {
		_ = intercept(t, r, publish(nil, message("a", "")))
	}
	receive(t, r.in.done)
	wantErrors(t, r.in.err(), hook.ErrProtocol)
}

func TestInterceptTimeout(t *testing.T) {
	calls := make(chan *streamRequest, 4)
	answer := make(chan *streamResponse)
	r := newRig(t, streaming(func(s serverStream) error {
		go func() {
			for {
				q, err := s.Recv()
				if err != nil {
					return
				}
				calls <- q
			}
		}()
		for {
			select {
			case a := <-answer:
				if err := s.Send(a); err != nil {
					return err
				}
			case <-s.Context().Done():
				return nil
			}
		}
	}))
	ctx, cancel := context.WithTimeout(deadline(t), 20*time.Millisecond)
	defer cancel()
	b := publish(client(1), message("a", ""), message("b", ""))
	wantErrors(t, receive(t, going(ctx, r, b)), hook.ErrTimeout)
	late := receive(t, calls)

	// The answer comes late and in part; it harms nobody.
	next := going(deadline(t), r, b)
	on := receive(t, calls)
	answer <- &streamResponse{Passed: passed(late.Calls[:1])}
	answer <- &streamResponse{Passed: passed(on.Calls)}
	if err := receive(t, next); err != nil {
		t.Fatal(err)
	}
	if s := r.facades().stats(); s.Late != 1 || s.Streams != 1 || s.FramesAway != 0 {
		t.Errorf("%+v", s)
	}
	// A second late answer to the same call is one too many.
	last := going(deadline(t), r, b)
	receive(t, calls)
	answer <- &streamResponse{Passed: passed(late.Calls)}
	wantErrors(t, receive(t, last), hook.ErrLost, hook.ErrProtocol)
}

func TestInterceptCancelled(t *testing.T) {
	r := newRig(t, streaming(func(s serverStream) error {
		<-s.Context().Done()
		return nil
	}))
	cause := errors.New("the broker stops")
	ctx, cancel := context.WithCancelCause(deadline(t))
	done := going(ctx, r, publish(nil, message("a", "")))
	eventually(t, "the frame is away", func() bool { return r.facades().stats().FramesAway == 1 })
	cancel(cause)
	err := receive(t, done)
	wantErrors(t, err, hook.ErrLost)
	if !errors.Is(err, cause) {
		t.Errorf("%q does not say why", err)
	}
}

// deaf is a plugin that does not read, with the smallest windows there are.
func deaf() fakePlugin {
	p := streaming(func(s serverStream) error {
		<-s.Context().Done()
		return nil
	})
	p.options = []grpc.ServerOption{grpc.InitialWindowSize(65535), grpc.InitialConnWindowSize(65535)}
	return p
}

// TestInterceptStuckSend: a plugin that does not read gets Send stuck; deadlines
// hold nevertheless, and so does the bound of the queue.
func TestInterceptStuckSend(t *testing.T) {
	r := newRig(t, deaf())
	big := message("big", strings.Repeat("x", 200<<10))
	ctx, cancel := context.WithTimeout(deadline(t), 50*time.Millisecond)
	defer cancel()
	var sent []<-chan error
	for range 3 { // one fills the window, one gets stuck, one never leaves
		sent = append(sent, going(ctx, r, publish(client(1), big)))
	}
	unsent := 0
	for _, done := range sent {
		err := receive(t, done)
		if errors.Is(err, hook.ErrUnavailable) {
			unsent++
			wantErrors(t, err, hook.ErrTimeout, hook.ErrUnavailable)
		} else {
			wantErrors(t, err, hook.ErrTimeout)
		}
	}
	if unsent != 1 {
		t.Errorf("%d calls were not handed over", unsent)
	}
	ctx, cancel = context.WithTimeout(deadline(t), 20*time.Millisecond)
	defer cancel()
	err := receive(t, going(ctx, r, publish(client(1), message("small", ""))))
	wantErrors(t, err, hook.ErrTimeout, hook.ErrUnavailable)
	if s := r.facades().stats(); s.QueuedBytes != 0 {
		t.Errorf("abandoned calls are still queued: %+v", s)
	}

	// The queue is bounded.
	ctx, cancel = context.WithCancel(deadline(t))
	var waiting []<-chan error
	for range maxQueueBytes / len(big.Payload) {
		waiting = append(waiting, going(ctx, r, publish(client(1), big)))
	}
	eventually(t, "the queue is full", func() bool {
		return r.facades().stats().QueuedBytes > maxQueueBytes-2*len(big.Payload)
	})
	err = intercept(t, r, publish(client(1), big, big))
	wantErrors(t, err, hook.ErrUnavailable)

	// Death of the plugin ends it all.
	go r.slot.vacate(r.in, errors.New("killed"))
	for _, done := range waiting {
		wantErrors(t, receive(t, done), hook.ErrUnavailable)
	}
	cancel()
}

// TestInterceptPluginDies in the middle of a batch: what it was told is lost,
// what it was not told is not.
func TestInterceptPluginDies(t *testing.T) {
	got := make(chan *streamRequest, 10)
	p := streaming(func(s serverStream) error {
		for {
			q, err := s.Recv()
			if err != nil {
				return nil
			}
			got <- q
		}
	})
	r := newRig(t, p)
	var lost []<-chan error
	for i := range maxFramesAway {
		lost = append(lost, going(deadline(t), r, publish(client(uint64(i)), message("a", ""))))
		receive(t, got)
	}
	unsent := going(deadline(t), r, publish(client(9), message("a", "")))
	eventually(t, "a call waits", func() bool { return queuedGroups(r) == 1 })
	r.server.Stop() // the connection breaks before the host hears of a death
	for _, done := range lost {
		wantErrors(t, receive(t, done), hook.ErrLost)
	}
	wantErrors(t, receive(t, unsent), hook.ErrUnavailable)
	r.slot.vacate(r.in, errors.New("it was killed"))
	err := intercept(t, r, publish(client(9), message("a", "")))
	wantErrors(t, err, hook.ErrUnavailable)
	if !strings.Contains(err.Error(), "it was killed") {
		t.Errorf("%q does not say why", err)
	}

	// The next instance serves the same facade.
	p = streaming(answering(passAll))
	r.start(p)
	if err := r.facades().interceptor().WaitReady(deadline(t)); err != nil {
		t.Fatal(err)
	}
	if err := intercept(t, r, publish(client(9), message("a", ""))); err != nil {
		t.Fatal(err)
	}
}

// TestInterceptUnbind ends calls that a plugin which is still there will never
// answer.
func TestInterceptUnbind(t *testing.T) {
	r := newRig(t, deaf())
	done := going(deadline(t), r, publish(client(1), message("a", "")))
	eventually(t, "the frame is away", func() bool { return r.facades().stats().FramesAway == 1 })
	r.slot.vacate(r.in, errStopping)
	wantErrors(t, receive(t, done), hook.ErrLost)
	if s := r.facades().stats(); s.FramesAway != 0 {
		t.Errorf("%+v", s)
	}
}
