package pluginhost

import (
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func TestInterceptStreamEnds(t *testing.T) {
	tests := []struct {
		name string
		end  error
		want []error
		text string
	}{
		{"quietly", nil, []error{hook.ErrLost}, "ended the stream"},
		{"with an error", status.Error(codes.Internal, "out of ideas"), []error{hook.ErrLost}, "status Internal: out of ideas"},
		{"not implemented", status.Error(codes.Unimplemented, "no"), []error{hook.ErrLost, hook.ErrProtocol}, "serves no such method"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first := true
			r := newRig(t, streaming(func(s serverStream) error {
				if first {
					first = false
					_, _ = s.Recv()
					return tt.end
				}
				return answering(passAll)(s)
			}))
			err := intercept(t, r, publish(nil, message("a", "")))
			wantErrors(t, err, tt.want...)
			if !strings.Contains(err.Error(), tt.text) {
				t.Errorf("%q does not say %q", err, tt.text)
			}
			if err := intercept(t, r, publish(nil, message("a", ""))); err != nil {
				t.Errorf("on the next stream: %v", err)
			}
		})
	}
}

// TestInterceptHugeReply: an answer beyond the bound costs the plugin its
// stream and the broker next to nothing.
func TestInterceptHugeReply(t *testing.T) {
	huge := true
	r := newRig(t, streaming(answering(func(q *streamRequest) *streamResponse {
		if !huge {
			return passAll(q)
		}
		huge = false
		return &streamResponse{Verdicts: []*pluginv1.Verdict{{
			Seq: q.Calls[0].Seq, Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS,
			Message: &pluginv1.MessageChange{Payload: make([]byte, 100<<20)},
		}}}
	})))
	err := intercept(t, r, publish(nil, message("a", "")))
	wantErrors(t, err, hook.ErrLost, hook.ErrProtocol)
	if err := intercept(t, r, publish(nil, message("a", ""))); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// rawAnswers serves InterceptStream with answers that generated code would not
// write.
func rawAnswers(answer func(first uint64) []byte) fakePlugin {
	p := rawStreaming()
	p.register = func(s *grpc.Server) { registerRaw(s, rawAnswerer(answer)) }
	return p
}

type rawAnswerer func(first uint64) []byte

func (answer rawAnswerer) stream(s grpc.ServerStream) error {
	var f rawFrame
	in := incoming{into: &f}
	for {
		if err := s.RecvMsg(&in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var out outgoing
		out.alloc(64)
		*out.buf = append(*out.buf, answer(f.first)...)
		if err := s.SendMsg(&out); err != nil {
			return err
		}
	}
}

func TestInterceptGarbage(t *testing.T) {
	r := newRig(t, rawAnswers(func(uint64) []byte { return []byte{0x0a, 0xff} }))
	err := intercept(t, r, publish(nil, message("a", "")))
	wantErrors(t, err, hook.ErrLost, hook.ErrProtocol)
}

// TestInterceptInvalidUTF8 in an answer is an error of that call alone.
func TestInterceptInvalidUTF8(t *testing.T) {
	r := newRig(t, rawAnswers(func(first uint64) []byte {
		v := appendUint(nil, 1, first)
		v = appendUint(v, 2, uint64(pluginv1.VerdictAction_VERDICT_ACTION_REFUSE))
		v = appendString(v, 4, "na\xffive")
		return append(appendLength(nil, 2, len(v)), v...)
	}))
	err := intercept(t, r, publish(nil, message("a", "")))
	wantErrors(t, err, hook.ErrProtocol)
	if !strings.Contains(err.Error(), "reason is not valid UTF-8") {
		t.Error(err)
	}
}

// TestInterceptRefusesToShowInvalidUTF8: it never reaches the wire.
func TestInterceptRefusesToShowInvalidUTF8(t *testing.T) {
	r := newRig(t, streaming(answering(passAll)))
	err := intercept(t, r, publish(nil, message("a", ""), message("b\xff", "")))
	if err == nil || !strings.Contains(err.Error(), "topic is not valid UTF-8") {
		t.Error(err)
	}
	wantErrors(t, err)
	if s := r.facades().stats(); s.Frames != 0 {
		t.Errorf("%+v", s)
	}
}

func TestInterceptAtAWrongPoint(t *testing.T) {
	r := newRig(t, streaming(answering(passAll)))
	if err := intercept(t, r, &hook.Batch{Point: hook.PointRetain, Calls: []*hook.Call{{}}}); err == nil {
		t.Error("no error")
	}
	if err := intercept(t, r, &hook.Batch{Point: hook.PointPublish, Calls: []*hook.Call{{}}}); err == nil {
		t.Error("no error without a message")
	}
}

func TestInterceptorIsReplaced(t *testing.T) {
	by := func(reason string) fakePlugin {
		return streaming(answering(func(q *streamRequest) *streamResponse {
			return &streamResponse{Verdicts: []*pluginv1.Verdict{{
				Seq: q.Calls[0].Seq, Action: pluginv1.VerdictAction_VERDICT_ACTION_REFUSE, Reason: reason,
			}}}
		}))
	}
	r := newRig(t, by("old"))
	b := publish(nil, message("a", ""))
	if err := intercept(t, r, b); err != nil || b.Calls[0].Verdict.Reason != "old" {
		t.Fatal(err, b.Calls[0].Verdict)
	}
	r.start(by("new"))
	if err := intercept(t, r, b); err != nil || b.Calls[0].Verdict.Reason != "new" {
		t.Fatal(err, b.Calls[0].Verdict)
	}
}

func TestBindRefusesSenselessInterest(t *testing.T) {
	p := streaming(answering(passAll))
	r := newRig(t, p)
	in := newInstance(99, r.in.conn, &pluginv1.InitResponse{Interest: []*pluginv1.HookInterest{{
		Hook: pluginv1.Hook_HOOK_PUBLISH, TopicFilters: []string{"a/#/b"},
	}}})
	if err := r.slot.install(in); err == nil || !strings.Contains(err.Error(), "interest 1 (publish)") {
		t.Error(err)
	}
	if err := intercept(t, r, publish(nil, message("a", ""))); err != nil {
		t.Error("the old instance does not serve any more:", err)
	}
}
