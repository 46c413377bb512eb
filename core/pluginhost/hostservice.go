package pluginhost

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/core/hook"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// Bounds of what one plugin can ask at once. What is beyond them waits in the
// plugin, and concerns nobody else.
const (
	hostSocket         = "host.sock"
	maxHostConnections = 4
	maxHostCalls       = 32 // per connection
	maxHostRequest     = 16 << 20
)

// hostService is what the broker offers to one plugin instance, on a socket in
// the instance's private directory. It lives as long as the instance.
type hostService struct {
	pluginv1.UnimplementedHostServiceServer

	name      string
	scopes    []string
	shadowing *shadowing
	token     string
	target    string // for gRPC
	shared    *atomic.Pointer[ServerAPI]
	log       *slog.Logger

	instance atomic.Pointer[instance] // nil before Init has answered

	server *grpc.Server
	served chan struct{} // closed when nobody serves any more
}

// startHostService opens the socket and serves it until close.
func startHostService(dir string, s *start, api *atomic.Pointer[ServerAPI], sh *shadowing) (*hostService, error) {
	socket := filepath.Join(dir, hostSocket)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, err
	}
	h := &hostService{
		name: s.Name, scopes: s.Scopes, shadowing: sh, token: rand.Text(), target: "unix:" + filepath.ToSlash(socket),
		shared: api, log: s.log, served: make(chan struct{}),
	}
	h.server = grpc.NewServer(
		grpc.MaxConcurrentStreams(maxHostCalls),
		grpc.MaxRecvMsgSize(maxHostRequest),
		grpc.MaxSendMsgSize(math.MaxInt32),
		grpc.UnaryInterceptor(h.admit),
	)
	pluginv1.RegisterHostServiceServer(h.server, h)
	go func() {
		defer close(h.served)
		if err := h.server.Serve(newOwnListener(l, maxHostConnections)); err != nil {
			h.log.Warn("host service of plugin ended", slog.Any("error", err))
		}
	}()
	return h, nil
}

// close ends all calls of the plugin and the service.
func (h *hostService) close() {
	if h == nil {
		return
	}
	h.server.Stop()
	<-h.served
}

func (h *hostService) api() *ServerAPI { return h.shared.Load() }

// under is the context of a call that is made while something is in hand.
func (h *hostService) under(ctx context.Context, call *pluginv1.CallToken) context.Context {
	if call == nil {
		return ctx
	}
	if in := h.instance.Load(); in != nil && call.GetSeq() != 0 {
		if hand := in.inHand.find(call.GetConnectionId(), call.GetSeq()); hand != nil {
			return hook.WithInHand(ctx, hand)
		}
	}
	return hook.WithInHand(ctx, hook.NewInHand(uint8(min(call.GetHops(), hook.MaxHops))))
}

// toStatus says in the words of gRPC why a call of the API failed.
func (h *hostService) toStatus(err error) error {
	api := h.api()
	code := codes.FailedPrecondition
	switch {
	case err == nil:
		return nil
	case errors.Is(err, api.NotFound):
		code = codes.NotFound
	case errors.Is(err, api.Invalid):
		code = codes.InvalidArgument
	case errors.Is(err, api.Quota):
		code = codes.ResourceExhausted
	case api.Unavailable != nil && errors.Is(err, api.Unavailable):
		code = codes.Unavailable
	case errors.Is(err, context.DeadlineExceeded):
		code = codes.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		code = codes.Canceled
	}
	return status.Error(code, toUTF8(err.Error()))
}

func notFound(what, name string) error {
	return status.Errorf(codes.NotFound, "there is no %s %q", what, toUTF8(name))
}

// invalid is the answer to a request that makes no sense.
func invalid(err error) error {
	text := strings.ReplaceAll(err.Error(), hook.ErrProtocol.Error()+": ", "")
	return status.Error(codes.InvalidArgument, toUTF8(text))
}

// ownListener accepts connections of the broker's own user, and no more than a
// few at a time.
type ownListener struct {
	*net.UnixListener
	room   chan struct{} // holds a token for every connection
	closed chan struct{}
	once   sync.Once
}

func newOwnListener(l *net.UnixListener, most int) *ownListener {
	return &ownListener{UnixListener: l, room: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept waits for room and for a connection of the own user.
func (l *ownListener) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			<-l.room
			return nil, err
		}
		if err := checkPeer(conn); err == nil {
			return &ownConn{UnixConn: conn, leave: sync.OnceFunc(func() { <-l.room })}, nil
		}
		_ = conn.Close()
	}
}

// Close ends Accept.
func (l *ownListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.UnixListener.Close()
}

// ownConn gives its place back when it is closed.
type ownConn struct {
	*net.UnixConn
	leave func()
}

// Close closes the connection.
func (c *ownConn) Close() error {
	defer c.leave()
	return c.UnixConn.Close()
}

// SetServerAPI lets plugins call the broker, as soon as that is there. Before,
// their calls are answered UNAVAILABLE.
func (h *Host) SetServerAPI(api *ServerAPI) { h.api.Store(api) }

// claim makes the private directory of an instance, with its host service.
func (l *launcher) claim(id uint64, s *start) (dir string, err error) {
	if dir, err = l.dirs.claim(id); err != nil {
		return "", err
	}
	if s.service, err = startHostService(dir, s, l.api, l.shadowing); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, nil
}
