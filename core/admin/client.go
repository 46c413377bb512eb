package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/gatehouse-mqtt/gatehouse/core/broker"
	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
	adminv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/admin/v1"
)

type clientService struct {
	clients  broker.Clients
	sessions broker.Sessions
}

// ListClients lists a page.
func (s *clientService) ListClients(_ context.Context, req *adminv1.ListClientsRequest) (*adminv1.ListClientsResponse, error) {
	limit, err := pageSize(req.GetLimit())
	if err != nil {
		return nil, err
	}
	from, err := networkOf(req.GetAddress())
	if err != nil {
		return nil, err
	}
	if v := req.GetVersion(); v != "" && !slices.ContainsFunc([]mqtt.Version{mqtt.V31, mqtt.V311, mqtt.V5}, func(x mqtt.Version) bool { return x.String() == v }) {
		return nil, fmt.Errorf("%w: version %q: it is 3.1, 3.1.1 or 5", ErrInvalid, v)
	}
	list := s.clients.Find(req.GetCursor(), limit, func(c *broker.ClientStatus) bool {
		return pattern(req.GetClientId()).matches(c.ID) &&
			pattern(req.GetUsername()).matches(c.Username) &&
			(req.GetListener() == "" || req.GetListener() == c.Listener) &&
			(req.GetVersion() == "" || req.GetVersion() == c.Version.String()) &&
			(req.GetMountpoint() == "" || req.GetMountpoint() == c.Mountpoint) &&
			(!from.IsValid() || from.Contains(hostOf(c.PeerAddress)))
	})
	out := new(adminv1.ListClientsResponse)
	for i := range list {
		out.Clients = append(out.Clients, clientProto(&list[i]))
	}
	if len(list) == limit {
		out.NextCursor = list[limit-1].ID
	}
	return out, nil
}

// networkOf reads an address or a network; "" gives one that is not valid.
func networkOf(s string) (netip.Prefix, error) {
	if s == "" {
		return netip.Prefix{}, nil
	}
	if ip, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%w: %q is neither an address nor a network", ErrInvalid, s)
	}
	return p.Masked(), nil
}

// hostOf is the address of "host:port"; not valid for what has none.
func hostOf(address string) netip.Addr {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// GetClient tells of one client.
func (s *clientService) GetClient(_ context.Context, req *adminv1.GetClientRequest) (*adminv1.GetClientResponse, error) {
	c, ok := s.clients.Get(req.GetClientId())
	if !ok {
		return nil, notConnected(req.GetClientId())
	}
	p := clientProto(&c)
	p.Items = c.Items
	return &adminv1.GetClientResponse{Client: p}, nil
}

func notConnected(id string) error {
	return fmt.Errorf("no client %q is connected: %w", id, ErrUnknown)
}

// knownClient says of whom it is that there is no such client.
func knownClient(id string, err error) error {
	if errors.Is(err, broker.ErrUnknownClient) {
		return notConnected(id)
	}
	return err
}

func clientProto(c *broker.ClientStatus) *adminv1.Client {
	return &adminv1.Client{
		ClientId: c.ID, Username: c.Username, Version: c.Version.String(), Address: c.PeerAddress, Listener: c.Listener,
		Mountpoint: c.Mountpoint, ConnectionId: c.ConnectionID,
		ConnectedUnixNanos: unixNanos(c.Connected), LastReceivedUnixNanos: unixNanos(c.LastReceived),
		PacketsReceived: c.PacketsReceived, PacketsSent: c.PacketsSent,
		MessagesReceived: c.MessagesReceived, MessagesSent: c.MessagesSent,
		BytesReceived: c.BytesReceived, BytesSent: c.BytesSent, AdmittedBy: c.AdmittedBy,
	}
}

// DisconnectClient ends a connection.
func (s *clientService) DisconnectClient(_ context.Context, req *adminv1.DisconnectClientRequest) (*adminv1.DisconnectClientResponse, error) {
	code := req.GetReasonCode()
	if code != 0 && (code < 0x80 || code > 0xff) {
		return nil, fmt.Errorf("%w: reason code %d: one that ends a connection is 128 to 255", ErrInvalid, code)
	}
	err := s.clients.Disconnect(req.GetClientId(), broker.Disconnection{
		Code: mqtt.ReasonCode(code), Reason: req.GetReason(), ServerReference: req.GetServerReference(),
		User: userOf(req.GetUserProperties()), ConnectionID: req.GetConnectionId(), DiscardWill: req.GetDiscardWill(),
	})
	if err != nil {
		return nil, knownClient(req.GetClientId(), err)
	}
	return new(adminv1.DisconnectClientResponse), nil
}

// RevalidateClient asks the validators again.
func (s *clientService) RevalidateClient(ctx context.Context, req *adminv1.RevalidateClientRequest) (*adminv1.RevalidateClientResponse, error) {
	id := req.GetClientId()
	before, _ := s.sessions.Get(id)
	var refused *broker.Refusal
	switch err := s.clients.Revalidate(ctx, id); {
	case errors.As(err, &refused):
		return &adminv1.RevalidateClientResponse{Refused: true, ReasonCode: uint32(refused.Code), Reason: refused.Error()}, nil
	case err != nil:
		return nil, knownClient(id, err)
	}
	after, _ := s.sessions.Get(id)
	out := new(adminv1.RevalidateClientResponse)
	for _, sub := range before.Subscriptions {
		if !slices.ContainsFunc(after.Subscriptions, func(o mqtt.Subscription) bool { return o.Filter == sub.Filter }) {
			out.EndedSubscriptions = append(out.EndedSubscriptions, sub.Filter)
		}
	}
	return out, nil
}

// ResetClientStatistics has the counters begin at 0.
func (s *clientService) ResetClientStatistics(_ context.Context, req *adminv1.ResetClientStatisticsRequest) (*adminv1.ResetClientStatisticsResponse, error) {
	if err := s.clients.ResetStatistics(req.GetClientId()); err != nil {
		return nil, knownClient(req.GetClientId(), err)
	}
	return new(adminv1.ResetClientStatisticsResponse), nil
}
