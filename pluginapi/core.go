package pluginapi

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pluginv1 "github.com/gatehouse-mqtt/gatehouse/proto/gatehouse/plugin/v1"
)

// core is a plugin that is being served, whoever serves it. Its services refer
// to it; nothing in it knows a process.
type core struct {
	plugin    Plugin
	abilities abilities
	manifest  []byte
	log       *slog.Logger
	level     *slog.LevelVar
	failures  *throttle

	// again allows Init on an initialised plugin, which is then stopped first.
	again bool

	running atomic.Pointer[instance] // nil before Init
	init    sync.Mutex               // held over Init and Reconfigure

	work     work
	stopping chan struct{} // closed when no new call is taken any more
	stopped  chan struct{} // closed when the plugin has been stopped
	stopOnce sync.Once
	stopErr  error // written before stopped is closed
}

// newCore checks the plugin and makes a core that answers Describe and Init.
func newCore(p Plugin, log *slog.Logger, level *slog.LevelVar) (*core, error) {
	m, err := p.Manifest()
	if err != nil {
		return nil, err
	}
	manifest, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	a, err := p.abilities()
	if err != nil {
		return nil, err
	}
	return &core{
		plugin: p, abilities: a, manifest: manifest, log: log, level: level,
		failures: newThrottle(log, time.Second),
		stopping: make(chan struct{}), stopped: make(chan struct{}),
	}, nil
}

// register registers PluginService and the services of the plugin's hooks.
func (c *core) register(s grpc.ServiceRegistrar) {
	pluginv1.RegisterPluginServiceServer(s, &pluginService{core: c})
	if c.abilities.validate {
		pluginv1.RegisterConnectionValidatorServiceServer(s, &validatorService{core: c})
	}
	if c.abilities.intercepts() {
		pluginv1.RegisterMessageInterceptorServiceServer(s, newInterceptorService(c))
	}
	if c.abilities.observe {
		pluginv1.RegisterObserverServiceServer(s, &observerService{core: c})
	}
	if c.abilities.store {
		pluginv1.RegisterRetainedStoreServiceServer(s, &storeService{core: c})
	}
}

// begin is called before n calls of the author's hooks. What it counts ends with
// work.done. The error is a gRPC status.
func (c *core) begin(n int) (*instance, error) {
	in := c.running.Load()
	if in == nil {
		return nil, errNotInitialised
	}
	if !c.work.begin(n) {
		return nil, errStopping
	}
	return in, nil
}

var (
	errNotInitialised = status.Error(codes.FailedPrecondition, "plugin is not initialised: call Init first")
	errStopping       = status.Error(codes.Unavailable, "plugin is stopping")
)

// stop takes no new calls, waits for those that run, and stops the plugin. Only
// the first call does; the others wait for it. ctx bounds all of it.
func (c *core) stop(ctx context.Context) error {
	c.stopOnce.Do(func() {
		close(c.stopping)
		c.work.close()
		// The context belongs to whoever asked first. A second one, such as the
		// end of the process, must not be held up by it.
		go func() {
			defer close(c.stopped)
			c.stopErr = c.stopInstance(ctx)
		}()
	})
	select {
	case <-c.stopped:
		return c.stopErr
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

func (c *core) stopInstance(ctx context.Context) error {
	if err := c.work.wait(ctx); err != nil {
		c.log.Warn("calls were still running when the plugin was stopped", slog.Any("err", err))
	}
	c.init.Lock()
	defer c.init.Unlock()
	in := c.running.Load()
	if in == nil {
		return nil
	}
	defer in.setup.host.close()
	return c.stopValue(ctx, in)
}

// stopValue asks the plugin to flush, if it wants to be asked.
func (c *core) stopValue(ctx context.Context, in *instance) (err error) {
	s, ok := in.value.(Stopper)
	if !ok {
		return nil
	}
	defer c.recovered("Stop", &err)
	if err := s.Stop(ctx); err != nil {
		c.log.Error("stopping the plugin failed", slog.Any("err", err))
		return toStatus("stop", err)
	}
	return nil
}
