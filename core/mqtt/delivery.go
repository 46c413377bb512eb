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

	// Group is "group/filter" of the shared subscription that chose the
	// receiver, so that another member can be given the message if this one's
	// session ends; "" otherwise.
	Group string

	// Direct says that the server API put it into this receiver's queue:
	// neither subscriptions nor grants matter to it.
	Direct bool

	// Screened says that grants and deliver hooks have let this delivery pass;
	// one that was queued for an offline session is screened when it is sent.
	Screened bool
}
