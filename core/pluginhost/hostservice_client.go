package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Bounds of a page.
const (
	defaultPage  = 100
	maxPage      = 1000
	maxPageBytes = 4 << 20
	pageStep     = 64 // so many are looked at together
)

// pages fetches entries above a cursor until there are limit of them, or their
// size is enough, or no more are left, and returns the cursor of the next page.
// add takes an entry and returns its key and its size.
func pages[T any](cursor string, limit uint32, fetch func(after string, n int) []T, add func(T) (key string, size int)) (next string, err error) {
	if limit > maxPage {
		return "", invalid(fmt.Errorf("limit %d: a page has at most %d entries", limit, maxPage))
	}
	left := int(limit)
	if left == 0 {
		left = defaultPage
	}
	for size := 0; left > 0; {
		n := min(left, pageStep)
		list := fetch(cursor, n)
		for i, entry := range list {
			key, bytes := add(entry)
			cursor, size, left = key, size+bytes, left-1
			if size >= maxPageBytes && (i < len(list)-1 || len(list) == n) {
				return cursor, nil
			}
		}
		if len(list) < n {
			return "", nil
		}
	}
	return cursor, nil
}

// ListClients lists connected clients.
func (h *hostService) ListClients(_ context.Context, in *pluginv1.ListClientsRequest) (*pluginv1.ListClientsResponse, error) {
	out := new(pluginv1.ListClientsResponse)
	next, err := pages(in.GetCursor(), in.GetLimit(), h.api().Clients.List, func(s ClientStatus) (string, int) {
		p := clientStatusToProto(&s)
		out.Clients = append(out.Clients, p)
		return s.ID, proto.Size(p)
	})
	out.NextCursor = next
	return out, err
}

// GetClient tells of one connected client.
func (h *hostService) GetClient(_ context.Context, in *pluginv1.GetClientRequest) (*pluginv1.GetClientResponse, error) {
	s, ok := h.api().Clients.Get(in.GetClientId())
	if !ok {
		return nil, notFound("connected client", in.GetClientId())
	}
	return &pluginv1.GetClientResponse{Client: clientStatusToProto(&s)}, nil
}

// ResetClientStatistics has the counters of a connection begin at 0 again.
func (h *hostService) ResetClientStatistics(_ context.Context, in *pluginv1.ResetClientStatisticsRequest) (*pluginv1.ResetClientStatisticsResponse, error) {
	if err := h.api().Clients.ResetStatistics(in.GetClientId()); err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.ResetClientStatisticsResponse{}, nil
}

// DisconnectClient ends a connection.
func (h *hostService) DisconnectClient(_ context.Context, in *pluginv1.DisconnectClientRequest) (*pluginv1.DisconnectClientResponse, error) {
	user := userFromProto(in.GetUserProperties())
	err := errors.Join(legalString("reason", in.GetReason()), legalString("server reference", in.GetServerReference()), legalUser(user))
	if in.GetReasonCode() > math.MaxUint8 {
		err = errors.Join(err, illegal("reason code %d", in.GetReasonCode()))
	}
	if err != nil {
		return nil, invalid(err)
	}
	err = h.api().Clients.Disconnect(in.GetClientId(), Disconnection{
		Code: mqtt.ReasonCode(in.GetReasonCode()), Reason: in.GetReason(), ServerReference: in.GetServerReference(), User: user, //nolint:gosec // checked
		ConnectionID: in.GetConnectionId(), DiscardWill: !in.GetPublishWill(),
	})
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.DisconnectClientResponse{}, nil
}

// UpdateGrants has the validators decide about a client anew.
func (h *hostService) UpdateGrants(ctx context.Context, in *pluginv1.UpdateGrantsRequest) (*pluginv1.UpdateGrantsResponse, error) {
	if !in.GetRevalidate() {
		return nil, invalid(errors.New("revalidate is not set: nothing else can be done"))
	}
	ended, err := h.api().Grants.Revalidate(ctx, in.GetClientId())
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.UpdateGrantsResponse{EndedFilters: ended}, nil
}

// ListSessions lists sessions.
func (h *hostService) ListSessions(_ context.Context, in *pluginv1.ListSessionsRequest) (*pluginv1.ListSessionsResponse, error) {
	out := new(pluginv1.ListSessionsResponse)
	next, err := pages(in.GetCursor(), in.GetLimit(), h.api().Sessions.List, func(s SessionStatus) (string, int) {
		p := sessionStatusToProto(&s)
		out.Sessions = append(out.Sessions, p)
		return s.ClientID, proto.Size(p)
	})
	out.NextCursor = next
	return out, err
}

