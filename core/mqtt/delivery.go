package mqtt

// Delivery is one message on its way to one receiver: the shared message and
// what differs from receiver to receiver.
type Delivery struct {
	Message *Message

	// QoS is the lower of the published and the granted quality of service
	// [MQTT-3.8.4-8].
	QoS QoS

	// Retain is the RETAIN flag to send, by Retain As Published and by whether
	// this is a retained message sent because of a new subscription
	// [MQTT-3.3.1-8] [MQTT-3.3.1-12].
	Retain bool

	// SubscriptionIDs are the Subscription Identifiers of all subscriptions
	// that matched, in no particular order [MQTT-3.3.4-3]. The slice is
	// immutable.
	SubscriptionIDs []uint32
}
