package plugintest

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// SubscribeClient keeps subscriptions and grants them all.
func (h *Host) SubscribeClient(_ context.Context, in *pluginv1.SubscribeClientRequest) (*pluginv1.SubscribeClientResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.find(in.GetClientId())
	if err != nil {
		return nil, err
	}
	out := new(pluginv1.SubscribeClientResponse)
	for _, p := range in.GetSubscriptions() {
		c.subscriptions = slices.DeleteFunc(c.subscriptions, func(s pluginapi.Subscription) bool { return s.Filter == p.GetFilter() })
		c.subscriptions = append(c.subscriptions, subscriptionFromProto(p))
		out.ReasonCodes = append(out.ReasonCodes, p.GetQos())
	}
	return out, nil
}

// UnsubscribeClient forgets subscriptions.
func (h *Host) UnsubscribeClient(_ context.Context, in *pluginv1.UnsubscribeClientRequest) (*pluginv1.UnsubscribeClientResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.find(in.GetClientId())
	if err != nil {
		return nil, err
	}
	out := new(pluginv1.UnsubscribeClientResponse)
	for _, f := range in.GetFilters() {
		before := len(c.subscriptions)
		c.subscriptions = slices.DeleteFunc(c.subscriptions, func(s pluginapi.Subscription) bool { return s.Filter == f })
		code := pluginapi.Success
		if len(c.subscriptions) == before {
			code = pluginapi.NoSubscriptionExisted
		}
		out.ReasonCodes = append(out.ReasonCodes, uint32(code))
	}
	return out, nil
}

// ListRetained returns all that match as one page.
func (h *Host) ListRetained(_ context.Context, in *pluginv1.ListRetainedRequest) (*pluginv1.ListRetainedResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := new(pluginv1.ListRetainedResponse)
	for name, m := range h.retained {
		if in.GetFilter() == "" || pluginapi.Match(in.GetFilter(), name) {
			out.Messages = append(out.Messages, m)
		}
	}
	slices.SortFunc(out.Messages, func(a, b *pluginv1.Message) int { return strings.Compare(a.GetTopic(), b.GetTopic()) })
	return out, nil
}

// GetRetained returns one retained message.
func (h *Host) GetRetained(_ context.Context, in *pluginv1.GetRetainedRequest) (*pluginv1.GetRetainedResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.retained[in.GetTopic()]
	if m == nil {
		return nil, status.Errorf(codes.NotFound, "there is no retained message of topic %q", in.GetTopic())
	}
	return &pluginv1.GetRetainedResponse{Message: m}, nil
}

// PutRetained keeps a retained message.
func (h *Host) PutRetained(_ context.Context, in *pluginv1.PutRetainedRequest) (*pluginv1.PutRetainedResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.version++
	if m := in.GetMessage(); len(m.GetPayload()) == 0 {
		delete(h.retained, m.GetTopic())
	} else {
		m.Retain = true
		h.retained[m.GetTopic()] = m
	}
	return &pluginv1.PutRetainedResponse{Revision: h.version}, nil
}

// DeleteRetained removes retained messages.
func (h *Host) DeleteRetained(_ context.Context, in *pluginv1.DeleteRetainedRequest) (*pluginv1.DeleteRetainedResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := new(pluginv1.DeleteRetainedResponse)
	for name := range h.retained {
		if in.GetAll() || pluginapi.Match(in.GetFilter(), name) {
			delete(h.retained, name)
			out.Deleted++
		}
	}
	return out, nil
}

// GetShared reads shared data.
func (h *Host) GetShared(_ context.Context, in *pluginv1.GetSharedRequest) (*pluginv1.GetSharedResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v := h.shared[in.GetKey()]; v != nil {
		return v, nil
	}
	return &pluginv1.GetSharedResponse{}, nil
}

// PutShared writes shared data.
func (h *Host) PutShared(_ context.Context, in *pluginv1.PutSharedRequest) (*pluginv1.PutSharedResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	is := h.shared[in.GetKey()].GetVersion()
	if in.IfVersion != nil && is != in.GetIfVersion() {
		return &pluginv1.PutSharedResponse{Version: is}, nil
	}
	if in.Value == nil {
		delete(h.shared, in.GetKey())
		return &pluginv1.PutSharedResponse{Written: true}, nil
	}
	h.version++
	h.shared[in.GetKey()] = &pluginv1.GetSharedResponse{Value: append([]byte{}, in.GetValue()...), Version: h.version}
	return &pluginv1.PutSharedResponse{Written: true, Version: h.version}, nil
}
