package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/core/admin"
	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/pluginhost"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
	"github.com/gatehouse-mqtt/gatehouse/core/trace"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

// maxWatchedBytes is about how large one part of a stream of calls is.
const maxWatchedBytes = 1 << 20

// WatchCalls implements admin.Debug.
func (s *server) WatchCalls(ctx context.Context, req *adminv1.WatchCallsRequest, tell func(*adminv1.WatchCallsResponse) error) error {
	filter, err := s.watchFilter(req)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.adminCloses:
			cancel(errStops)
		case <-ctx.Done():
		}
	}()
	t := trace.New(filter)
	defer s.hooks.Watch().Add(t)()
	if err := tell(&adminv1.WatchCallsResponse{}); err != nil {
		return err
	}
	for {
		calls, dropped, err := t.Next(ctx)
		if err != nil {
			return context.Cause(ctx)
		}
		if err := tellCalls(calls, dropped, req.GetRedaction(), tell); err != nil {
			return err
		}
	}
}

var errStops = errors.New("the broker stops")

func (s *server) watchFilter(req *adminv1.WatchCallsRequest) (f trace.Filter, err error) {
	if name := req.GetPlugin(); name != "" {
		if _, ok := s.host.Plugin(name); !ok {
			return f, fmt.Errorf("there is no plugin %q: %w", name, admin.ErrUnknown)
		}
	}
	if filter := req.GetTopicFilter(); filter != "" {
		if err := topic.ValidateFilter(filter); err != nil {
			return f, fmt.Errorf("topic filter %q: %w", filter, err)
		}
	}
	var points []string
	known := req.GetHook() == ""
	for p := range hook.NumPoints {
		points = append(points, p.String())
		known = known || p.String() == req.GetHook()
	}
	if !known {
		return f, fmt.Errorf("there is no hook %q; there are %s", req.GetHook(), strings.Join(points, ", "))
	}
	return trace.Filter{
		Hook: req.GetPlugin(), Point: req.GetHook(), ClientID: req.GetClientId(), Topic: req.GetTopicFilter(),
		Slow: time.Duration(req.GetSlowNanos()),
	}, nil
}

// tellCalls tells of calls in parts of a moderate size.
func tellCalls(calls []trace.Call, dropped uint64, redaction adminv1.Redaction, tell func(*adminv1.WatchCallsResponse) error) error {
	part, bytes := &adminv1.WatchCallsResponse{Dropped: dropped}, 0
	for i := range calls {
		c := watchedCall(&calls[i])
		redact(c, redaction)
		part.Calls = append(part.Calls, c)
		if bytes += proto.Size(c); bytes < maxWatchedBytes {
			continue
		}
		if err := tell(part); err != nil {
			return err
		}
		part, bytes = new(adminv1.WatchCallsResponse), 0
	}
	if len(part.GetCalls()) == 0 && part.GetDropped() == 0 {
		return nil
	}
	return tell(part)
}

// watchedCall puts a call into the words of the contracts.
func watchedCall(c *trace.Call) *adminv1.WatchedCall {
	w := &adminv1.WatchedCall{
		Plugin: c.Hook, Hook: c.Point.String(), BeganUnixNanos: c.Began.UnixNano(), TookNanos: int64(c.Took), WaitedNanos: int64(c.Waited),
		Attempts: uint32(c.Attempts), Batch: uint32(max(len(c.Calls), len(c.Events), 1)),
	}
	if c.Err != nil {
		w.Error, w.Policy = strings.ToValidUTF8(c.Err.Error(), "\uFFFD"), c.OnError.String()
	}
	switch c.Point {
	case hook.PointConnect:
		w.Connect, w.Decision = pluginhost.ConnectProto(c.Connect), pluginhost.DecisionProto(c.Decision)
		w.Kept, w.Exchange = c.Kept, c.Exchange
	case hook.PointEvent:
		w.Event, w.Client = pluginhost.EventProto(&c.Events[c.At]), pluginhost.ClientProto(c.Events[c.At].Client)
		if c.At == 0 {
			w.EventsDropped = c.Dropped
		}
	case hook.PointRetain:
		w.RetainedChanges = uint32(c.Changes)
	default:
		call := &c.Calls[c.At]
		w.Client = pluginhost.ClientProto(call.Asked.Client)
		w.Call, w.Verdict = pluginhost.CallProto(c.Point, &call.Asked), pluginhost.VerdictProto(call)
		w.Undeclared = fieldNames(call.Undeclared)
	}
	return w
}

// fieldNames are the names of a set of fields, as a manifest writes them.
func fieldNames(f hook.Field) []string {
	var names []string
	for _, n := range []struct {
		field hook.Field
		name  string
	}{
		{hook.FieldTopic, "topic"},
		{hook.FieldPayload, "payload"},
		{hook.FieldQoS, "qos"},
		{hook.FieldRetain, "retain"},
		{hook.FieldUser, "user_properties"},
		{hook.FieldExpiry, "expiry"},
		{hook.FieldContentType, "content_type"},
		{hook.FieldResponse, "response"},
		{hook.FieldSubscription, "subscription"},
	} {
		if f&n.field != 0 {
			names = append(names, n.name)
			f &^= n.field
		}
	}
	if f != 0 {
		names = append(names, "publisher")
	}
	return names
}
