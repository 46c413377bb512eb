package plugintest

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// viciousInterceptor marks messages, and lets everything pass.
type viciousInterceptor struct {
	pluginv1.UnimplementedMessageInterceptorServiceServer
	*vicious
	broken atomic.Bool
}

func (v *viciousInterceptor) Intercept(_ context.Context, in *pluginv1.InterceptRequest) (*pluginv1.InterceptResponse, error) {
	if v.broken.Load() {
		return nil, errors.New("another stream has my lock")
	}
	verdicts, err := v.decide(in.GetCalls(), false)
	return &pluginv1.InterceptResponse{Verdicts: verdicts}, err
}

func (v *viciousInterceptor) InterceptStream(s pluginv1.MessageInterceptorService_InterceptStreamServer) error {
	for {
		in, err := s.Recv()
		if err != nil {
			return nil //nolint:nilerr // the end of the stream
		}
		verdicts, err := v.decide(in.GetCalls(), true)
		if err != nil {
			return err
		}
		breaks := v.is("breaks with its stream") && in.GetCalls()[0].GetConnectionId() == 8 // of interceptor/cancelled
		if breaks {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-s.Context().Done():
			}
		}
		// In any order is as good.
		for i, j := 0, len(verdicts)-1; i < j; i, j = i+1, j-1 {
			verdicts[i], verdicts[j] = verdicts[j], verdicts[i]
		}
		err = s.Send(&pluginv1.InterceptStreamResponse{Verdicts: verdicts})
		if breaks && err != nil {
			v.broken.Store(true)
		}
	}
}

func (v *viciousInterceptor) decide(calls []*pluginv1.Call, streamed bool) ([]*pluginv1.Verdict, error) {
	var all []*pluginv1.Verdict
	for i, call := range calls {
		verdict := &pluginv1.Verdict{Seq: call.GetSeq(), Action: pluginv1.VerdictAction_VERDICT_ACTION_PASS}
		m := call.GetPublish().GetMessage()
		if m != nil {
			verdict.Message = &pluginv1.MessageChange{UserProperties: &pluginv1.UserPropertyList{
				UserProperties: []*pluginv1.UserProperty{{Key: "seen", Value: "yes"}},
			}}
		}
		switch {
		case call.GetCall() == nil && v.is("crashes"):
			os.Exit(1)
		case v.is("undeclared") && strings.Contains(m.GetTopic(), "kept"):
			verdict.Message.Topic = proto.String("elsewhere")
		case v.is("short numbers") && streamed:
			verdict.Seq = uint64(uint32(call.GetSeq()))
		case v.is("differs") && streamed && strings.Contains(m.GetTopic(), "two"):
			verdict.Action, verdict.Message = pluginv1.VerdictAction_VERDICT_ACTION_DROP, nil
		case v.is("forgets one") && len(calls) == 33 && i == 32:
			continue
		case v.is("small") && len(m.GetPayload()) > 1<<20:
			return nil, status.Error(codes.ResourceExhausted, "message larger than max")
		case v.is("needs a client") && call.GetConnectionId() == 0:
			return nil, errors.New("no client")
		}
		for _, p := range m.GetUserProperties() {
			if v.bad(p.GetValue()) {
				return nil, errBad
			}
		}
		all = append(all, verdict)
	}
	return all, nil
}

// viciousObserver takes events.
type viciousObserver struct {
	pluginv1.UnimplementedObserverServiceServer
	*vicious
	snapshots atomic.Int64
}

func (v *viciousObserver) Observe(_ context.Context, in *pluginv1.ObserveRequest) (*pluginv1.ObserveResponse, error) {
	return &pluginv1.ObserveResponse{}, v.take(in.GetEvents(), in.GetDropped())
}

func (v *viciousObserver) ObserveStream(s pluginv1.ObserverService_ObserveStreamServer) error {
	var batches uint64
	for {
		in, err := s.Recv()
		if err != nil {
			return nil //nolint:nilerr // the end of the stream
		}
		if err := v.take(in.GetEvents(), in.GetDropped()); err != nil {
			return err
		}
		batches++
		if v.is("counts events") {
			batches += uint64(len(in.GetEvents()))
		}
		if err := s.Send(&pluginv1.ObserveStreamResponse{Batches: batches}); err != nil {
			return err
		}
	}
}

func (v *viciousObserver) take(events []*pluginv1.Event, dropped uint64) error {
	if v.is("can't count") && dropped > 1000 {
		return status.Error(codes.OutOfRange, "so many")
	}
	for _, e := range events {
		switch {
		case v.is("picky") && e.GetKind() == pluginv1.EventKind_EVENT_KIND_SUBSCRIBED:
			return errors.New("what is a subscription")
		case v.is("crashes") && e.GetKind() == 99:
			os.Exit(1)
		case v.is("one snapshot") && e.GetKind() == pluginv1.EventKind_EVENT_KIND_SNAPSHOT_BEGINS && v.snapshots.Add(1) > 1:
			return errors.New("a snapshot was there already")
		case v.bad(e.GetReason()):
			return errBad
		}
	}
	return nil
}
