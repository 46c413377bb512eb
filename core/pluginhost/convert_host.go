package pluginhost

import (
	"time"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

func clientContextToProto(c *hook.Client) *pluginv1.ClientContext {
	if c == nil {
		return nil
	}
	return &pluginv1.ClientContext{
		ConnectionId: c.ConnectionID, ClientId: toUTF8(c.ID), Username: toUTF8(c.Username), ProtocolLevel: uint32(c.Version),
		PeerAddress: toUTF8(c.PeerAddress), Listener: toUTF8(c.Listener), Mountpoint: toUTF8(c.Mountpoint), Items: textKeys(c.Items),
	}
}

// textKeys returns items whose names the contract has a form for.
func textKeys(items map[string][]byte) map[string][]byte {
	out := make(map[string][]byte, len(items))
	for k, v := range items {
		out[toUTF8(k)] = v
	}
	return out
}

func clientStatusToProto(s *ClientStatus) *pluginv1.ClientStatus {
	return &pluginv1.ClientStatus{
		Client: clientContextToProto(s.Client), ConnectedUnixNanos: nanos(s.Connected), LastReceivedUnixNanos: nanos(s.LastReceived),
		PacketsReceived: s.PacketsReceived, PacketsSent: s.PacketsSent,
		MessagesReceived: s.MessagesReceived, MessagesSent: s.MessagesSent,
		BytesReceived: s.BytesReceived, BytesSent: s.BytesSent,
	}
}

func sessionStatusToProto(s *SessionStatus) *pluginv1.SessionStatus {
	p := &pluginv1.SessionStatus{
		ClientId: toUTF8(s.ClientID), Username: toUTF8(s.Username), Mountpoint: toUTF8(s.Mountpoint), Connected: s.Connected,
		CreatedUnixNanos: nanos(s.Created), DisconnectedUnixNanos: nanos(s.Disconnected), ExpirySeconds: expirySeconds(s.Expiry),
		PendingMessages: count(s.Pending), Items: textKeys(s.Items), Durability: pluginv1.Durability(s.Durability),
	}
	for _, sub := range s.Subscriptions {
		p.Subscriptions = append(p.Subscriptions, &pluginv1.Subscription{
			Filter: toUTF8(sub.Filter), Qos: uint32(sub.QoS), NoLocal: sub.NoLocal, RetainAsPublished: sub.RetainAsPublished,
			RetainHandling: uint32(sub.RetainHandling), Identifier: sub.ID,
		})
	}
	return p
}

// nanos is 0 for the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func codesToProto(codes []mqtt.ReasonCode) []uint32 {
	out := make([]uint32, len(codes))
	for i, c := range codes {
		out[i] = uint32(c)
	}
	return out
}
