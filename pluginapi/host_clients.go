package pluginapi

import (
	"context"
	"iter"
	"time"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// HostClients calls the broker about connections; see [Host.Clients].
type HostClients struct{ h *Host }

// ClientStatus describes a connected client. What it counts begins with the
// connection, or with [HostClients.ResetStatistics].
type ClientStatus struct {
	Client
	Connected        time.Time
	LastReceived     time.Time
	PacketsReceived  uint64
	PacketsSent      uint64
	MessagesReceived uint64
	MessagesSent     uint64
	BytesReceived    uint64
	BytesSent        uint64
}

// All yields the connected clients in order of identifier. They are fetched by
// page: who comes and goes meanwhile may be missing. An error is the last that
// is yielded. Scope clients.read.
func (c HostClients) All(ctx context.Context) iter.Seq2[ClientStatus, error] {
	return byPage(func(cursor string) ([]ClientStatus, string, error) {
		out, err := call(ctx, c.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.ListClientsResponse, error) {
			return c.ListClients(ctx, &pluginv1.ListClientsRequest{Cursor: cursor})
		})
		list := make([]ClientStatus, len(out.GetClients()))
		for i, p := range out.GetClients() {
			list[i] = clientStatusFromProto(p)
		}
		return list, out.GetNextCursor(), err
	})
}

// byPage yields what fetch returns page by page.
func byPage[T any](fetch func(cursor string) (page []T, next string, err error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for cursor := ""; ; {
			page, next, err := fetch(cursor)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, entry := range page {
				if !yield(entry, nil) {
					return
				}
			}
			if next == "" {
				return
			}
			cursor = next
		}
	}
}

// Get describes one connected client. The error wraps ErrNotFound if it is not
// connected. Scope clients.read.
func (c HostClients) Get(ctx context.Context, id string) (ClientStatus, error) {
	out, err := call(ctx, c.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.GetClientResponse, error) {
		return c.GetClient(ctx, &pluginv1.GetClientRequest{ClientId: id})
	})
	if err != nil {
		return ClientStatus{}, err
	}
	return clientStatusFromProto(out.GetClient()), nil
}

func clientStatusFromProto(p *pluginv1.ClientStatus) ClientStatus {
	s := ClientStatus{
		Connected: timeFromNanos(p.GetConnectedUnixNanos()), LastReceived: timeFromNanos(p.GetLastReceivedUnixNanos()),
		PacketsReceived: p.GetPacketsReceived(), PacketsSent: p.GetPacketsSent(),
		MessagesReceived: p.GetMessagesReceived(), MessagesSent: p.GetMessagesSent(),
		BytesReceived: p.GetBytesReceived(), BytesSent: p.GetBytesSent(),
	}
	if c := clientFromProto(p.GetClient()); c != nil {
		s.Client = *c
	}
	return s
}

// timeFromNanos is the zero time for 0.
func timeFromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// Disconnection says how a connection is to end.
type Disconnection struct {
	Code            ReasonCode // Success means AdministrativeAction
	Reason          string
	ServerReference string
	UserProperties  []UserProperty
	ConnectionID    uint64 // only this connection of the client; 0 for any
	DiscardWill     bool   // do not publish the will
}

// Disconnect ends a client's connection and does not wait for that. The error
// wraps ErrNotFound if the client, or that connection of it, is not there. Scope
// clients.disconnect.
func (c HostClients) Disconnect(ctx context.Context, id string, d Disconnection) error {
	_, err := call(ctx, c.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.DisconnectClientResponse, error) {
		return c.DisconnectClient(ctx, &pluginv1.DisconnectClientRequest{
			ClientId: id, ConnectionId: d.ConnectionID, ReasonCode: uint32(d.Code), Reason: d.Reason,
			ServerReference: d.ServerReference, UserProperties: userPropertiesToProto(d.UserProperties), PublishWill: !d.DiscardWill,
		})
	})
	return err
}

// ResetStatistics has the counters of a client's connection begin at 0 again, for
// everybody who reads them; those of the whole broker go on. The error wraps
// ErrNotFound if the client is not connected. Scope clients.reset.
func (c HostClients) ResetStatistics(ctx context.Context, id string) error {
	_, err := call(ctx, c.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.ResetClientStatisticsResponse, error) {
		return c.ResetClientStatistics(ctx, &pluginv1.ResetClientStatisticsRequest{ClientId: id})
	})
	return err
}

// Revalidate has the validators decide about a connected client anew, now and
// not when the decision expires, and returns the filters of the subscriptions
// that ended by that. If they refuse the client it is disconnected, and the
// error says so. Not to be called about a client while that client's own hook is
// asked. Scope grants.
func (c HostClients) Revalidate(ctx context.Context, id string) (ended []string, err error) {
	out, err := call(ctx, c.h, func(ctx context.Context, c pluginv1.HostServiceClient) (*pluginv1.UpdateGrantsResponse, error) {
		return c.UpdateGrants(ctx, &pluginv1.UpdateGrantsRequest{ClientId: id, Revalidate: true})
	})
	return out.GetEndedFilters(), err
}
