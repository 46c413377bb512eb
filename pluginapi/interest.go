package pluginapi

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
	Hook Hook `json:"hook"`
	// Filters restrict it to topics that match one of them, or filters to be
	// subscribed that overlap one. Empty: all.
	Filters []string    `json:"filters,omitempty"`
	Payload PayloadMode `json:"payload,omitempty"`
	// HeadSize is how many bytes PayloadHead shows.
	HeadSize int `json:"head_size,omitempty"`
	// MayChange lists what the hook may change. What is not in it cannot be
	// changed: the broker refuses the call and counts it.
	MayChange []Field `json:"may_change,omitempty"`
	// BeforeAuthorization asks to be called before the client's grants are
	// checked. The broker's configuration has to allow it.
	BeforeAuthorization bool `json:"before_authorization,omitempty"`
	// ExemptChanges asks that what the hook changes of a publish or a subscribe
	// is not held against the client's grants again. The broker's configuration
	// has to allow it.
	ExemptChanges bool `json:"exempt_changes,omitempty"`
	// Events restricts HookEvent. Empty: all.
	Events []EventKind `json:"events,omitempty"`
	// Snapshot asks at HookEvent to be told first who is connected, and again
	// when events were lost or the plugin was replaced.
	Snapshot bool `json:"snapshot,omitempty"`
	// Origins restricts HookPublish. Empty: all.
	Origins []Origin `json:"origins,omitempty"`
}
