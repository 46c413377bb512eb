package pluginapi

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/gatehouse-mqtt/gatehouse/pluginapi/internal/jsonlog"
	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// pluginService serves PluginService.
type pluginService struct {
	pluginv1.UnimplementedPluginServiceServer
	core *core
}

// Describe returns the manifest.
func (s *pluginService) Describe(context.Context, *pluginv1.DescribeRequest) (*pluginv1.DescribeResponse, error) {
	return &pluginv1.DescribeResponse{ManifestJson: s.core.manifest}, nil
}

// Init makes the plugin. A bad configuration is an answer; the plugin then waits
// for another Init.
func (s *pluginService) Init(ctx context.Context, req *pluginv1.InitRequest) (*pluginv1.InitResponse, error) {
	c := s.core
	c.init.Lock()
	defer c.init.Unlock()
	select {
	case <-c.stopping:
		return nil, errStopping
	default:
	}
	old := c.running.Load()
	if old != nil && !c.again {
		return nil, status.Error(codes.FailedPrecondition, "plugin is initialised already")
	}
	c.level.Set(jsonlog.ParseLevel(req.GetLogLevel()))
	resp := &pluginv1.InitResponse{
		Name:         c.plugin.Name,
		Version:      c.plugin.version(),
		Services:     c.abilities.services(),
		Capabilities: c.plugin.capabilities(c.abilities),
	}
	of := setupOf{instance: req.GetInstance(), dataDir: req.GetDataDir()}
	if of.instance == "" {
		of.instance = c.plugin.Name
	}
	warnings, err := c.checkConfig(ctx, of, req.GetConfigJson())
	if err == nil {
		of.host, err = newHost(req.GetHostTarget(), req.GetHostToken(), c.prepare)
	}
	if err == nil {
		if old != nil {
			c.running.Store(nil)
			_ = c.stopValue(ctx, old)
			old.setup.host.close()
		}
		var in *instance
		setup := c.setup(of, req.GetConfigJson())
		in, err = c.newInstance(ctx, setup)
		warnings = append(warnings, setup.warnings...)
		if err == nil {
			resp.Interest = interestToProto(*in.interest.Load())
			c.running.Store(in)
		} else {
			of.host.close()
		}
	}
	if isStatus(err) {
		return nil, err
	}
	resp.Diagnostics = diagnostics(err, warnings)
	return resp, nil
}

// ValidateConfig checks a configuration without using it.
func (s *pluginService) ValidateConfig(ctx context.Context, req *pluginv1.ValidateConfigRequest) (*pluginv1.ValidateConfigResponse, error) {
	of := setupOf{instance: s.core.plugin.Name}
	if in := s.core.running.Load(); in != nil {
		of = in.setup
	}
	warnings, err := s.core.checkConfig(ctx, of, req.GetConfigJson())
	if isStatus(err) {
		return nil, err
	}
	return &pluginv1.ValidateConfigResponse{Diagnostics: diagnostics(err, warnings)}, nil
}

// Reconfigure hands a new configuration to a running plugin.
func (s *pluginService) Reconfigure(ctx context.Context, req *pluginv1.ReconfigureRequest) (*pluginv1.ReconfigureResponse, error) {
	c := s.core
	if !c.abilities.reconfigure {
		return nil, status.Error(codes.Unimplemented, "plugin takes a new configuration only when it is started")
	}
	c.init.Lock()
	defer c.init.Unlock()
	in, err := c.begin(1)
	if err != nil {
		return nil, err
	}
	defer s.core.work.done(1)
	warnings, err := c.checkConfig(ctx, in.setup, req.GetConfigJson())
	if err == nil {
		setup := c.setup(in.setup, req.GetConfigJson())
		err = in.value.(Reconfigurer).Reconfigure(ctx, setup)
		warnings = append(warnings, setup.warnings...)
	}
	if err == nil {
		err = c.askInterest(in)
	}
	if isStatus(err) {
		return nil, err
	}
	return &pluginv1.ReconfigureResponse{
		Diagnostics: diagnostics(err, warnings),
		Interest:    interestToProto(*in.interest.Load()),
	}, nil
}

// CheckHealth asks the plugin how it is. One that has nothing to say is well.
func (s *pluginService) CheckHealth(ctx context.Context, _ *pluginv1.CheckHealthRequest) (*pluginv1.CheckHealthResponse, error) {
	in := s.core.running.Load()
	if in == nil {
		return &pluginv1.CheckHealthResponse{Status: pluginv1.HealthStatus_HEALTH_STATUS_READY, Message: "waits for Init"}, nil
	}
	h, ok := in.value.(Healther)
	if !ok {
		return &pluginv1.CheckHealthResponse{Status: pluginv1.HealthStatus_HEALTH_STATUS_READY}, nil
	}
	err := h.Health(ctx)
	if err == nil {
		return &pluginv1.CheckHealthResponse{Status: pluginv1.HealthStatus_HEALTH_STATUS_READY}, nil
	}
	resp := &pluginv1.CheckHealthResponse{
		Status:  pluginv1.HealthStatus_HEALTH_STATUS_UNHEALTHY,
		Message: toValidUTF8(err.Error()),
	}
	if IsDegraded(err) {
		resp.Status = pluginv1.HealthStatus_HEALTH_STATUS_DEGRADED
	}
	return resp, nil
}

// CollectMetrics returns the plugin's own metrics, nothing if it has none.
func (s *pluginService) CollectMetrics(ctx context.Context, _ *pluginv1.CollectMetricsRequest) (*pluginv1.CollectMetricsResponse, error) {
	in := s.core.running.Load()
	if in == nil {
		return &pluginv1.CollectMetricsResponse{}, nil
	}
	m, ok := in.value.(Metricser)
	if !ok {
		return &pluginv1.CollectMetricsResponse{}, nil
	}
	text, err := m.Metrics(ctx)
	if err != nil {
		return nil, toStatus("metrics", err)
	}
	return &pluginv1.CollectMetricsResponse{PrometheusText: text}, nil
}

// Drain waits until the calls that run have ended.
func (s *pluginService) Drain(ctx context.Context, _ *pluginv1.DrainRequest) (*pluginv1.DrainResponse, error) {
	if err := s.core.work.wait(ctx); err != nil {
		return nil, toStatus("drain", err)
	}
	return &pluginv1.DrainResponse{}, nil
}

// Stop flushes. Whoever serves the plugin ends when this has been answered.
func (s *pluginService) Stop(ctx context.Context, _ *pluginv1.StopRequest) (*pluginv1.StopResponse, error) {
	if err := s.core.stop(ctx); err != nil {
		return nil, err
	}
	return &pluginv1.StopResponse{}, nil
}
