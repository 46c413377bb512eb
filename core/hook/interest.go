package hook

import (
	"strings"

	"github.com/gatehouse-mqtt/gatehouse/core/mqtt"
)

// Interest is what a hook wants to be asked at one point. What nobody asked
// for is never collected, encoded or waited for.
type Interest struct {
	Point Point

	// Filters restrict it to topics that match one of them, or filters to be
	// subscribed that overlap one. Empty means all.
	Filters []string

	// Payload says how much of a payload the hook wants.
	Payload  PayloadMode
	HeadSize int // bytes, for PayloadHead

	// MayChange is what the hook may change; any other change is undone, the
	// call refused and the violation counted. Nothing can be changed of an
	// unsubscribe, and of a message neither publisher, origin nor hops.
	MayChange Field

	// BeforeAuthorization asks to be called before grants are checked, for
	// PointPublish and PointSubscribe.
	BeforeAuthorization bool

	// ExemptChanges asks that what the hook changes is not held against the
	// client's grants again, so that it may lead a message or a subscription
	// to where the client could not.
	ExemptChanges bool

	// Events restricts PointEvent; empty means all.
	Events []EventKind

	// Snapshot asks at PointEvent to be told first who is connected, and again
	// after events were lost.
	Snapshot bool

	// Origins restricts PointPublish; empty means all.
	Origins []mqtt.Origin
}

// Wants reports whether one of the interests asks for a call at a point, as the
// chain sees it.
func Wants(interests []Interest, p Point, c *Call) bool {
	for i := range interests {
		if interests[i].Point == p && interests[i].wantsCall(c) {
			return true
		}
	}
	return false
}

// PayloadMode says how much of a payload a hook wants.
type PayloadMode uint8

// The modes.
const (
	PayloadFull PayloadMode = iota
	PayloadHead
	PayloadNone
)

// Field is a set of parts that a hook may change.
type Field uint16

// The parts of messages and subscriptions.
const (
	FieldTopic Field = 1 << iota
	FieldPayload
	FieldQoS
	FieldRetain
	FieldUser
	FieldExpiry
	FieldContentType // and Payload Format Indicator
	FieldResponse    // Response Topic and Correlation Data
	FieldSubscription
	FieldAll = FieldTopic | FieldPayload | FieldQoS | FieldRetain | FieldUser | FieldExpiry |
		FieldContentType | FieldResponse | FieldSubscription
)

// String names the parts of the set, with commas between them.
func (f Field) String() string {
	names := [...]string{
		"topic", "payload", "QoS", "retain", "user properties", "expiry", "content type", "response topic", "subscription",
	}
	var list []string
	for i, name := range names {
		if f&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	if f&^FieldAll != 0 {
		list = append(list, "what no plugin may change")
	}
	return strings.Join(list, ", ")
}
