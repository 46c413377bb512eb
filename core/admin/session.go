package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type sessionService struct {
	sessions broker.Sessions
}

// ListSessions lists a page.
func (s *sessionService) ListSessions(_ context.Context, req *adminv1.ListSessionsRequest) (*adminv1.ListSessionsResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	list := s.sessions.Find(req.GetCursor(), limit, func(x *broker.SessionStatus) bool {
		return pattern(req.GetClientId()).matches(x.ClientID) &&
			pattern(req.GetUsername()).matches(x.Username) &&
			(req.GetMountpoint() == "" || req.GetMountpoint() == x.Mountpoint) &&
			(req.Connected == nil || req.GetConnected() == x.Connected) &&
			count(x.Pending) >= req.GetMinPending()
	})
	out := new(adminv1.ListSessionsResponse)
	for i := range list {
		out.Sessions = append(out.Sessions, sessionProto(&list[i]))
	}
	if len(list) == limit {
		out.NextCursor = list[limit-1].ClientID
	}
	return out, nil
}

// GetSession tells of one session.
func (s *sessionService) GetSession(_ context.Context, req *adminv1.GetSessionRequest) (*adminv1.GetSessionResponse, error) {
	x, ok := s.sessions.Get(req.GetClientId())
	if !ok || req.GetClientId() == "" {
		return nil, noSession(req.GetClientId())
	}
	p := sessionProto(&x)
	p.Items = x.Items
	for i := range x.Subscriptions {
		p.Subscriptions = append(p.Subscriptions, subscriptionProto("", &x.Subscriptions[i]))
	}
	return &adminv1.GetSessionResponse{Session: p}, nil
}

func noSession(id string) error { return fmt.Errorf("client %q has no session: %w", id, ErrUnknown) }

// knownSession says of whom it is that there is no such session.
func knownSession(id string, err error) error {
	if errors.Is(err, broker.ErrUnknownClient) {
		return noSession(id)
	}
	return err
}

func sessionProto(x *broker.SessionStatus) *adminv1.Session {
	p := &adminv1.Session{
		ClientId: x.ClientID, Username: x.Username, Mountpoint: x.Mountpoint, Connected: x.Connected,
		CreatedUnixNanos: unixNanos(x.Created), DisconnectedUnixNanos: unixNanos(x.Disconnected),
		ExpirySeconds: int64(x.Expiry / time.Second), Pending: count(x.Pending), SubscriptionCount: count(len(x.Subscriptions)),
		Durability: x.Durability.String(),
	}
	if x.Expiry < 0 {
		p.ExpirySeconds = -1
	}
	return p
}

// DeleteSession ends a session.
func (s *sessionService) DeleteSession(ctx context.Context, req *adminv1.DeleteSessionRequest) (*adminv1.DeleteSessionResponse, error) {
	if err := s.sessions.Delete(ctx, req.GetClientId()); err != nil {
		return nil, knownSession(req.GetClientId(), err)
	}
	return new(adminv1.DeleteSessionResponse), nil
}

// ClearSessionQueue drops what is queued.
func (s *sessionService) ClearSessionQueue(_ context.Context, req *adminv1.ClearSessionQueueRequest) (*adminv1.ClearSessionQueueResponse, error) {
	n, err := s.sessions.ClearQueue(req.GetClientId())
	if err != nil {
		return nil, knownSession(req.GetClientId(), err)
	}
	return &adminv1.ClearSessionQueueResponse{Dropped: count(n)}, nil
}

// EnqueueMessage puts a message into a queue.
func (s *sessionService) EnqueueMessage(ctx context.Context, req *adminv1.EnqueueMessageRequest) (*adminv1.EnqueueMessageResponse, error) {
	m, err := messageOf(req.GetMessage())
	if err != nil {
		return nil, err
	}
	enqueue := s.sessions.Enqueue
	if req.GetWait() {
		enqueue = s.sessions.Deliver
	}
	e, err := enqueue(ctx, req.GetClientId(), m)
	if err != nil {
		return nil, knownSession(req.GetClientId(), err)
	}
	return &adminv1.EnqueueMessageResponse{
		Queued: e.Queued, Sent: e.Sent, PacketId: uint32(e.PacketID), Acknowledged: e.Acknowledged,
		ReasonCode: uint32(e.Code), Dropped: string(e.Dropped),
	}, nil
}

// UpdateSessionItems changes items.
func (s *sessionService) UpdateSessionItems(_ context.Context, req *adminv1.UpdateSessionItemsRequest) (*adminv1.UpdateSessionItemsResponse, error) {
	if req.GetClientId() == "" {
		return nil, noSession("")
	}
	items, err := s.sessions.UpdateItems(req.GetClientId(), req.GetSet(), req.GetRemove()...)
	if err != nil {
		return nil, knownSession(req.GetClientId(), err)
	}
	return &adminv1.UpdateSessionItemsResponse{Items: items}, nil
}
