package pluginapi

import (
	"context"
	"fmt"
	"iter"
	"math"
	"time"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// HostSessions calls the broker about sessions, connected or not; see
// [Host.Sessions].
type HostSessions struct{ h *Host }

// SessionStatus describes a session.
type SessionStatus struct {
	ClientID      string
	Username      string
	Mountpoint    string
	Connected     bool
	Created       time.Time
	Disconnected  time.Time     // zero if it is connected
	Expiry        time.Duration // after the connection; negative for never
	Pending       int           // messages queued or in flight
	Subscriptions []Subscription
	Items         map[string][]byte
	Durability    Durability // of one that outlives the broker, else DurabilityUnstated
}

// All yields the sessions in order of client identifier, by page as
// [HostClients.All]. Scope sessions.read.
func (s HostSessions) All(ctx context.Context) iter.Seq2[SessionStatus, error] {
	return byPage(func(cursor string) ([]SessionStatus, string, error) {
		out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.ListSessionsResponse, error) {
			return c.ListSessions(ctx, &pluginv1.ListSessionsRequest{Cursor: cursor})
		})
		list := make([]SessionStatus, len(out.GetSessions()))
		for i, p := range out.GetSessions() {
			list[i] = sessionStatusFromProto(p)
		}
		return list, out.GetNextCursor(), err
	})
}

// Get describes one session. The empty identifier is the server's own, which has
// nothing but Items. The error wraps ErrNotFound if there is none. Scope
// sessions.read.
func (s HostSessions) Get(ctx context.Context, id string) (SessionStatus, error) {
	out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.GetSessionResponse, error) {
		return c.GetSession(ctx, &pluginv1.GetSessionRequest{ClientId: id})
	})
	if err != nil {
		return SessionStatus{}, err
	}
	return sessionStatusFromProto(out.GetSession()), nil
}

func sessionStatusFromProto(p *pluginv1.SessionStatus) SessionStatus {
	s := SessionStatus{
		ClientID: p.GetClientId(), Username: p.GetUsername(), Mountpoint: p.GetMountpoint(), Connected: p.GetConnected(),
		Created: timeFromNanos(p.GetCreatedUnixNanos()), Disconnected: timeFromNanos(p.GetDisconnectedUnixNanos()),
		Expiry: time.Duration(p.GetExpirySeconds()) * time.Second, Pending: int(p.GetPendingMessages()), Items: p.GetItems(),
		Durability: Durability(min(max(p.GetDurability(), 0), pluginv1.Durability_DURABILITY_NONE)),
	}
	if p.GetExpirySeconds() == math.MaxUint32 {
		s.Expiry = -1
	}
	for _, sub := range p.GetSubscriptions() {
		s.Subscriptions = append(s.Subscriptions, subscriptionFromProto(sub))
	}
	return s
}

// Delete ends a session and its connection. While a hook about that client is
// asked it returns at once, and the session ends after the hook's answer. Scope
// sessions.write.
func (s HostSessions) Delete(ctx context.Context, id string) error {
	_, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.DeleteSessionResponse, error) {
		return c.DeleteSession(ctx, &pluginv1.DeleteSessionRequest{ClientId: id, Call: tokenOf(ctx)})
	})
	return err
}

// ClearQueue drops what is queued for a session and returns how many messages
// those were; what is in flight stays. Scope sessions.write.
func (s HostSessions) ClearQueue(ctx context.Context, id string) (dropped int, err error) {
	out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.ClearSessionQueueResponse, error) {
		return c.ClearSessionQueue(ctx, &pluginv1.ClearSessionQueueRequest{ClientId: id})
	})
	return int(out.GetDropped()), err
}

