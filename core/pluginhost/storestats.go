package pluginhost

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// StoreStats is what a store of retained messages tells of itself.
type StoreStats struct {
	Messages uint64
	Bytes    uint64
	Revision uint64
	Details  map[string]string
}

// StoreStats asks a store for its numbers; nil if the plugin is none, does not
// tell, or does not run. The error is why a store that runs did not answer.
func (h *Host) StoreStats(ctx context.Context, name string) (*StoreStats, error) {
	m := h.find(name)
	if m == nil || !m.employed() {
		return nil, nil
	}
	if services, _ := m.supervisor.services(); !services.store {
		return nil, nil
	}
	in, err := m.supervisor.slot.current()
	if err != nil {
		return nil, nil //nolint:nilerr // its status tells why
	}
	out, err := pluginv1.NewRetainedStoreServiceClient(in.conn).Stats(ctx, &pluginv1.StatsRequest{})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, nil
	case err != nil:
		return nil, statusText(err)
	}
	return &StoreStats{Messages: out.GetMessages(), Bytes: out.GetBytes(), Revision: out.GetRevision(), Details: out.GetDetails()}, nil
}
