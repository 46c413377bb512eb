package mqtt

// RetainHandling says when a SUBSCRIBE brings retained messages.
type RetainHandling byte

// The values of the Retain Handling option, MQTT 5 section 3.8.3.1.
const (
	RetainSend      RetainHandling = 0 // at every SUBSCRIBE
	RetainSendIfNew RetainHandling = 1 // only if the subscription did not exist
	RetainDoNotSend RetainHandling = 2 // never
)

// Subscription is one topic filter with its options, as a client asked for it
// and the broker granted it.
type Subscription struct {
	// Filter is the full filter, "$share/group/" included.
	Filter            string
	QoS               QoS
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    RetainHandling

	// ID is the Subscription Identifier, 1 to 268,435,455; 0 means none.
	ID uint32
}
