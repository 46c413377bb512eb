package admin

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	"github.com/gatehouse-mqtt/gatehouse/core/topic"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type subscriptionService struct {
	sessions broker.Sessions
}

// ListSubscriptions lists a page.
func (s *subscriptionService) ListSubscriptions(_ context.Context, req *adminv1.ListSubscriptionsRequest) (*adminv1.ListSubscriptionsResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	after, err := subscriptionAt(req.GetCursor())
	if err != nil {
		return nil, err
	}
	if name := req.GetTopic(); name != "" {
		if err := topic.ValidateName(name); err != nil {
			return nil, fmt.Errorf("%w: topic %q: %w", ErrInvalid, name, err)
		}
	}
	list := s.sessions.FindSubscriptions(after, limit, func(x *broker.ClientSubscription) bool {
		return pattern(req.GetClientId()).matches(x.ClientID) &&
			(req.GetFilter() == "" || req.GetFilter() == x.Filter) && wanted(req, x.Filter)
	})
	out := new(adminv1.ListSubscriptionsResponse)
	for i := range list {
		out.Subscriptions = append(out.Subscriptions, subscriptionProto(list[i].ClientID, &list[i].Subscription))
	}
	if len(list) == limit {
		out.NextCursor = cursorOf(&list[limit-1])
	}
	return out, nil
}

// wanted reports whether a filter has the topic and the group that a request
// asks for.
func wanted(req *adminv1.ListSubscriptionsRequest, filter string) bool {
	if req.GetTopic() == "" && req.GetGroup() == "" {
		return true
	}
	sh, shared, err := topic.ParseShared(filter)
	if err != nil {
		return false
	}
	return (req.GetTopic() == "" || topic.Match(sh.Filter, req.GetTopic())) &&
		(req.GetGroup() == "" || shared && sh.Group == req.GetGroup())
}

// cursorOf is where a page ends. No client identifier has a NUL in it.
func cursorOf(s *broker.ClientSubscription) string {
	return base64.RawURLEncoding.EncodeToString([]byte(s.ClientID + "\x00" + s.Filter))
}

// subscriptionAt is the inverse of cursorOf; nil for no cursor.
func subscriptionAt(cursor string) (*broker.ClientSubscription, error) {
	if cursor == "" {
		return nil, nil //nolint:nilnil // the first page
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	id, filter, ok := strings.Cut(string(b), "\x00")
	if err != nil || !ok {
		return nil, fmt.Errorf("%w: the cursor is none that a page ended with", ErrInvalid)
	}
	return &broker.ClientSubscription{ClientID: id, Subscription: mqtt.Subscription{Filter: filter}}, nil
}

// AddSubscriptions subscribes on behalf of a client.
func (s *subscriptionService) AddSubscriptions(ctx context.Context, req *adminv1.AddSubscriptionsRequest) (*adminv1.AddSubscriptionsResponse, error) {
	if len(req.GetSubscriptions()) == 0 {
		return nil, fmt.Errorf("%w: there is no subscription", ErrInvalid)
	}
	var subs []mqtt.Subscription
	for _, p := range req.GetSubscriptions() {
		sub, err := subscriptionOf(p)
		if err != nil {
			return nil, err
		}
		subs = append(subs, sub)
	}
	codes, err := s.sessions.Subscribe(ctx, req.GetClientId(), subs...)
	if err != nil {
		return nil, knownSession(req.GetClientId(), err)
	}
	return &adminv1.AddSubscriptionsResponse{ReasonCodes: codesProto(codes)}, nil
}

// RemoveSubscriptions unsubscribes on behalf of a client.
func (s *subscriptionService) RemoveSubscriptions(ctx context.Context, req *adminv1.RemoveSubscriptionsRequest) (*adminv1.RemoveSubscriptionsResponse, error) {
	if len(req.GetFilters()) == 0 {
		return nil, fmt.Errorf("%w: there is no filter", ErrInvalid)
	}
	codes, err := s.sessions.Unsubscribe(ctx, req.GetClientId(), req.GetFilters()...)
	if err != nil {
		return nil, knownSession(req.GetClientId(), err)
	}
	return &adminv1.RemoveSubscriptionsResponse{ReasonCodes: codesProto(codes)}, nil
}
