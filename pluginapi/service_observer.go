package pluginapi

import (
	"context"
	"log/slog"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// observerService serves ObserverService.
type observerService struct {
	pluginv1.UnimplementedObserverServiceServer
	core *core
}

func (*observerService) ownStream() {}

// Observe takes one batch.
func (s *observerService) Observe(ctx context.Context, req *pluginv1.ObserveRequest) (*pluginv1.ObserveResponse, error) {
	if err := s.observe(ctx, req.GetEvents(), req.GetDropped()); err != nil {
		return nil, err
	}
	return &pluginv1.ObserveResponse{}, nil
}

// ObserveStream takes batches until the broker ends the stream or the plugin
// stops.
func (s *observerService) ObserveStream(stream pluginv1.ObserverService_ObserveStreamServer) error {
	var batches uint64
	return eachFrame(s.core.stopping, stream.Recv, func(req *pluginv1.ObserveStreamRequest) error {
		if err := s.observe(stream.Context(), req.GetEvents(), req.GetDropped()); err != nil {
			return err
		}
		batches++
		return stream.Send(&pluginv1.ObserveStreamResponse{Batches: batches})
	})
}

// observe hands a batch to the plugin. That it failed is the plugin's own
// business: an event cannot be taken back, and the stream goes on.
func (s *observerService) observe(ctx context.Context, events []*pluginv1.Event, dropped uint64) error {
	in, err := s.core.begin(1)
	if err != nil {
		return err
	}
	defer s.core.work.done(1)
	in.observing.Lock()
	defer in.observing.Unlock()
	if err := s.call(ctx, in, eventsFromProto(events), dropped); err != nil {
		s.core.failures.warn("observer failed", slog.Int("events", len(events)), slog.Any("err", err))
	}
	return nil
}

func (s *observerService) call(ctx context.Context, in *instance, events []Event, dropped uint64) (err error) {
	defer s.core.recovered("Observe", &err)
	return in.observer.Observe(withHops(ctx, mostHops(events)), events, dropped)
}
