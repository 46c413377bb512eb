package pluginapi

import (
	"context"
	"log/slog"
)

// Plugin describes a plugin to [Serve].
type Plugin struct {
	// Name is what the broker and its configuration call the plugin: lower-case
	// letters, digits and dashes.
	Name    string
	Version string // semantic version; "" means "0.0.0"
	Summary string // one line for a person

	// Config is a pointer to a struct that holds the defaults of the
	// configuration; nil if there is nothing to configure. Its JSON Schema
	// becomes part of the manifest. It is only read.
	Config any

	// Hooks says by its type which hooks the plugin has: a value of the type
	// that New returns, (*auth)(nil) for example. The broker asks for them
	// before New is called. Without New it is the plugin itself, and New is
	// not needed by a plugin that has no configuration.
	Hooks any

	// New makes the plugin once its configuration is known; it is called by
	// Init. What it returns has the hooks of Hooks. An error refuses the
	// configuration; see [ConfigError] for one that says where. nil: Hooks is
	// the plugin.
	New func(ctx context.Context, s *Setup) (any, error)

	// Env names the environment variables that the plugin wants to see, "*" at
	// the end for a prefix. Everything else is kept from it.
	Env []string

	// Exclusive says that only one process may run at a time.
	Exclusive bool

	// Idempotent says that deciding the same call twice does no harm.
	Idempotent bool
}

// Setup is what a plugin is given at its start.
type Setup struct {
	// Instance is the name under which the plugin runs.
	Instance string
	// DataDir is a private folder that is kept between starts.
	DataDir string
	// Logger writes to the broker's log under the plugin's name.
	Logger *slog.Logger

	config []byte
}

// Interester is a companion of all hooks: what the plugin wants to be asked.
// A hook without an entry is asked always, with the whole payload. It is called
// after New and after Reconfigure.
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

// Hook names a point at which the broker calls a plugin.
type Hook string

// The hooks.
const (
	HookConnect     Hook = "connect"
	HookPublish     Hook = "publish"
	HookSubscribe   Hook = "subscribe"
	HookUnsubscribe Hook = "unsubscribe"
	HookDeliver     Hook = "deliver"
	HookEvent       Hook = "event"
	HookRetain      Hook = "retain"
)

// PayloadMode says how much of a payload a hook wants to see.
type PayloadMode string

// The modes; "" is PayloadFull.
const (
	PayloadFull PayloadMode = "full"
	PayloadHead PayloadMode = "head"
	PayloadNone PayloadMode = "none"
)

// Field names a part of a message or subscription that a hook may change.
type Field string

// The parts that may be changed.
const (
	FieldTopic          Field = "topic"
	FieldPayload        Field = "payload"
	FieldQoS            Field = "qos"
	FieldRetain         Field = "retain"
	FieldUserProperties Field = "user_properties"
	FieldExpiry         Field = "expiry"
	FieldContentType    Field = "content_type"
	FieldResponse       Field = "response"
	FieldSubscription   Field = "subscription"
)

// Interest is what a plugin wants to be asked at one hook.
type Interest struct {
	Hook                Hook        `json:"hook"`
	Filters             []string    `json:"filters,omitempty"` // empty: all
	Payload             PayloadMode `json:"payload,omitempty"`
	HeadSize            int         `json:"head_size,omitempty"` // bytes, for PayloadHead
	MayChange           []Field     `json:"may_change,omitempty"`
	BeforeAuthorization bool        `json:"before_authorization,omitempty"`
	Events              []EventKind `json:"events,omitempty"`
	Origins             []Origin    `json:"origins,omitempty"`
}
