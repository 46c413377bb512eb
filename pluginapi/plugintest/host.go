package plugintest

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Host stands in for the broker that a plugin calls: give it to [Start] or
// [Launch] with [WithHost]. It keeps what the plugin gives it and routes nothing:
// the test looks at what was published, enqueued or subscribed. Clients are those
// that the test adds. A call that it does not know, such as Revalidate, answers
// an error. Its methods may be called from many goroutines.
type Host struct {
	pluginv1.UnimplementedHostServiceServer
	target string

	mu        sync.Mutex // guards the fields below
	published []*pluginapi.Message
	clients   map[string]*hostClient
	own       hostClient // of the server: its items
	retained  map[string]*pluginv1.Message
	shared    map[string]*pluginv1.GetSharedResponse
	version   uint64
	denied    []string // methods
	stopped   *pluginapi.Farewell
	interest  []pluginapi.Hook
}

// hostClient is a client with its session.
type hostClient struct {
	pluginapi.Client
	enqueued      []*pluginapi.Message
	subscriptions []pluginapi.Subscription
	gone          *pluginapi.Disconnection
}

const hostToken = "plugintest"

// NewHost serves until the end of the test.
func NewHost(t testing.TB) *Host {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh") // paths of t.TempDir are too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "host.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	h := &Host{
		target:  "unix:" + filepath.ToSlash(socket),
		clients: make(map[string]*hostClient), retained: make(map[string]*pluginv1.Message),
		shared: make(map[string]*pluginv1.GetSharedResponse),
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(h.admit))
	pluginv1.RegisterHostServiceServer(server, h)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("host: %v", err)
		}
		_ = os.RemoveAll(dir)
	})
	return h
}

// WithHost lets the plugin call a broker.
func WithHost(h *Host) Option { return func(s *settings) { s.host = h } }

// admit checks the token, and what Deny said.
func (h *Host) admit(ctx context.Context, in any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if !slices.Equal(md.Get("gatehouse-token"), []string{hostToken}) {
		return nil, status.Error(codes.Unauthenticated, "the token is wrong")
	}
	h.mu.Lock()
	denied := slices.Contains(h.denied, info.FullMethod[strings.LastIndex(info.FullMethod, "/")+1:])
	h.mu.Unlock()
	if denied {
		return nil, status.Error(codes.PermissionDenied, "the test does not permit this call")
	}
	return handle(ctx, in)
}

// Deny answers calls, by their names in the contract ("Publish"), as if the
// plugin had not the scope.
func (h *Host) Deny(methods ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.denied = methods
}

// AddClient connects a client.
func (h *Host) AddClient(c pluginapi.Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[c.ID] = &hostClient{Client: c}
}

// Published returns what the plugin has published, in order.
func (h *Host) Published() []*pluginapi.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.published)
}

// Enqueued returns what the plugin has put into the queue of a client.
func (h *Host) Enqueued(id string) []*pluginapi.Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.clients[id]; c != nil {
		return slices.Clone(c.enqueued)
	}
	return nil
}

// Subscriptions returns what the plugin has subscribed for a client.
func (h *Host) Subscriptions(id string) []pluginapi.Subscription {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.clients[id]; c != nil {
		return slices.Clone(c.subscriptions)
	}
	return nil
}

// Disconnected tells how the plugin has ended a client's connection, nil if it
// has not.
func (h *Host) Disconnected(id string) *pluginapi.Disconnection {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c := h.clients[id]; c != nil {
		return c.gone
	}
	return nil
}

// find returns a client. mu is held.
func (h *Host) find(id string) (*hostClient, error) {
	if c := h.clients[id]; c != nil {
		return c, nil
	}
	return nil, status.Errorf(codes.NotFound, "there is no client %q", id)
}

// Publish keeps a message.
func (h *Host) Publish(_ context.Context, in *pluginv1.PublishRequest) (*pluginv1.PublishResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.published = append(h.published, messageFromProto(in.GetMessage()))
	inHand := in.GetCall().GetSeq() != 0 || in.GetCall().GetConnectionId() != 0 // no event
	return &pluginv1.PublishResponse{Later: inHand}, nil
}

// EnqueueMessage keeps a message, and acknowledges it at once.
func (h *Host) EnqueueMessage(_ context.Context, in *pluginv1.EnqueueMessageRequest) (*pluginv1.EnqueueMessageResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.find(in.GetClientId())
	if err != nil {
		return nil, err
	}
	c.enqueued = append(c.enqueued, messageFromProto(in.GetMessage()))
	out := &pluginv1.EnqueueMessageResponse{Queued: true}
	if in.GetWaitAcknowledged() {
		out.Sent = true
		if in.GetMessage().GetQos() > 0 {
			out.Acknowledged, out.PacketId = true, uint32(len(c.enqueued)) //nolint:gosec // few
		}
	}
	return out, nil
}

