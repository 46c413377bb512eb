package pluginapi

import (
	"context"
	"log/slog"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection"
)

// Server serves one plugin over gRPC on any listener: what [Serve] makes of a
// process, without the process. Tests use it, and programs that keep a plugin
// inside of themselves.
type Server struct {
	core *core
	grpc *grpc.Server
}

// NewServer makes a server for p; it serves nothing yet. Setup.Logger will be
// log; nil discards. The error says what is wrong with p.
func NewServer(p Plugin, log *slog.Logger) (*Server, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c, err := newCore(p, log, new(slog.LevelVar))
	if err != nil {
		return nil, err
	}
	return newServer(c), nil
}

func newServer(c *core) *Server {
	s := &Server{core: c, grpc: grpc.NewServer(c.serverOptions()...)}
	h := health.NewServer()
	h.SetServingStatus(HealthService, grpc_health_v1.HealthCheckResponse_SERVING)
	grpc_health_v1.RegisterHealthServer(s.grpc, h)
	c.register(s.grpc)
	reflection.Register(s.grpc)
	return s
}

// Serve answers calls on l, which it closes, until [Server.Stop] or the RPC of
// that name has stopped the plugin. It is called once.
func (s *Server) Serve(l net.Listener) error {
	served := make(chan struct{})
	var end sync.WaitGroup
	end.Go(func() {
		select {
		case <-s.core.stopped:
			endGracefully(s.grpc)
		case <-served:
		}
	})
	err := s.grpc.Serve(l)
	close(served)
	end.Wait()
	return err
}

// Stop stops the plugin as the broker would, in the time that ctx gives. Serve
// then returns. The error is the plugin's [Stopper]'s, or ctx's.
func (s *Server) Stop(ctx context.Context) error {
	err := s.core.stop(ctx)
	if err != nil {
		s.grpc.Stop()
	}
	return err
}