// GetSession tells of one session.
func (h *hostService) GetSession(_ context.Context, in *pluginv1.GetSessionRequest) (*pluginv1.GetSessionResponse, error) {
	s, ok := h.api().Sessions.Get(in.GetClientId())
	if !ok {
		return nil, notFound("session of client", in.GetClientId())
	}
	return &pluginv1.GetSessionResponse{Session: sessionStatusToProto(&s)}, nil
}

// DeleteSession ends a session.
func (h *hostService) DeleteSession(ctx context.Context, in *pluginv1.DeleteSessionRequest) (*pluginv1.DeleteSessionResponse, error) {
	if err := h.api().Sessions.Delete(h.under(ctx, in.GetCall()), in.GetClientId()); err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.DeleteSessionResponse{}, nil
}

// UpdateSessionItems changes a session's items.
func (h *hostService) UpdateSessionItems(_ context.Context, in *pluginv1.UpdateSessionItemsRequest) (*pluginv1.UpdateSessionItemsResponse, error) {
	items, err := h.api().Sessions.UpdateItems(in.GetClientId(), in.GetSet(), in.GetRemove()...)
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.UpdateSessionItemsResponse{Items: textKeys(items)}, nil
}

// SubscribeClient subscribes on behalf of a client.
func (h *hostService) SubscribeClient(ctx context.Context, in *pluginv1.SubscribeClientRequest) (*pluginv1.SubscribeClientResponse, error) {
	subs := make([]mqtt.Subscription, len(in.GetSubscriptions()))
	for i, p := range in.GetSubscriptions() {
		if p.GetQos() > math.MaxUint8 || p.GetRetainHandling() > math.MaxUint8 {
			return nil, invalid(illegal("QoS %d or retain handling %d", p.GetQos(), p.GetRetainHandling()))
		}
		subs[i] = mqtt.Subscription{
			Filter: p.GetFilter(), QoS: mqtt.QoS(p.GetQos()), NoLocal: p.GetNoLocal(), RetainAsPublished: p.GetRetainAsPublished(), //nolint:gosec // checked
			RetainHandling: mqtt.RetainHandling(p.GetRetainHandling()), ID: p.GetIdentifier(), //nolint:gosec // checked
		}
	}
	codes, err := h.api().Subscriptions.Subscribe(h.under(ctx, in.GetCall()), in.GetClientId(), subs...)
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.SubscribeClientResponse{ReasonCodes: codesToProto(codes)}, nil
}

// UnsubscribeClient undoes it.
func (h *hostService) UnsubscribeClient(ctx context.Context, in *pluginv1.UnsubscribeClientRequest) (*pluginv1.UnsubscribeClientResponse, error) {
	codes, err := h.api().Subscriptions.Unsubscribe(h.under(ctx, in.GetCall()), in.GetClientId(), in.GetFilters()...)
	if err != nil {
		return nil, h.toStatus(err)
	}
	return &pluginv1.UnsubscribeClientResponse{ReasonCodes: codesToProto(codes)}, nil
}

// GetShared reads shared data.
func (h *hostService) GetShared(_ context.Context, in *pluginv1.GetSharedRequest) (*pluginv1.GetSharedResponse, error) {
	value, version := h.api().Shared.Get(in.GetKey())
	if version != 0 && value == nil {
		value = []byte{} // present, and empty
	}
	return &pluginv1.GetSharedResponse{Value: value, Version: version}, nil
}

// PutShared writes shared data.
func (h *hostService) PutShared(_ context.Context, in *pluginv1.PutSharedRequest) (*pluginv1.PutSharedResponse, error) {
	edits := h.api().SharedEdits
	out := &pluginv1.PutSharedResponse{Written: true}
	var err error
	switch {
	case in.Value == nil && in.IfVersion != nil:
		out.Written, out.Version = edits.DeleteIf(in.GetKey(), in.GetIfVersion())
	case in.Value == nil:
		edits.Delete(in.GetKey())
	case in.IfVersion != nil:
		out.Written, out.Version, err = edits.PutIf(in.GetKey(), in.GetValue(), in.GetIfVersion())
	default:
		out.Version, err = edits.Put(in.GetKey(), in.GetValue())
	}
	if err != nil {
		return nil, h.toStatus(err)
	}
	return out, nil
}

// never is what an expiry in seconds says that has no end.
const never = math.MaxUint32

func expirySeconds(d time.Duration) uint32 {
	if d < 0 || d/time.Second >= never {
		return never
	}
	return uint32(d / time.Second) //nolint:gosec // checked
}