// UpdateItems sets items of a session and removes others, and returns all as
// they then are. Later hooks see them. The empty identifier is the server's own
// session: messages of the server and of plugins have no other, and its items
// last as long as the broker; a hook asks for them with Get. Scope
// sessions.write.
func (s HostSessions) UpdateItems(ctx context.Context, id string, set map[string][]byte, remove ...string) (map[string][]byte, error) {
	out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.UpdateSessionItemsResponse, error) {
		return c.UpdateSessionItems(ctx, &pluginv1.UpdateSessionItemsRequest{ClientId: id, Set: set, Remove: remove})
	})
	return out.GetItems(), err
}

// Subscribe subscribes on behalf of a client and returns a code for each filter
// as SUBACK would. Filters are the broker's own: they begin with the session's
// mountpoint, behind $share/GROUP/ if they have that. Grants do not bind such a
// subscription; retained messages are sent; the client is not told. Scope
// subscribe.
func (s HostSessions) Subscribe(ctx context.Context, id string, subs ...Subscription) ([]ReasonCode, error) {
	list := make([]*pluginv1.Subscription, len(subs))
	for i, sub := range subs {
		var err error
		if list[i], err = subscriptionToProto(sub); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.SubscribeClientResponse, error) {
		return c.SubscribeClient(ctx, &pluginv1.SubscribeClientRequest{ClientId: id, Subscriptions: list, Call: tokenOf(ctx)})
	})
	return reasonCodes(out.GetReasonCodes()), err
}

// Unsubscribe undoes a subscription of a client, whoever made it, and returns a
// code for each filter as UNSUBACK would. Scope subscribe.
func (s HostSessions) Unsubscribe(ctx context.Context, id string, filters ...string) ([]ReasonCode, error) {
	out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.UnsubscribeClientResponse, error) {
		return c.UnsubscribeClient(ctx, &pluginv1.UnsubscribeClientRequest{ClientId: id, Filters: filters, Call: tokenOf(ctx)})
	})
	return reasonCodes(out.GetReasonCodes()), err
}

func reasonCodes(list []uint32) []ReasonCode {
	if list == nil {
		return nil
	}
	out := make([]ReasonCode, len(list))
	for i, c := range list {
		out[i] = ReasonCode(c)
	}
	return out
}

// Enqueued tells what became of a message for one session.
type Enqueued struct {
	Queued       bool
	Sent         bool
	PacketID     uint16 // with which it was sent; 0 with QoS 0
	Acknowledged bool
	Code         ReasonCode // of the acknowledgement
	Dropped      string     // why it will not reach the receiver, "" if it was not dropped
}

// Enqueue puts a message into one session's queue, past subscriptions, grants
// and publish hooks, and does not wait until it is sent. Scope sessions.write.
func (s HostSessions) Enqueue(ctx context.Context, id string, m *Message) (Enqueued, error) {
	return s.enqueue(ctx, id, m, false)
}

// Deliver is Enqueue, but waits until the receiver has acknowledged the message
// or, with QoS 0, until it was sent; or until it was dropped. If ctx ends first,
// the message stays in the queue. Not to be called about a client while that
// client's own hook is asked. Scope sessions.write.
func (s HostSessions) Deliver(ctx context.Context, id string, m *Message) (Enqueued, error) {
	return s.enqueue(ctx, id, m, true)
}

func (s HostSessions) enqueue(ctx context.Context, id string, m *Message, wait bool) (Enqueued, error) {
	pb, err := messageToProto(m)
	if err != nil {
		return Enqueued{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	out, err := call(ctx, s.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.EnqueueMessageResponse, error) {
		return c.EnqueueMessage(ctx, &pluginv1.EnqueueMessageRequest{ClientId: id, Message: pb, WaitAcknowledged: wait, Call: tokenOf(ctx)})
	})
	return Enqueued{
		Queued: out.GetQueued(), Sent: out.GetSent(), PacketID: uint16(out.GetPacketId()), //nolint:gosec // the broker's
		Acknowledged: out.GetAcknowledged(), Code: ReasonCode(out.GetReasonCode()), Dropped: out.GetDroppedCause(),
	}, err
}
