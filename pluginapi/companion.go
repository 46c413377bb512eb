package pluginapi

import "context"

// Interester is a companion of all hooks: what the plugin wants to be asked. It
// is called after New and after Reconfigure. A hook of an interceptor that the
// answer leaves out is not asked; one without this companion is asked always,
// with the whole payload, and may change everything.
type Interester interface {
	Interest() []Interest
}

// Healther is a companion: whether the plugin can do its work. nil means that
// all is well; an error made by [Degraded] that it works with a limitation.
type Healther interface {
	Health(ctx context.Context) error
}

// Reconfigurer is a companion: switches to a new configuration, or returns an
// error and keeps the old. Without it the broker starts the plugin again.
type Reconfigurer interface {
	Reconfigure(ctx context.Context, s *Setup) error
}

// Stopper is a companion: flushes state before the process exits.
type Stopper interface {
	Stop(ctx context.Context) error
}

// Metricser is a companion: metrics in the Prometheus text format.
type Metricser interface {
	Metrics(ctx context.Context) ([]byte, error)
}
