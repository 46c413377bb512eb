package pluginhost

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// maxMetricsBytes bounds what a plugin may answer when it is asked for its
// metrics.
const maxMetricsBytes = 2 << 20

// CollectMetrics asks a plugin for its own metrics, in the Prometheus text
// format, which nobody has checked; nil if it has none or does not run. The
// error is why one that runs did not answer.
func (h *Host) CollectMetrics(ctx context.Context, name string) ([]byte, error) {
	m := h.find(name)
	if m == nil || !m.employed() {
		return nil, nil
	}
	in, err := m.supervisor.slot.current()
	if err != nil {
		return nil, nil //nolint:nilerr // its status tells why
	}
	out, err := pluginv1.NewPluginServiceClient(in.conn).CollectMetrics(ctx, &pluginv1.CollectMetricsRequest{},
		grpc.MaxCallRecvMsgSize(maxMetricsBytes))
	switch {
	case status.Code(err) == codes.Unimplemented:
		return nil, nil
	case err != nil:
		return nil, statusText(err)
	}
	return out.GetPrometheusText(), nil
}