// ListClients returns all clients as one page.
func (h *Host) ListClients(context.Context, *pluginv1.ListClientsRequest) (*pluginv1.ListClientsResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := new(pluginv1.ListClientsResponse)
	for _, c := range h.clients {
		if c.gone == nil {
			out.Clients = append(out.Clients, &pluginv1.ClientStatus{Client: clientToProto(&c.Client)})
		}
	}
	slices.SortFunc(out.Clients, func(a, b *pluginv1.ClientStatus) int {
		return strings.Compare(a.GetClient().GetClientId(), b.GetClient().GetClientId())
	})
	return out, nil
}

// GetClient describes a client.
func (h *Host) GetClient(_ context.Context, in *pluginv1.GetClientRequest) (*pluginv1.GetClientResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.find(in.GetClientId())
	if err == nil && c.gone != nil {
		err = status.Errorf(codes.NotFound, "client %q is not connected", c.ID)
	}
	if err != nil {
		return nil, err
	}
	return &pluginv1.GetClientResponse{Client: &pluginv1.ClientStatus{Client: clientToProto(&c.Client)}}, nil
}

// DisconnectClient keeps how.
func (h *Host) DisconnectClient(_ context.Context, in *pluginv1.DisconnectClientRequest) (*pluginv1.DisconnectClientResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.find(in.GetClientId())
	if err != nil {
		return nil, err
	}
	c.gone = &pluginapi.Disconnection{
		Code: pluginapi.ReasonCode(in.GetReasonCode()), Reason: in.GetReason(), ServerReference: in.GetServerReference(),
		UserProperties: propertiesFromProto(in.GetUserProperties()), ConnectionID: in.GetConnectionId(), DiscardWill: !in.GetPublishWill(),
	}
	return &pluginv1.DisconnectClientResponse{}, nil
}

// Stopped tells how the plugin has stopped the broker, nil if it has not.
func (h *Host) Stopped() *pluginapi.Farewell {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.stopped
}

// StopBroker keeps how.
func (h *Host) StopBroker(_ context.Context, in *pluginv1.StopBrokerRequest) (*pluginv1.StopBrokerResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = &pluginapi.Farewell{
		Code: pluginapi.ReasonCode(in.GetReasonCode()), Reason: in.GetReason(), ServerReference: in.GetServerReference(),
		UserProperties: propertiesFromProto(in.GetUserProperties()),
	}
	return &pluginv1.StopBrokerResponse{}, nil
}

// ResetClientStatistics does nothing: no client has any traffic.
func (h *Host) ResetClientStatistics(_ context.Context, in *pluginv1.ResetClientStatisticsRequest) (*pluginv1.ResetClientStatisticsResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, err := h.find(in.GetClientId()); err != nil {
		return nil, err
	}
	return &pluginv1.ResetClientStatisticsResponse{}, nil
}

// GetSession describes the session of a client, or the server's own: its items.
func (h *Host) GetSession(_ context.Context, in *pluginv1.GetSessionRequest) (*pluginv1.GetSessionResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.session(in.GetClientId())
	if err != nil {
		return nil, err
	}
	return &pluginv1.GetSessionResponse{Session: &pluginv1.SessionStatus{
		ClientId: c.ID, Username: c.Username, Mountpoint: c.Mountpoint, Connected: c.gone == nil && c.ID != "", Items: c.Items,
	}}, nil
}

// session is find, but for the empty identifier, which is the server's. mu is
// held.
func (h *Host) session(id string) (*hostClient, error) {
	if id == "" {
		return &h.own, nil
	}
	return h.find(id)
}

// UpdateSessionItems changes the items of a client, or of the server.
func (h *Host) UpdateSessionItems(_ context.Context, in *pluginv1.UpdateSessionItemsRequest) (*pluginv1.UpdateSessionItemsResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c, err := h.session(in.GetClientId())
	if err != nil {
		return nil, err
	}
	items := make(map[string][]byte)
	for k, v := range c.Items {
		if !slices.Contains(in.GetRemove(), k) {
			items[k] = v
		}
	}
	for k, v := range in.GetSet() {
		items[k] = bytes.Clone(v)
	}
	c.Items = items
	return &pluginv1.UpdateSessionItemsResponse{Items: items}, nil
}
